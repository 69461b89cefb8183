"""Two sweeps against each other: B minus A, point for point.

The same seed is the same scene with the same losses, so the differences seed for seed say more than
those of the means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.config import files
from hasim.metrics import catalogue
from hasim.studies.columns import column, column_names
from hasim.studies.results_table import Sheet
from hasim.studies.statistics import Interval, mean_interval

ALL_POINTS = "all points"


@dataclass(frozen=True)
class Difference:
    """One column of one point, or of all points together: B minus A."""

    point: str
    """Its settings as JSON, or `ALL_POINTS`."""
    column: str
    mean_a: float
    mean_b: float
    difference: Interval

    def as_dict(self) -> dict[str, Any]:
        """As an object for machines, flat."""
        span = self.difference.as_dict("seeds")
        return {
            "point": self.point,
            "column": self.column,
            "mean_a": self.mean_a,
            "mean_b": self.mean_b,
            "difference": span.pop("mean"),
            **span,
        }


def compare(a: Sheet, b: Sheet, columns: Sequence[str] = ()) -> list[Difference]:
    """B minus A for every point that both tables have, over the seeds that both have, and over all
    points.

    Points are the same where their settings are: the tables may vary different scenarios. Without
    `columns` the catalogue's headline columns and the latency are compared, as far as both tables
    have them.

    Raises ValueError for a column that one of the tables does not have, and where they have no
    point and seed in common.
    """
    rows_a = {row.key: row for row in a.rows if not row.error}
    rows_b = {row.key: row for row in b.rows if not row.error}
    shared = [key for key in rows_a if key in rows_b]
    if not shared:
        raise ValueError("no point and seed are in both tables")
    both = set(column_names(rows_a.values())) & set(column_names(rows_b.values()))
    by_default = (*catalogue.headline_columns(), "latency_ms")
    points: dict[str, list[tuple[str, int]]] = {}
    for key in shared:
        points.setdefault(key[0], []).append(key)
    differences = []
    for name in columns or [name for name in by_default if name in both]:
        in_a = dict(zip(shared, column([rows_a[key] for key in shared], name), strict=True))
        in_b = dict(zip(shared, column([rows_b[key] for key in shared], name), strict=True))
        for point, keys in [*points.items(), (ALL_POINTS, shared)]:
            values_a, values_b = (np.array([side[key] for key in keys]) for side in (in_a, in_b))
            if point == ALL_POINTS:
                # Seeds are drawn at random, points are not.
                values_a, values_b = (_by_seed(keys, values) for values in (values_a, values_b))
            span = mean_interval(values_b - values_a)
            if span is not None:
                pairs = ~np.isnan(values_b - values_a)
                mean_a, mean_b = (float(np.mean(side[pairs])) for side in (values_a, values_b))
                differences.append(Difference(point, name, mean_a, mean_b, span))
    return differences


def csv_text(differences: Sequence[Difference]) -> str:
    """The comparison as comma-separated values; an end that is not known is an empty cell."""
    names = ("point", "column", "mean_a", "mean_b", "difference", "low_95", "high_95", "seeds")
    return files.csv_text(names, ([one.as_dict()[name] for name in names] for one in differences))


def _by_seed(keys: Sequence[tuple[str, int]], values: ndarray) -> ndarray:
    """Mean over points for every seed."""
    seeds = np.array([seed for _, seed in keys])
    return np.array([values[seeds == seed].mean() for seed in dict.fromkeys(seeds.tolist())])
