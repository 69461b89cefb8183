"""The tables of an evaluation, each as a head and lines of text.

`evaluation` is what `hasim.studies.evaluate` gives: records of `scores`, `differences` and
`share_of_oracle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hasim.metrics import catalogue
from hasim.metrics.catalogue import Quantity
from hasim.studies.evaluate import BOTH, NOISY, OUTPUT
from hasim.studies.statistics import Interval

Table = tuple[list[str], list[list[str]]]


def by_step(evaluation: Mapping[str, Any]) -> Table:
    """The means of every step of every algorithm, at the left and the right ear."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for record in evaluation["scores"]:
        key = (record["algorithm"], record["masks"], record["step"])
        found.setdefault(key, {})[record["metric"] + record["ear"]] = record["mean"]
    columns = [one for one in _quantities(evaluation["scores"]) if one.compared]
    lines = []
    for (algorithm, masks, step), means in found.items():
        cells = []
        for one in columns:
            sides = [means.get(f"{one.column()}{ear or BOTH}") for ear in one.ears]
            cells.append(" ".join("-" if v is None else f"{v:.{one.digits}f}" for v in sides))
        lines.append([_label(algorithm, masks), "" if step == NOISY else step, *cells])
    return ["", "step", *(one.title for one in columns)], lines


def outputs(evaluation: Mapping[str, Any]) -> Table:
    """The means of the outputs and of the noisy microphone, over both ears, with intervals."""
    records = [record for record in evaluation["scores"] if record["step"] in (NOISY, OUTPUT)]
    return _with_intervals(records, lambda record: _label(record["algorithm"], record["masks"]))


def differences(evaluation: Mapping[str, Any]) -> Table:
    """The paired differences of the outputs, over both ears, with intervals."""

    def name(record: Mapping[str, Any]) -> str:
        return f"{_label(record['algorithm'], record['masks'])} - {record['minus']}"

    return _with_intervals(evaluation["differences"], name, sign="+")


def shares(evaluation: Mapping[str, Any]) -> Table:
    """The share of the oracle mask's improvement that trained masks reach, with intervals."""
    return _with_intervals(
        evaluation["share_of_oracle"], lambda record: record["algorithm"], digits=2
    )


def _with_intervals(
    records: Sequence[Mapping[str, Any]],
    name: Callable[[Mapping[str, Any]], str],
    sign: str = "",
    digits: int | None = None,
) -> Table:
    """A line per name and a column per quantity: the mean over both ears and its interval."""
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
    """What the tables show of the records: scores of waveforms, and headline quantities."""
    there = {record["metric"] for record in records}
    return [
        one
        for one in catalogue.quantities()
        if one.column() in there and (one.compared or one.headline)
    ]


def _label(algorithm: str, masks: str) -> str:
    return f"{algorithm}, trained" if masks == "trained" else algorithm
