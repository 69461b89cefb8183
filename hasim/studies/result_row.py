"""A row of a study's table: one point with one seed; and rows as columns and as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from hasim.config.files import csv_text

Key = tuple[str, int]
"""A point, as text (see `settings_key`), and a seed."""


@dataclass(frozen=True)
class ResultRow:
    """The result of one point with one seed."""

    settings: Mapping[str, JsonValue]
    seed: int
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    """None where a number could not be computed."""
    feasible: bool | None = None
    reasons: str = ""
    """Why it does not fit, and why numbers are missing."""
    scenario_hash: str = ""
    """Twelve digits of `identity.identity`; empty where the settings make no scenario."""
    error: str = ""
    """Why the run failed; then there are no numbers."""
    seconds: float = 0.0
    """Time that it took; not part of the table."""
    made_by: str = ""
    """The code that made it, as `identity.code_of`; not part of the table."""
    stages: tuple[str, ...] = ()
    """The stages that have scores among the numbers, in the order of the signal's path."""

    @property
    def key(self) -> Key:
        return settings_key(self.settings), self.seed


def settings_key(settings: Mapping[str, JsonValue]) -> str:
    """One text for one point, whatever the order of its paths."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def csv_bytes(rows: Iterable[ResultRow]) -> bytes:
    """The table as comma-separated values."""
    columns = table_columns(rows)
    cells = zip(*(map(cell, column) for column in columns.values()), strict=True)
    return csv_text(columns, cells).encode()


def table_columns(rows: Iterable[ResultRow]) -> dict[str, list[JsonValue]]:
    """Columns by name: axes, seed, status, error, verdict, and the numbers; None where empty."""
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


def in_order(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Rows by the values of their axes, then by seed: nothing before numbers before all else."""
    axes = sorted({key for row in rows for key in row.settings})
    return sorted(rows, key=lambda row: ([_order(row.settings.get(k)) for k in axes], row.seed))


def cell(value: JsonValue) -> str:
    """A value as text of a CSV file."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # The shortest text that reads back as the same number.
    return json.dumps(value)


def _order(value: JsonValue) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 1, value, ""
    return 2, 0.0, json.dumps(value, sort_keys=True)
