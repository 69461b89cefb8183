"""The content of the page of a sweep: its points, the numbers of its front, the runs that failed.

The page's script draws the front from every seed's numbers, by the rule of `hasim.studies.pareto`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hasim.config.spec import InputError, LimitError
from hasim.config.yaml_reader import write as yaml
from hasim.experiment.scenario import dump, from_mapping
from hasim.metrics import catalogue
from hasim.reporting import pictures
from hasim.reporting.figure import column_label
from hasim.reporting.settings import number, settings
from hasim.studies.columns import by_point, column, column_names, point_label
from hasim.studies.result_row import ResultRow
from hasim.studies.results_table import Sheet, read
from hasim.studies.statistics import CONFIDENCE, interval, student_quantile

MAX_NUMBERS = 3_000_000
"""Points times seeds times columns that a page holds: about 25 MB."""
DIGITS = 6
LARGE_IS_GOOD = ("battery_hours", "margin", "snr_input")
"""Parts of columns of which more is better, besides scores."""
COSTS = ("link_kbps", "total_mmac_per_s", "latency_ms", "nvm_kb", "ram_kb", "power_mw")


def context(folder: Path) -> dict[str, Any]:
    """The values of the template `sweep.html.j2`.

    Raises:
        InputError: no table, a damaged or an empty one.
        LimitError: more numbers than a page can hold.
        ScenarioError: the table's scenario is not one of this hasim.
    """
    sheet = read(folder)
    if not sheet.rows:
        raise InputError(f"{folder}: the table has no rows yet")
    base = from_mapping(sheet.base)
    points = by_point(sheet.rows)
    rows = [row for own in points.values() for row in own]
    columns = _columns(folder, rows) if rows else {}
    axes = sorted({key for row in sheet.rows for key in row.settings})
    failed = [row for row in sheet.rows if row.error]
    name = folder.resolve().name
    return {
        "name": name,
        "scenario": base.name,
        "counts": {
            "points": len({row.key[0] for row in sheet.rows}),
            "rows": len(sheet.rows),
            "failed": len(failed),
            "seeds": sorted({row.seed for row in sheet.rows}),
            "fit": sum(all(row.feasible for row in own) for own in points.values()),
            "whole": len(points),
        },
        "axes": [(axis, list(_values(axis, sheet.rows))) for axis in axes],
        "table": _table(points, columns, axes),
        "data": _data(points, columns, sheet) if columns else None,
        "failed": [
            {
                "words": point_label(row.settings),
                "seed": row.seed,
                "error": row.error,
                "command": command_of(row),
            }
            for row in failed
        ],
        "fronts": list(_drawn(folder)),
        "settings": settings(base),
        "yaml": dump(base),
        "plans": list(_plans(sheet, name)),
        "confidence": round(100 * CONFIDENCE),
    }


def _columns(folder: Path, rows: Sequence[ResultRow]) -> dict[str, list[float]]:
    """Columns of numbers that are not the same in every row, short names for both ears first."""
    varying = {}
    for name in column_names(rows):
        values = column(rows, name)
        known = {value for value in values if not np.isnan(value)}
        if len(known) > 1:
            varying[name] = values
    if len(rows) * len(varying) > MAX_NUMBERS:
        raise LimitError(
            f"{folder}: {len(rows)} rows of {len(varying)} columns are more than a page holds "
            f"({MAX_NUMBERS} numbers); `hasim pareto` draws them, `hasim export` has them all"
        )
    return varying


def _values(axis: str, rows: Sequence[ResultRow]) -> Iterator[str]:
    """The values of an axis in their order, each once."""
    found = {
        json.dumps(row.settings[axis]): row.settings[axis] for row in rows if axis in row.settings
    }

    def place(value: Any) -> tuple[int, float, str]:
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (0, value, "") if plain else (1, 0, str(value))

    return (_plain(value) for value in sorted(found.values(), key=place))


def _table(
    points: Mapping[str, Sequence[ResultRow]],
    columns: Mapping[str, list[float]],
    axes: Sequence[str],
) -> dict[str, Any]:
    """Means over seeds for readers and for sorting: the axes, then scores and costs."""
    asked = (*catalogue.headline_columns(), *COSTS, "loss_realised")
    shown = [name for name in asked if name in columns]
    means = {name: _means(points, columns[name]) for name in shown}
    lines = []
    for place, own in enumerate(points.values()):
        point, fits = own[0].settings, all(row.feasible for row in own)
        cells = [
            _cell(_plain(point[axis]) if axis in point else "", point.get(axis), number=False)
            for axis in axes
        ]
        cells.append(_cell("yes" if fits else "no", int(fits), number=False))
        cells.append(_cell(str(len(own)), len(own)))
        for name in shown:
            value = means[name][place] if np.isfinite(means[name][place]) else None
            cells.append(_cell(number(value, _decimals(means[name])), value))
        lines.append({"cells": cells, "fits": fits})
    heads = [{"text": axis.removesuffix(".kind"), "number": False} for axis in axes]
    heads += [{"text": "fits", "number": False}, {"text": "seeds", "number": True}]
    heads += [{"text": column_label(name), "number": True} for name in shown]
    return {"heads": heads, "lines": lines}


def _cell(text: str, sort: Any, number: bool = True) -> dict[str, Any]:
    return {"text": text, "sort": sort, "number": number}


def _means(points: Mapping[str, Sequence[ResultRow]], values: Sequence[float]) -> list[float]:
    means, start = [], 0
    for own in points.values():
        part = np.array(values[start : start + len(own)])
        means.append(float(interval(part)[0]))
        start += len(own)
    return means


def _decimals(values: Sequence[float]) -> int:
    """Decimals with which the largest value has four digits."""
    largest = max((abs(value) for value in values if np.isfinite(value)), default=0.0)
    return 0 if largest == 0 else min(max(3 - int(np.floor(np.log10(largest))), 0), 6)


def _data(
    points: Mapping[str, Sequence[ResultRow]], columns: Mapping[str, list[float]], sheet: Sheet
) -> dict[str, Any]:
    """The values of the script: every seed's number of every column, and how to run it again."""
    most = max(len(own) for own in points.values())
    quantiles = [None, *(float(student_quantile(n - 1)) for n in range(2, most + 1))]
    shown, start = [], 0
    for key, own in points.items():
        shown.append(
            {
                "key": key,
                "words": point_label(own[0].settings),
                "settings": {path: _plain(value) for path, value in own[0].settings.items()},
                "seeds": [row.seed for row in own],
                "hashes": [row.scenario_hash for row in own],
                "fits": all(row.feasible for row in own),
                "reasons": list(dict.fromkeys(row.reasons for row in own if row.reasons)),
                "command": command_of(own[0]),
                "values": [
                    [_rounded(value) for value in values[start : start + len(own)]]
                    for values in columns.values()
                ],
            }
        )
        start += len(own)
    names = list(columns)
    return {
        "scenario": sheet.base.get("name", ""),
        "columns": [
            {
                "name": name,
                "label": column_label(name),
                "maximize": _larger_is_better(name),
            }
            for name in names
        ],
        "x": _first(COSTS, names, 0),
        "y": _first(catalogue.headline_columns(), names, len(names) - 1),
        "colour": _first(("latency_ms",), names, -1),
        "quantiles": quantiles,
        "points": shown,
    }


def _larger_is_better(name: str) -> bool:
    score = catalogue.column(name)
    return score.larger_is_better if score else any(part in name for part in LARGE_IS_GOOD)


def _first(wanted: Sequence[str], names: Sequence[str], otherwise: int) -> int:
    return next((names.index(name) for name in wanted if name in names), otherwise)


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def _plain(value: Any) -> str:
    """A value as text, as on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def command_of(row: ResultRow) -> str:
    """The command that runs this row alone, in a folder with `scenario.yaml`."""
    words = ["hasim", "run", "scenario.yaml", "--seed", str(row.seed)]
    for path, value in row.settings.items():
        words += ["--set", f"{path}={json.dumps(value)}"]
    return shlex.join(words)


def _drawn(folder: Path) -> Iterator[dict[str, str]]:
    """Figures that `hasim pareto` has written."""
    for path in sorted((folder / "pareto").glob("*.svg")):
        yield {"name": path.stem, "uri": pictures.uri("image/svg+xml", path.read_bytes())}


def _plans(sheet: Sheet, name: str) -> Iterator[dict[str, str]]:
    """Sweep files that play the same points with the same seeds into one table.

    Points that change the same paths are one file: a grid where they are all of its combinations,
    else lists that move together.
    """
    groups: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for row in sheet.rows:
        group = groups.setdefault(tuple(sorted(row.settings)), {})
        group[row.key[0]] = row.settings
    seeds = sorted({row.seed for row in sheet.rows})
    for count, (keys, group) in enumerate(groups.items(), start=1):
        points = list(group.values())
        axes = {key: _once(point[key] for point in points) for key in keys}
        plan: dict[str, Any] = {"name": f"again_{count}", "scenario": "scenario.yaml"}
        if len(points) == np.prod([len(values) for values in axes.values()], dtype=float):
            plan |= {"axes": axes} if axes else {}
        else:
            plan["zip"] = [{key: [point[key] for point in points] for key in keys}]
        file = f"again_{count}.yaml"
        yield {
            "file": file,
            "yaml": yaml(plan | {"seeds": seeds}),
            "command": shlex.join(["hasim", "sweep", file, "--out", f"{name}-again"]),
        }


def _once(values: Iterator[Any]) -> list[Any]:
    found = {json.dumps(value): value for value in values}
    return list(found.values())
