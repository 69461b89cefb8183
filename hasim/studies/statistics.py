"""Differences between points that were played with the same seeds.

The same seed is the same scene and the same luck, so what two points differ by, seed for seed, says
more than their means do. Intervals are Student's, for the mean over seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.config import files
from hasim.config.diagnostics import close_match
from hasim.studies.results_table import Row, Sheet

CONFIDENCE = 0.95
QUALITY = ("si_sdr_improvement_db", "stoi_improvement", "pesq_improvement", "latency_ms")
"""What `compare` shows if nobody says otherwise: those of them that both tables have."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Difference:
    """One column of one point, or of all points together: B minus A."""

    point: str  # settings as text; "all points"
    column: str
    mean_a: float
    mean_b: float
    difference: Interval

    @property
    def clear(self) -> bool:
        """The interval leaves out zero."""
        return self.difference.low > 0 or self.difference.high < 0


def interval(values: ndarray, axis: int = -1) -> tuple[ndarray, ndarray, ndarray]:
    """(mean, half width, count) along an axis; NaN are left out.

    Where all values are equal the half width is 0; a single value that might vary has an infinite
    one.

    >>> mean, half, count = interval(np.array([1.0, 3.0]))
    >>> float(mean), round(float(half), 3)
    (2.0, 12.706)
    """
    from scipy.special import stdtrit

    there = ~np.isnan(values)
    count = there.sum(axis)
    safe = np.where(there, values, 0.0)
    mean = np.where(count > 0, safe.sum(axis) / np.maximum(count, 1), np.nan)
    off = np.where(there, values - np.expand_dims(mean, axis), 0.0)
    spread = np.where(
        # equal values: summing may have rounded the mean
        np.where(there, values, np.inf).min(axis) == np.where(there, values, -np.inf).max(axis),
        0.0,
        np.sqrt((off**2).sum(axis) / np.maximum(count - 1, 1)),
    )
    factor = stdtrit(np.maximum(count - 1, 1), (1 + CONFIDENCE) / 2)
    half = factor * spread / np.sqrt(np.maximum(count, 1))
    return mean, np.where(count > 1, half, np.inf), count


def column(rows: Sequence[Row], name: str) -> list[float]:
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


def column_names(rows: Iterable[Row]) -> list[str]:
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


def by_point(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows that went well by their point, in their order."""
    points: dict[str, list[Row]] = {}
    for row in rows:
        if not row.error:
            points.setdefault(row.key[0], []).append(row)
    return points


def compare(a: Sheet, b: Sheet, columns: Sequence[str] = ()) -> list[Difference]:
    """B minus A for every point that both tables have, over the seeds that both have, and over all
    points.

    Points are the same where their settings are: the tables may vary different scenarios.

    Raises ValueError for a column that one of the tables does not have, and where they have no
    point and seed in common.
    """
    rows_a = {row.key: row for row in a.rows if not row.error}
    rows_b = {row.key: row for row in b.rows if not row.error}
    shared = [key for key in rows_a if key in rows_b]
    if not shared:
        raise ValueError("no point and seed are in both tables")
    both = set(column_names(rows_a.values())) & set(column_names(rows_b.values()))
    columns = columns or [name for name in QUALITY if name in both]
    points: dict[str, list[tuple[str, int]]] = {}
    for key in shared:
        points.setdefault(key[0], []).append(key)
    differences = []
    for name in columns:
        in_a = dict(zip(shared, column([rows_a[key] for key in shared], name), strict=True))
        in_b = dict(zip(shared, column([rows_b[key] for key in shared], name), strict=True))
        for point, keys in [*points.items(), ("all points", shared)]:
            values_a, values_b = (np.array([side[key] for key in keys]) for side in (in_a, in_b))
            if point == "all points":  # seeds are what is drawn at random; points are not
                values_a, values_b = (_by_seed(keys, values) for values in (values_a, values_b))
            mean, half, count = map(float, interval(values_b - values_a))
            differences.append(
                Difference(
                    point=point,
                    column=name,
                    mean_a=float(np.mean(values_a)),
                    mean_b=float(np.mean(values_b)),
                    difference=Interval(mean, mean - half, mean + half, round(count)),
                )
            )
    return differences


def csv_text(differences: Sequence[Difference]) -> str:
    """The comparison as comma-separated values; an interval without end is an empty cell."""
    names = ["point", "column", "mean_a", "mean_b", "difference", "low_95", "high_95", "seeds"]
    rows = []
    for one in differences:
        span = one.difference
        values = (one.mean_a, one.mean_b, span.mean, span.low, span.high)
        cells = [repr(value) if np.isfinite(value) else "" for value in values]
        rows.append([one.point, one.column, *cells, span.count])
    return files.csv_text(names, rows)


def told(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """The comparison as objects for machines; None for the ends of an interval without end."""

    def end(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return [
        {
            "point": one.point,
            "column": one.column,
            "mean_a": one.mean_a,
            "mean_b": one.mean_b,
            "difference": one.difference.mean,
            "low_95": end(one.difference.low),
            "high_95": end(one.difference.high),
            "seeds": one.difference.count,
        }
        for one in differences
    ]


def in_words(settings: Mapping[str, object], base: str = "the scenario itself") -> str:
    """A point in few words: the last part of each path and its value; both ears at once.

    >>> in_words({"link.codec.kind": "pcm", "link.codec.bits": 8})
    'codec pcm, bits 8'
    >>> in_words({"devices.left.ram_kb": 64, "devices.right.ram_kb": 64})
    'ram_kb 64'
    """
    parts = []
    for key, value in settings.items():
        *_, parent, name = ["", *key.split(".")]
        parts.append(f"{parent if name == 'kind' else name} {value}")
    return ", ".join(dict.fromkeys(parts)) or base


def _value(row: Row, name: str) -> float | None:
    numbers = {**row.settings, **row.numbers}
    if name in numbers:
        value = numbers[name]
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if plain else None  # type: ignore[arg-type]
    left, right = numbers.get(f"{name}_left"), numbers.get(f"{name}_right")
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return (left + right) / 2
    return None


def _by_seed(keys: Sequence[tuple[str, int]], values: ndarray) -> ndarray:
    """Mean over points for every seed."""
    seeds = np.array([seed for _, seed in keys])
    return np.array([values[seeds == seed].mean() for seed in dict.fromkeys(seeds.tolist())])


RESAMPLES = 2000


def bootstrap_mean(values: ndarray, over: ndarray | None = None) -> dict[str, float | int] | None:
    """Mean over scenes (or ratio of two means) and its 95 % bootstrap interval; None where no scene
    has a value."""
    there = ~np.isnan(values) if over is None else ~np.isnan(values + over)
    count = int(there.sum())
    if not count:
        return None
    values = values[there]
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    mean, means = values.mean(), values[drawn].mean(axis=1)
    if over is not None:
        over = over[there]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean, means = mean / over.mean(), means / over[drawn].mean(axis=1)
        if not (np.isfinite(mean) and np.isfinite(means).all()):
            return None
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(mean), "low_95": float(low), "high_95": float(high), "scenes": count}
