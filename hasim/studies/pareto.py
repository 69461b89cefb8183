"""The points that no other point beats: what a budget buys.

Objectives are columns of a sweep's table, to be small or to be large. Arrays are (point, objective)
and (point, seed, objective). A point is beaten only where the differences, seed for seed, say so.
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

from hasim.config import presets as preset_shelf
from hasim.config.diagnostics import close_match
from hasim.studies.columns import by_point, column, column_names
from hasim.studies.results_table import Row, Sheet
from hasim.studies.statistics import interval

Rule = Literal["paired", "plain"]
LATENCY = "latency_ms"


@dataclass(frozen=True)
class Objective:
    """A column, and which end of it is good."""

    column: str
    maximize: bool = False


@dataclass(frozen=True)
class Limit:
    """A line that a device or a link draws: what the scenario has of an objective."""

    label: str
    value: float


@dataclass(frozen=True)
class Published:
    """A point of the paper, in the columns of the objectives."""

    name: str
    table: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Front:
    """All points of a sweep, and which of them are not beaten."""

    objectives: tuple[Objective, ...]
    rule: Rule
    settings: tuple[Mapping[str, Any], ...]
    means: ndarray  # (point, objective)
    half: ndarray  # (point, objective): half the 95 % interval; infinite for a single seed
    half_within: ndarray  # (point, objective): the same without what all points share by seed
    seeds: ndarray  # (point)
    feasible: ndarray  # (point): with every seed
    leading: ndarray  # (point): not beaten as the means stand
    on_front: ndarray  # (point): not beaten by the rule
    beaten_by: ndarray  # (point): number of a point; -1 on the front
    colour: ndarray | None  # (point): mean of a further column
    colour_column: str | None
    knee: int | None
    hypervolume: float
    limits: tuple[tuple[Limit, ...], ...]  # for each objective
    published: tuple[Published, ...]
    left_out: int  # points without a value for every objective


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

    `rule` "paired": a point is beaten where another one is, seed for seed, no worse in any
    objective and better in at least one, with 95 % confidence each; with a single seed, and for
    "plain", where the means say so. `colour` is a further column; None: `latency_ms`, where the
    table has it and it is no objective.

    `presets` are devices and links whose limits are drawn beside the scenario's own.

    Raises ValueError for an unknown column or preset, another number of objectives, or no points.
    """
    shelves = [*preset_shelf.names("devices"), *preset_shelf.names("links")]
    if unknown := [name for name in presets if name not in shelves]:
        right = close_match(unknown[0], shelves) or f"there are: {', '.join(shelves)}"
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
    place = {point: number for number, point in enumerate(points)}
    for row, numbers in zip(rows, table, strict=True):
        values[place[row.key[0]], seeds.index(row.seed)] = numbers
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
        rule, beats = "plain", plainly_beats(costs)
    else:
        beats = clearly_beats(signs * values[..., : len(objectives)])
    on_front = np.logical_not(beats.any(axis=0))
    return Front(
        objectives=tuple(objectives),
        rule=rule,
        settings=settings,
        means=means[:, : len(objectives)],
        half=half[:, : len(objectives)],
        half_within=_half_within(values[..., : len(objectives)]),
        seeds=count[:, : len(objectives)].min(axis=-1),
        feasible=feasible[kept],
        leading=np.logical_not(plainly_beats(costs).any(axis=0)),
        on_front=on_front,
        beaten_by=_first_choice(beats, on_front),
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
    """Half the 95 % interval of (point, seed, objective) once every seed's mean over all points is
    taken away: scenes differ, but all points hear the same ones.

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


def plainly_beats(costs: ndarray) -> ndarray:
    """(point, point): the first is nowhere worse and somewhere better than the second.

    >>> plainly_beats(np.array([[1, 1], [1, 2], [0, 3]])).any(axis=0)
    array([False,  True, False])
    """
    nowhere_worse = np.ones((len(costs), len(costs)), dtype=bool)
    somewhere_better = np.zeros_like(nowhere_worse)
    for cost in costs.T:
        nowhere_worse &= cost[:, None] <= cost
        somewhere_better |= cost[:, None] < cost
    return nowhere_worse & somewhere_better


def clearly_beats(costs: ndarray) -> ndarray:
    """(point, point) from costs (point, seed, objective): seed for seed, the first is nowhere worse
    and somewhere better than the second.

    Of every objective's paired difference the 95 % interval must not reach below zero, and one must
    lie above it. Differences that are the same with every seed have no width. Without a seed in
    common nothing is said. Intervals are not widened for the number of pairs.
    """
    beats = np.zeros((len(costs), len(costs)), dtype=bool)
    for number, own in enumerate(costs):
        mean, half, count = interval(costs - own, axis=1)
        low = np.where(count > 0, mean - half, -np.inf)
        beats[number] = (low >= 0).all(axis=-1) & (low > 0).any(axis=-1)
    return beats


def hypervolume(costs: ndarray) -> float:
    """Share of the unit box that some point beats; costs (point, 2 or 3 objectives) from 0 to 1.

    >>> hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]))
    0.75
    """
    costs = costs[~plainly_beats(costs).any(axis=0)]
    if costs.shape[1] == 3:  # slice by slice between the values of the last objective
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
    """The point of the front that lies farthest within the plane through the front's ends.

    Costs (point, objective); each is counted from the front's best to its worst. None where the
    front has fewer than three points.
    """
    members = np.flatnonzero(~plainly_beats(costs).any(axis=0))
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
        rows.append(Row({}, 0, numbers))
    found = []
    for record, row in zip(records[1:], rows[1:], strict=True):
        try:
            values = tuple(column([row], name)[0] for name in columns)
        except ValueError:
            continue
        found.append(Published(record["name"], record["table"], values))
    return tuple(found)


def _first_choice(beats: ndarray, on_front: ndarray) -> ndarray:
    """For each point one that beats it, from the front where there is one; -1 for none."""
    from_front = beats & on_front[:, None]
    chosen = np.where(from_front.any(axis=0), from_front.argmax(axis=0), beats.argmax(axis=0))
    return np.where(beats.any(axis=0), chosen, -1)


def _to_unit_box(costs: ndarray) -> ndarray:
    """From the best to the worst value of all points, objective by objective."""
    best, worst = costs.min(axis=0), costs.max(axis=0)
    return (costs - best) / np.where(worst > best, worst - best, 1)


_LIMITED = {
    "total_mmac_per_s": ("devices", "mmac_per_s.fp32", "fp32"),
    "network_mmac_per_s": ("devices", "mmac_per_s.int8", "int8"),
    "ram_kb": ("devices", "ram_kb", ""),
    "nvm_kb": ("devices", "nvm_kb", ""),
    "link_kbps": ("links", "rate_kbps", ""),
}


def _limits(
    sheet: Sheet, column: str, settings: Sequence[Mapping[str, Any]], presets: Sequence[str]
) -> tuple[Limit, ...]:
    """What devices and links have of an objective: the scenario's own, where no axis varies it,
    and named presets'."""
    if column.startswith("utilisation") or column == "airtime_share":
        return (Limit("all the time", 1.0),)
    if column not in _LIMITED:
        return ()
    shelf, key, precision = _LIMITED[column]
    paths = ["devices.left", "devices.right"] if shelf == "devices" else ["link"]
    varied = {axis for point in settings for axis in point}
    found: dict[float, list[str]] = {}
    for path in paths:
        part = _at(sheet.base, path)
        value = None if part is None else _at(part, key)
        fixed = not any(_meet(f"{path}.{end}", axis) for end in (key, "preset") for axis in varied)
        if value is not None and fixed:
            found.setdefault(float(value), []).append(path.rpartition(".")[2])
    words = {1: lambda ears: f"{ears[0]} device", 2: lambda ears: "device"}
    limits = [
        Limit("link" if shelf == "links" else words[len(ears)](ears), value)
        for value, ears in found.items()
    ]
    for name in presets:
        if name in preset_shelf.names(shelf):  # type: ignore[arg-type]
            part = preset_shelf.values(shelf, name)  # type: ignore[arg-type]
            value = _at(part, key) or _at(part, key.partition(".")[0]) or part.get("phy_kbps")
            if isinstance(value, (int, float)):
                limits.append(Limit(name, float(value)))
    return tuple(
        Limit(f"{limit.label}, {precision}" if precision else limit.label, limit.value)
        for limit in limits
    )


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path of mappings; None where there is none."""
    for part in path.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _meet(path: str, key: str) -> bool:
    """One of two dotted paths is the other, or leads to it; a `kind` changes its neighbours."""
    key = key.removesuffix(".kind")
    return path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.")


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
