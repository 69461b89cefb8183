"""Tables of an evaluation for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hasim.metrics import catalogue
from hasim.metrics.catalogue import UNITS, Quantity
from hasim.studies.evaluate import BOTH, NOISY, OUTPUT
from hasim.studies.statistics import Interval

Table = tuple[list[str], list[list[str]]]


def by_step(told: Mapping[str, Any]) -> Table:
    """Head and lines: every step's means, left and right, in the paper's order of columns."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for record in told["scores"]:
        key = (record["algorithm"], record["masks"], record["step"])
        found.setdefault(key, {})[record["metric"] + record["ear"]] = record["mean"]
    columns = [one for one in _quantities(told["scores"]) if one.compared]
    lines = []
    for (algorithm, masks, step), means in found.items():
        cells = []
        for one in columns:
            sides = [means.get(f"{one.column()}{ear or BOTH}") for ear in one.ears]
            cells.append(" ".join("-" if v is None else f"{v:.{one.digits}f}" for v in sides))
        lines.append([_who(algorithm, masks), "" if step == NOISY else step, *cells])
    return ["", "step", *(one.title for one in columns)], lines


def outputs(told: Mapping[str, Any]) -> Table:
    """Head and lines: what comes out, and the noisy microphone, with intervals."""
    records = [record for record in told["scores"] if record["step"] in (NOISY, OUTPUT)]
    return _spans(records, lambda record: _who(record["algorithm"], record["masks"]))


def differences(told: Mapping[str, Any]) -> Table:
    """Head and lines: paired differences of outputs, with intervals."""

    def name(record: Mapping[str, Any]) -> str:
        return f"{_who(record['algorithm'], record['masks'])} - {record['minus']}"

    return _spans(told["differences"], name, sign="+")


def shares(told: Mapping[str, Any]) -> Table:
    """Head and lines: how much of the oracle mask's improvement trained masks reach."""
    return _spans(told["share_of_oracle"], lambda record: record["algorithm"], digits=2)


def _spans(
    records: Sequence[Mapping[str, Any]],
    name: Callable[[Mapping[str, Any]], str],
    sign: str = "",
    digits: int | None = None,
) -> Table:
    """A line per name, a column per metric: mean of both ears and where it lies."""
    columns = {one.column(): one for one in _quantities(records)}
    lines: dict[str, dict[str, str]] = {}
    for record in records:
        if record["ear"] == BOTH and record["metric"] in columns:
            decimals = columns[record["metric"]].digits if digits is None else digits
            form = f"{sign}.{decimals}f"
            keys = ("mean", "low_95", "high_95", "scenes")
            shown = Interval(*(record[key] for key in keys)).text(form)
            lines.setdefault(name(record), {})[record["metric"]] = shown
    head = ["", *(one.title for one in columns.values())]
    return head, [
        [label, *(cells.get(metric, "-") for metric in columns)] for label, cells in lines.items()
    ]


def _quantities(records: Sequence[Mapping[str, Any]]) -> list[Quantity]:
    """What the tables show of the records: scores of waveforms, and what is among the headlines."""
    there = {record["metric"] for record in records}
    return [
        one
        for one in catalogue.quantities()
        if one.column() in there and (one.compared or one.headline)
    ]


def _who(algorithm: str, masks: str) -> str:
    return f"{algorithm}, trained" if masks == "trained" else algorithm


def table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of `sensitivity` and `dynamic`, for people: before the filter above, behind it
    below, losses with half their 95 % intervals."""
    pairs = {
        "error\n(dB)": ("error_before_db", "error_after_db", ".1f"),
    }
    for quantity in catalogue.quantities(compared=True):
        unit = UNITS[quantity.unit]
        before, after = (f"{quantity.name}_loss_{where}{unit}" for where in ("before", "after"))
        pairs[f"{quantity.label}\nlost"] = (before, after, f"+.{max(quantity.digits, 2)}f")

    def told(row: Mapping[str, Any], key: str, form: str) -> str:
        around = row["intervals"][key] if form.startswith("+") else None
        width = f"±{(around[1] - around[0]) / 2:{form.lstrip('+')}}" if around else ""
        return f"{row[key]:{form}}{width}"

    there = {title: pair for title, pair in pairs.items() if pair[0] in rows[0]}
    lines = [
        [
            row["what"],
            f"{row['mask_error']:.4f}",
            *(f"{told(row, a, form)}\n{told(row, b, form)}" for a, b, form in there.values()),
        ]
        for row in rows
    ]
    return ["before, behind the filter", "mask\nerror", *there], lines
