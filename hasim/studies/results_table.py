"""The table of a sweep on disk: one row per point and seed, never half a row.

The truth is one SQLite file, `results.sqlite`, written by one process alone; a row is on the disk
when `add` returns. `results.csv` beside it is made from the rows, sorted, so the order in which
they came leaves no trace. Units are part of the column names; an empty cell is a number that could
not be had.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from hasim.config.files import csv_text, write_whole
from hasim.config.spec import InputError

SCHEMA_VERSION = 1
FILE, TABLE, LOCK = "results.sqlite", "results.csv", "lock"
Format = Literal["csv", "json", "parquet"]


@dataclass(frozen=True)
class Row:
    """What came of one point with one seed."""

    settings: Mapping[str, JsonValue]
    seed: int
    numbers: Mapping[str, float | None] = field(default_factory=dict)  # None: could not be had
    feasible: bool | None = None
    reasons: str = ""  # why it does not fit, why numbers are missing
    scenario_hash: str = ""
    error: str = ""  # why the run failed; then there is nothing else
    seconds: float = 0.0  # time it took; not part of the table

    @property
    def key(self) -> tuple[str, int]:
        """Which point and which seed, as in `axes.settings_key`."""
        text = json.dumps(self.settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text, self.seed


@dataclass(frozen=True)
class Sheet:
    """All rows of a folder, sorted, and the scenario that they vary."""

    base: Mapping[str, Any]
    rows: tuple[Row, ...]


class Store:
    """The table of one folder, open for writing by this process alone."""

    def __init__(self, folder: str | Path, identity: str, base: str) -> None:
        """Open the folder's table, or begin one.

        `identity` names what all rows have in common, `base` is the scenario as JSON.

        Raises:
            InputError: another process writes it, it belongs to another scenario, it is damaged, or
                a newer hasim wrote it.
            OSError: it cannot be written.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder)
        try:
            self._open(identity, base)
        except BaseException:
            self.close()
            raise

    def _open(self, identity: str, base: str) -> None:
        path = self.folder / FILE
        with _in_plain_words(path):
            self._connection = sqlite3.connect(path, isolation_level=None)
            _check(self._connection, path)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("CREATE TABLE IF NOT EXISTS about (name PRIMARY KEY, value)")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS results (settings TEXT, seed INTEGER, row TEXT,"
                " seconds REAL, failed INTEGER, PRIMARY KEY (settings, seed)) WITHOUT ROWID"
            )
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for name, value in (("identity", identity), ("base", base)):
                self._connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (name, value))
            self._connection.execute("COMMIT")
            known = dict(self._connection.execute("SELECT name, value FROM about"))
        if known["identity"] != identity:
            (count,) = self._connection.execute("SELECT count(*) FROM results").fetchone()
            raise InputError(
                f"{path}: holds {count} rows of another scenario or another version of hasim; "
                "choose another folder"
            )

    def add(self, rows: Iterable[Row]) -> None:
        """Put rows in the place of those with the same point and seed; all of them or none."""
        values = [(*row.key, _packed(row), row.seconds, int(bool(row.error))) for row in rows]
        with _in_plain_words(self.folder / FILE):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", values
                )
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def keys(self, *, failed: bool = True) -> set[tuple[str, int]]:
        """Points and seeds that have a row; with `failed` false only those that went well."""
        asked = "SELECT settings, seed FROM results WHERE failed <= ?"
        return set(self._connection.execute(asked, (int(failed),)))

    def get(self, key: tuple[str, int]) -> Row:
        """The row of a point and a seed."""
        asked = "SELECT settings, seed, row, seconds FROM results WHERE settings = ? AND seed = ?"
        return _unpacked(*self._connection.execute(asked, key).fetchone())

    def typical_seconds(self) -> float | None:
        """Median time of the rows so far; None where there are none."""
        times = [
            seconds
            for (seconds,) in self._connection.execute(
                "SELECT seconds FROM results WHERE failed = 0 AND seconds > 0 ORDER BY seconds"
            )
        ]
        return times[len(times) // 2] if times else None

    def write_table(self) -> Path:
        """Bring `results.csv` up to date."""
        path = self.folder / TABLE
        write_whole(path, csv_bytes(_rows(self._connection)))
        return path

    def close(self) -> None:
        """Leave the folder to others."""
        if hasattr(self, "_connection"):
            self._connection.close()
        self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(folder: str | Path) -> Sheet:
    """All rows of a folder, also while another process adds to it.

    Raises:
        InputError: no table, a damaged one, or one of a newer hasim.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; `hasim sweep ... --out {folder}` makes one")
    with _in_plain_words(path), closing(sqlite3.connect(path)) as connection:
        _check(connection, path)
        (base,) = connection.execute("SELECT value FROM about WHERE name = 'base'").fetchone()
        return Sheet(json.loads(base), tuple(_rows(connection)))


def csv_bytes(rows: Iterable[Row]) -> bytes:
    """The table as comma-separated values."""
    columns = table_columns(rows)
    cells = zip(*(map(_cell, column) for column in columns.values()), strict=True)
    return csv_text(columns, cells).encode()


def table_columns(rows: Iterable[Row]) -> dict[str, list[JsonValue]]:
    """Columns by name: axes, seed, what went wrong, verdict, and the numbers; None where empty."""
    rows = list(rows)
    axes = sorted({key for row in rows for key in row.settings})
    numbers = sorted({name for row in rows for name in row.numbers})
    columns: dict[str, list[JsonValue]] = {
        key: [row.settings.get(key) for row in rows] for key in axes
    }
    columns["seed"] = [row.seed for row in rows]
    columns["status"] = ["failed" if row.error else "ok" for row in rows]
    columns["error"] = [row.error or None for row in rows]
    columns["feasible"] = [row.feasible for row in rows]
    columns["reasons"] = [row.reasons or None for row in rows]
    columns |= {name: [row.numbers.get(name) for row in rows] for name in numbers}
    columns["scenario_hash"] = [row.scenario_hash or None for row in rows]
    return columns


def export(folder: str | Path, format: Format) -> Path:
    """Write the table of a folder as `results.csv`, `results.json` or `results.parquet`.

    Raises:
        InputError: no table, or pyarrow is not there for Parquet.
    """
    rows = read(folder).rows
    path = (Path(folder) / TABLE).with_suffix(f".{format}")
    if format == "csv":
        content = csv_bytes(rows)
    elif format == "json":
        columns = table_columns(rows)
        records = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        content = (json.dumps(records, indent=1, allow_nan=False) + "\n").encode()
    else:
        content = _parquet(table_columns(rows))
    write_whole(path, content)
    return path


def _rows(connection: sqlite3.Connection) -> list[Row]:
    stored = connection.execute("SELECT settings, seed, row, seconds FROM results")
    rows = [_unpacked(*values) for values in stored]
    axes = sorted({key for row in rows for key in row.settings})
    return sorted(rows, key=lambda row: ([_order(row.settings.get(k)) for k in axes], row.seed))


def _order(value: JsonValue) -> tuple[int, float, str]:
    """Nothing before numbers before all else."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 1, value, ""
    return 2, 0.0, json.dumps(value, sort_keys=True)


def _packed(row: Row) -> str:
    parts = {
        "numbers": dict(sorted(row.numbers.items())),
        "feasible": row.feasible,
        "reasons": row.reasons,
        "scenario_hash": row.scenario_hash,
        "error": row.error,
    }
    return json.dumps(parts, allow_nan=False)


def _unpacked(settings: str, seed: int, row: str, seconds: float) -> Row:
    return Row(settings=json.loads(settings), seed=seed, seconds=seconds, **json.loads(row))


def _cell(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value)  # shortest text that reads back as the same number


def _parquet(columns: Mapping[str, list[JsonValue]]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'hasim[parquet]'") from error
    arrays = {}
    for name, values in columns.items():
        kinds = {type(value) for value in values} - {type(None)}
        if kinds <= {int, float} and float in kinds:
            values = [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
        elif len(kinds) > 1 or kinds & {list, dict}:
            values = [None if value is None else _cell(value) for value in values]
        arrays[name] = pyarrow.array(values)
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), content)
    return content.getvalue()


def _locked(folder: Path) -> sqlite3.Connection:
    """A lock that the operating system opens when its holder dies, however it dies.

    Raises:
        InputError: another process holds it.
    """
    path, holder = folder / f".{LOCK}", folder / f".{LOCK}.txt"
    with _in_plain_words(path):
        lock = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            who = holder.read_text() if holder.is_file() else "another process"
            raise InputError(f"{folder}: in use by {who}; wait for it or stop it") from None
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    write_whole(holder, f"process {os.getpid()} since {since}".encode())
    return lock


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise InputError where a table is damaged or of a newer hasim."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path}: has version {version}, this hasim reads version {SCHEMA_VERSION}; "
            "a newer hasim is needed"
        )
    found = [text for (text,) in connection.execute("PRAGMA quick_check")]
    if found != ["ok"]:
        raise sqlite3.DatabaseError(found[0])


@contextmanager
def _in_plain_words(path: Path) -> Iterator[None]:
    """SQLite's errors as those of the house: no room or no right, or a damaged file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if kind == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path)) from error
        if kind == sqlite3.SQLITE_IOERR:
            raise OSError(errno.EIO, f"{os.strerror(errno.EIO)} ({error})", str(path)) from error
        raise InputError(
            f"{path}: damaged ({error}); move it away, and the same command fills a new one, "
            "from the cache where it can"
        ) from error
