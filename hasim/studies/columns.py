"""Rows of a sweep's table as points and columns of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hasim.config.diagnostics import close_match
from hasim.studies.result_row import ResultRow


def by_point(rows: Iterable[ResultRow]) -> dict[str, list[ResultRow]]:
    """Rows that went well by their point, in their order."""
    points: dict[str, list[ResultRow]] = {}
    for row in rows:
        if not row.error:
            points.setdefault(row.key[0], []).append(row)
    return points


def column(rows: Sequence[ResultRow], name: str) -> list[float]:
    """A column of the table as numbers, NaN where empty; without `_left` or `_right` it is the mean
    of both ears.

    Raises ValueError where there is no such column of numbers.
    """
    values = [_value(row, name) for row in rows]
    if all(value is None for value in values):
        known = column_names(rows)
        if name not in known:
            right = close_match(name, known) or f"there are: {', '.join(known)}"
            raise ValueError(f"{name}: no such column of numbers; {right}")
    return [np.nan if value is None else value for value in values]


def column_names(rows: Iterable[ResultRow]) -> list[str]:
    """All columns of numbers; of those with two ears also their mean, under the short name."""
    names: set[str] = set()
    for row in rows:
        numbers = {**row.settings, **row.numbers}
        names |= {
            name
            for name, value in numbers.items()
            if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        }
    names |= {
        name.removesuffix("_left")
        for name in names
        if name.endswith("_left") and f"{name.removesuffix('_left')}_right" in names
    }
    return sorted(names)


def point_label(settings: Mapping[str, object], base: str = "the scenario itself") -> str:
    """A point for readers: the last part of each path and its value; equal ears once.

    >>> point_label({"link.codec.kind": "pcm", "link.codec.bits": 8})
    'codec pcm, bits 8'
    >>> point_label({"devices.left.ram_kb": 64, "devices.right.ram_kb": 64})
    'ram_kb 64'
    """
    parts = []
    for key, value in settings.items():
        *_, parent, name = ["", *key.split(".")]
        parts.append(f"{parent if name == 'kind' else name} {value}")
    return ", ".join(dict.fromkeys(parts)) or base


def _value(row: ResultRow, name: str) -> float | None:
    numbers = {**row.settings, **row.numbers}
    if name in numbers:
        value = numbers[name]
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if plain else None  # type: ignore[arg-type]
    left, right = numbers.get(f"{name}_left"), numbers.get(f"{name}_right")
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return (left + right) / 2
    return None
