"""What networks in few bits lose, as a head and lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hasim.metrics import catalogue
from hasim.metrics.catalogue import UNITS


def quantised(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines for the rows of `bit_width.drop_sensitivity` and `bit_width.compare_dynamic`.

    A cell has the signal before the filter in its first line and the one after it in its second;
    losses of scores come with half their 95 % interval.
    """
    pairs = {"error\n(dB)": ("error_before_db", "error_after_db", ".1f")}
    for quantity in catalogue.quantities(compared=True):
        unit = UNITS[quantity.unit]
        before, after = (f"{quantity.name}_loss_{where}{unit}" for where in ("before", "after"))
        pairs[f"{quantity.label}\nlost"] = (before, after, f"+.{max(quantity.digits, 2)}f")

    def cell(row: Mapping[str, Any], key: str, form: str) -> str:
        ends = row["intervals"][key] if form.startswith("+") else None
        width = f"±{(ends[1] - ends[0]) / 2:{form.lstrip('+')}}" if ends else ""
        return f"{row[key]:{form}}{width}"

    shown = {title: pair for title, pair in pairs.items() if pair[0] in rows[0]}
    lines = [
        [
            row["what"],
            f"{row['mask_error']:.4f}",
            *(f"{cell(row, a, form)}\n{cell(row, b, form)}" for a, b, form in shown.values()),
        ]
        for row in rows
    ]
    return ["before, after the filter", "mask\nerror", *shown], lines
