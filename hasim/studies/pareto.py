"""Pareto fronts of sweeps: the points that no other point dominates.

Objectives are columns of a sweep's table, to be minimised or maximised. Arrays are (point,
objective) and (point, seed, objective). Costs are objectives with the sign that makes smaller
better. A point counts as dominated only where the differences, seed for seed, are significant.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy import ndarray

from hasim.config import presets as device_presets
from hasim.config.diagnostics import close_match
from hasim.config.overrides import value_at
from hasim.studies.columns import by_point, column, column_names
from hasim.studies.result_row import ResultRow
from hasim.studies.results_table import Sheet
from hasim.studies.statistics import interval
from hasim.studies.tables import Table

Rule = Literal["paired", "plain"]
LATENCY = "latency_ms"


@dataclass(frozen=True)
class Objective:
    """A column to minimise or to maximise."""

    column: str
    maximize: bool = False


@dataclass(frozen=True)
class Limit:
    """How much of an objective a device or a link has, for a line in the figure."""

    label: str
    value: float


@dataclass(frozen=True)
class Published:
    """A point of the paper, in the columns of the objectives."""

    name: str
    table: str
    values: tuple[float, ...]


@dataclass(frozen=True, repr=False)
class Front:
    """All points of a sweep, and which of them are not dominated."""

    objectives: tuple[Objective, ...]
    rule: Rule
    settings: tuple[Mapping[str, Any], ...]
    """Of every point."""
    means: ndarray
    """(point, objective), over seeds."""
    half: ndarray
    """(point, objective): half the 95 % interval of the mean; infinite for a single seed."""
    half_within: ndarray
    """(point, objective): the same without the differences between seeds that all points share."""
    seeds: ndarray
    """(point,): how many have a value for every objective."""
    feasible: ndarray
    """(point,): whether the point fits its devices and link with every seed."""
    leading: ndarray
    """(point,): not dominated by the means alone."""
    on_front: ndarray
    """(point,): not dominated by the rule."""
    beaten_by: ndarray
    """(point,): number of a point that dominates it; -1 on the front."""
    colour: ndarray | None
    """(point,): mean of the column `colour_column`."""
    colour_column: str | None
    knee: int | None
    """Number of a point."""
    hypervolume: float
    limits: tuple[tuple[Limit, ...], ...]
    """For each objective."""
    published: tuple[Published, ...]
    left_out: int
    """Number of points without a value for every objective."""

    def __repr__(self) -> str:
        goals = [f"{'max' if o.maximize else 'min'} {o.column}" for o in self.objectives]
        knee = "" if self.knee is None else f"; knee at {dict(self.settings[self.knee])}"
        members = f"{self.on_front.sum()} of {len(self.settings)}"
        return f"<Front {members} points: {', '.join(goals)}{knee[:200]}>"

    def to_table(self) -> Table:
        """One row per point: settings, means of the objectives, `feasible` and `on_front`."""
        columns = [*(o.column for o in self.objectives), "feasible", "on_front"]
        flags = zip(self.feasible.tolist(), self.on_front.tolist(), strict=True)
        points = zip(self.settings, self.means.tolist(), flags, strict=True)
        return Table([{**at, **dict(zip(columns, [*x, *y], strict=True))} for at, x, y in points])

    def _repr_html_(self) -> str:
        return self.to_table()._repr_html_()


def front(
    sheet: Sheet,
    objectives: Sequence[Objective],
    *,
    rule: Rule = "paired",
    feasible_only: bool = False,
    colour: str | None = None,
    presets: Sequence[str] = (),
) -> Front:
    """The front of a table in two or three objectives.

    `rule` "paired": a point is dominated where another one is, seed for seed, no worse in any
    objective and better in at least one, with 95 % confidence each (`clearly_dominates`); "plain",
    and with a single seed: where the means say so (`dominates`). `colour` is a further column;
    None: `latency_ms`, where the table has it and it is no objective. `presets` are devices and
    links whose limits are listed beside the scenario's own.

    Raises ValueError for an unknown column or preset, another number of objectives, or no points.
    """
    known_presets = [*device_presets.names("devices"), *device_presets.names("links")]
    if unknown := [name for name in presets if name not in known_presets]:
        right = close_match(unknown[0], known_presets) or f"there are: {', '.join(known_presets)}"
        raise ValueError(f"{unknown[0]}: no preset of a device or a link; {right}")
    if not 2 <= len(objectives) <= 3:
        raise ValueError(f"objectives: must be two or three (got {len(objectives)})")
    points = by_point(sheet.rows)
    rows = [row for own in points.values() for row in own]
    names = [objective.column for objective in objectives]
    if colour is None and len(objectives) == 2 and LATENCY in set(column_names(rows)) - set(names):
        colour = LATENCY
    columns = names + ([colour] if colour else [])
    table = np.array([column(rows, name) for name in columns]).T  # (row, column)
    seeds = sorted({row.seed for row in rows})
    values = np.full((len(points), len(seeds), len(columns)), np.nan)
    number_of = {point: number for number, point in enumerate(points)}
    for row, numbers in zip(rows, table, strict=True):
        values[number_of[row.key[0]], seeds.index(row.seed)] = numbers
    feasible = np.array([all(row.feasible for row in own) for own in points.values()], dtype=bool)
    known = ~np.isnan(values[..., : len(objectives)]).all(axis=1).any(axis=-1)
    kept = known & (feasible if feasible_only else True)
    if not kept.any():
        raise ValueError("no point has a value for every objective" + " and fits" * feasible_only)
    values = values[kept]
    settings = tuple(
        own[0].settings for own, keep in zip(points.values(), kept, strict=True) if keep
    )
    means, half, count = interval(values, axis=1)
    signs = np.array([-1.0 if objective.maximize else 1.0 for objective in objectives])
    costs = signs * means[:, : len(objectives)]
    if rule == "plain" or len(seeds) == 1:
        rule, dominating = "plain", dominates(costs)
    else:
        dominating = clearly_dominates(signs * values[..., : len(objectives)])
    on_front = np.logical_not(dominating.any(axis=0))
    return Front(
        objectives=tuple(objectives),
        rule=rule,
        settings=settings,
        means=means[:, : len(objectives)],
        half=half[:, : len(objectives)],
        half_within=_half_within(values[..., : len(objectives)]),
        seeds=count[:, : len(objectives)].min(axis=-1),
        feasible=feasible[kept],
        leading=np.logical_not(dominates(costs).any(axis=0)),
        on_front=on_front,
        beaten_by=_dominating_point(dominating, on_front),
        colour=means[:, -1] if colour else None,
        colour_column=colour,
        knee=knee(costs),
        hypervolume=hypervolume(_to_unit_box(costs)),
        limits=tuple(
            _limits(sheet, objective.column, settings, presets) for objective in objectives
        ),
        published=published([objective.column for objective in objectives]),
        left_out=int(len(points) - known.sum()),
    )


def _half_within(values: ndarray) -> ndarray:
    """Half the 95 % interval of (point, seed, objective) after subtracting every seed's mean over
    all points: scenes differ, but all points have the same ones.

    Source: D. Cousineau, Tutor. Quant. Methods Psychol. 1 (2005) 42-45, with the factor of R. D.
    Morey, ibid. 4 (2008) 61-64. Where a point lacks a seed, the plain interval.
    """
    count = len(values)
    if count < 2 or np.isnan(values).any():
        return interval(values, axis=1)[1]
    half = interval(values - values.mean(axis=0), axis=1)[1] * np.sqrt(count / (count - 1))
    return np.where(np.ptp(values, axis=1) == 0, interval(values, axis=1)[1], half)


def objective(text: str) -> Objective:
    """An objective from `min:COLUMN` or `max:COLUMN`.

    Raises ValueError for any other text.
    """
    end, colon, name = text.partition(":")
    if end not in ("min", "max") or not colon or not name:
        raise ValueError(f"objectives: must be like min:latency_ms or max:pesq (got {text!r})")
    return Objective(name, end == "max")


def dominates(costs: ndarray) -> ndarray:
    """(point, point) from costs (point, objective): the first is nowhere worse and somewhere better
    than the second.

    >>> dominates(np.array([[1, 1], [1, 2], [0, 3]])).any(axis=0)
    array([False,  True, False])
    """
    nowhere_worse = np.ones((len(costs), len(costs)), dtype=bool)
    somewhere_better = np.zeros_like(nowhere_worse)
    for cost in costs.T:
        nowhere_worse &= cost[:, None] <= cost
        somewhere_better |= cost[:, None] < cost
    return nowhere_worse & somewhere_better


def clearly_dominates(costs: ndarray) -> ndarray:
    """(point, point) from costs (point, seed, objective): the first is nowhere worse and somewhere
    better than the second by their paired differences over seeds.

    The 95 % intervals of all objectives must not reach below zero, and one must lie above it.
    Differences that are the same with every seed have intervals without width. Points without a
    common seed do not dominate each other. Intervals are not corrected for the number of pairs.
    """
    dominating = np.zeros((len(costs), len(costs)), dtype=bool)
    for number, own in enumerate(costs):
        mean, half, count = interval(costs - own, axis=1)
        low = np.where(count > 0, mean - half, -np.inf)
        dominating[number] = (low >= 0).all(axis=-1) & (low > 0).any(axis=-1)
    return dominating


def hypervolume(costs: ndarray) -> float:
    """Share of the unit box that is dominated; costs (point, 2 or 3 objectives) from 0 to 1.

    >>> hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]))
    0.75
    """
    costs = costs[~dominates(costs).any(axis=0)]
    if costs.shape[1] == 3:
        # slice by slice between the values of the last objective
        heights = [*np.unique(costs[:, 2]).tolist(), 1.0]
        return sum(
            (high - low) * hypervolume(costs[costs[:, 2] <= low, :2])
            for low, high in pairwise(heights)
        )
    area, ceiling = 0.0, 1.0
    for x, y in sorted(costs.tolist()):
        area += (1 - x) * max(ceiling - y, 0.0)
        ceiling = min(ceiling, y)
    return area


def knee(costs: ndarray) -> int | None:
    """The point of the front that lies farthest from the plane through the front's ends.

    Costs (point, objective), each scaled from the front's best to its worst value. None where the
    front has fewer than three points.
    """
    members = np.flatnonzero(~dominates(costs).any(axis=0))
    shape = np.unique(costs[members], axis=0)
    if len(shape) < 3:
        return None
    best, worst = shape.min(axis=0), shape.max(axis=0)
    share = (costs[members] - best) / np.where(worst > best, worst - best, 1)
    return int(members[np.argmin(share.sum(axis=-1))])


def published(columns: Sequence[str]) -> tuple[Published, ...]:
    """The paper's points (Tables II, IV, V) that have all these columns.

    Scores are of the paper's networks on the paper's test set: only trends compare.
    """
    text = files("hasim.studies").joinpath("paper_points.csv").read_text(encoding="utf-8")
    records = list(csv.DictReader(io.StringIO(text)))
    rows = []
    noisy: dict[str, float] = {}
    for record in records:
        numbers = {name: float(value) for name, value in record.items() if _is_number(value)}
        noisy = noisy or numbers
        numbers |= {
            name.replace("_enhanced", "_improvement"): value - noisy[name]
            for name, value in numbers.items()
            if "_enhanced" in name and name in noisy
        }
        rows.append(ResultRow({}, 0, numbers))
    found = []
    for record, row in zip(records[1:], rows[1:], strict=True):
        try:
            values = tuple(column([row], name)[0] for name in columns)
        except ValueError:
            continue
        found.append(Published(record["name"], record["table"], values))
    return tuple(found)


def _dominating_point(dominating: ndarray, on_front: ndarray) -> ndarray:
    """For each point one that dominates it, from the front where there is one; -1 for none."""
    from_front = dominating & on_front[:, None]
    chosen = np.where(from_front.any(axis=0), from_front.argmax(axis=0), dominating.argmax(axis=0))
    return np.where(dominating.any(axis=0), chosen, -1)


def _to_unit_box(costs: ndarray) -> ndarray:
    """Every objective scaled from the best (0) to the worst value (1) of all points."""
    best, worst = costs.min(axis=0), costs.max(axis=0)
    return (costs - best) / np.where(worst > best, worst - best, 1)


_CAPACITIES: dict[str, tuple[Literal["devices", "links"], str, str]] = {
    "total_mmac_per_s": ("devices", "mmac_per_s.fp32", "fp32"),
    "network_mmac_per_s": ("devices", "mmac_per_s.int8", "int8"),
    "ram_kb": ("devices", "ram_kb", ""),
    "nvm_kb": ("devices", "nvm_kb", ""),
    "link_kbps": ("links", "rate_kbps", ""),
}
"""Column -> what has the capacity, its key there, and the precision it holds for."""


def _limits(
    sheet: Sheet, column: str, settings: Sequence[Mapping[str, Any]], presets: Sequence[str]
) -> tuple[Limit, ...]:
    """Capacities of devices and links for an objective: the scenario's own, where no axis varies
    them, and those of presets."""
    if column.startswith("utilisation") or column == "airtime_share":
        return (Limit("all the time", 1.0),)
    if column not in _CAPACITIES:
        return ()
    kind, key, precision = _CAPACITIES[column]
    limits = [*_own_limits(sheet.base, kind, key, settings), *_preset_limits(kind, key, presets)]
    return tuple(
        Limit(f"{limit.label}, {precision}" if precision else limit.label, limit.value)
        for limit in limits
    )


def _own_limits(
    base: Mapping[str, Any], kind: str, key: str, settings: Sequence[Mapping[str, Any]]
) -> list[Limit]:
    """Of the scenario; devices with the same capacity share one."""
    paths = ["devices.left", "devices.right"] if kind == "devices" else ["link"]
    varied = {axis for point in settings for axis in point}
    found: dict[float, list[str]] = {}
    for path in paths:
        value = value_at(base, f"{path}.{key}")
        fixed = not any(
            _overlap(f"{path}.{end}", axis) for end in (key, "preset") for axis in varied
        )
        if value is not None and fixed:
            found.setdefault(float(value), []).append(path.rpartition(".")[2])
    if kind == "links":
        return [Limit("link", value) for value in found]
    return [
        Limit("device" if len(ears) == 2 else f"{ears[0]} device", value)
        for value, ears in found.items()
    ]


def _preset_limits(
    kind: Literal["devices", "links"], key: str, presets: Sequence[str]
) -> list[Limit]:
    limits = []
    for name in presets:
        if name in device_presets.names(kind):
            part = device_presets.values(kind, name)
            # One number may stand for all precisions, and a PHY rate for a link's.
            paths = (key, key.partition(".")[0], "phy_kbps")
            value = next(filter(None, (value_at(part, path) for path in paths)), None)
            if isinstance(value, (int, float)):
                limits.append(Limit(name, float(value)))
    return limits


def _overlap(path: str, axis: str) -> bool:
    """Whether an axis varies the value at a path: it is the path, lies on the way to it or below
    it; a `kind` changes all keys beside it."""
    axis = axis.removesuffix(".kind")
    return path == axis or path.startswith(f"{axis}.") or axis.startswith(f"{path}.")


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
