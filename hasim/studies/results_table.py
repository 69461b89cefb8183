"""The table of a study on disk: one row per point and seed, never half a row.

The table is one SQLite file, `results.sqlite`, written by one process alone; a row is on the disk
when `add` returns. `results.csv` beside it is made from the rows, sorted, so it does not depend on
the order in which they came. Units are part of the column names; an empty cell is a number that
could not be computed.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

from hasim.config.files import write_whole
from hasim.config.spec import InputError
from hasim.studies.result_row import Key, ResultRow, cell, csv_bytes, in_order, table_columns

SCHEMA_VERSION = 2
"""Since 2 rows hold the code that made them; older tables can be read."""
FILE, TABLE, LOCK = "results.sqlite", "results.csv", "lock"
Format = Literal["csv", "json", "parquet"]


@dataclass(frozen=True)
class Sheet:
    """All rows of a folder, sorted, and the scenario that they vary."""

    base: Mapping[str, Any]
    rows: tuple[ResultRow, ...]


class Origin(NamedTuple):
    """What a row was made from and by."""

    settings: str
    seed: int
    scenario_hash: str
    made_by: str
    seconds: float
    failed: int

    @property
    def key(self) -> Key:
        return self.settings, self.seed


class Store:
    """The table of one folder, open for writing by this process alone."""

    def __init__(self, folder: str | Path, identity: str, base: str) -> None:
        """Open the folder's table, or begin one.

        `identity` is the same for all rows of a table: the scenario that they vary, without the
        contents of its files. `base` is that scenario as JSON.

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
                f"{path}: holds {count} rows of another scenario or from an older hasim; "
                "choose another folder"
            )

    def add(self, rows: Iterable[ResultRow]) -> None:
        """Add rows, each in place of one with the same point and seed; all of them or none."""
        values = [(*row.key, _packed(row), row.seconds, int(bool(row.error))) for row in rows]
        self._write("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", values)

    def keys(self, *, failed: bool = True) -> set[Key]:
        """Points and seeds that have a row; with `failed` false only those without an error."""
        asked = "SELECT settings, seed FROM results WHERE failed <= ?"
        return set(self._connection.execute(asked, (int(failed),)))

    def origins(self) -> list[Origin]:
        """What every row was made from and by, by point."""
        return _origins(self._connection)

    def remove(self, keys: Iterable[Key]) -> None:
        """Take rows out of the table; all of them or none."""
        self._write("DELETE FROM results WHERE settings = ? AND seed = ?", list(keys))

    def get(self, key: Key) -> ResultRow:
        """The row of a point and a seed."""
        asked = "SELECT settings, seed, row, seconds FROM results WHERE settings = ? AND seed = ?"
        return _unpacked(*self._connection.execute(asked, key).fetchone())

    def write_table(self) -> Path:
        """Bring `results.csv` up to date."""
        path = self.folder / TABLE
        write_whole(path, csv_bytes(_rows(self._connection)))
        return path

    def _write(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        with _in_plain_words(self.folder / FILE):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(statement, values)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the table and release the lock on its folder."""
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
    with _open(folder) as connection:
        (base,) = connection.execute("SELECT value FROM about WHERE name = 'base'").fetchone()
        return Sheet(json.loads(base), tuple(_rows(connection)))


def read_origins(folder: str | Path) -> list[Origin]:
    """`Store.origins` of a table that nobody has to have open; none where there is no table.

    Raises:
        InputError: a damaged table, or one of a newer hasim.
    """
    if not (Path(folder) / FILE).is_file():
        return []
    with _open(folder) as connection:
        return _origins(connection)


@contextmanager
def _open(folder: str | Path) -> Iterator[sqlite3.Connection]:
    path = Path(folder) / FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; `hasim sweep ... --out {folder}` makes one")
    with _in_plain_words(path), closing(sqlite3.connect(path)) as connection:
        _check(connection, path)
        yield connection


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


def _rows(connection: sqlite3.Connection) -> list[ResultRow]:
    stored = connection.execute("SELECT settings, seed, row, seconds FROM results")
    return in_order([_unpacked(*values) for values in stored])


def _origins(connection: sqlite3.Connection) -> list[Origin]:
    asked = (
        "SELECT settings, seed, json_extract(row, '$.scenario_hash'),"
        " coalesce(json_extract(row, '$.made_by'), ''), seconds, failed FROM results"
        " ORDER BY settings, seed"
    )
    return [Origin(*values) for values in connection.execute(asked)]


def _packed(row: ResultRow) -> str:
    parts = {
        "numbers": dict(sorted(row.numbers.items())),
        "feasible": row.feasible,
        "reasons": row.reasons,
        "scenario_hash": row.scenario_hash,
        "error": row.error,
        "made_by": row.made_by,
        "stages": row.stages,
    }
    return json.dumps(parts, allow_nan=False)


def _unpacked(settings: str, seed: int, row: str, seconds: float) -> ResultRow:
    parts = json.loads(row)
    stages = tuple(parts.pop("stages", ()))
    return ResultRow(json.loads(settings), seed, seconds=seconds, stages=stages, **parts)


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
            values = [None if value is None else cell(value) for value in values]
        arrays[name] = pyarrow.array(values)
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), content)
    return content.getvalue()


def _locked(folder: Path) -> sqlite3.Connection:
    """A lock that the operating system releases when its holder dies, however it dies.

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
    """SQLite's errors as OSError (no room, no right) or InputError (a damaged file)."""
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
