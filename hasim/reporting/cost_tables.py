"""Tables of `hasim cost` and `hasim fit` for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any

from hasim.studies.device_fit import Cell
from hasim.studies.paper_costs import HOP_S, MEGABYTE, MIB

PRECISION = {"tango": "fp32"}
"""At which precision the paper prints a memory: 32 bits for TANGO, 8 for the others."""


def components(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of a table like the paper's Table IV: kMACs per frame by component."""
    head = ["", "mix", "LSTM", "ERB + inverse", "dense", "MACs/frame", "MMAC/s", "paper"]
    lines = []
    for row in found:
        parts = [f"{row['parts'][name] / 1e3:.2f}" for name in ("mix", "lstm", "erb", "dense")]
        printed = row["paper"] or {}
        paper = [f"{printed[key]:g}" for key in ("kmacs_per_frame", "mmac_per_s") if key in printed]
        lines.append(
            [
                row["name"],
                *parts,
                str(row["macs_per_frame"]),
                f"{row['mmac_per_s']:.3f}",
                " / ".join(paper),
            ]
        )
    return head, lines


def sizes(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines like Tables II and V: parameters and memory, by both rules and both units."""
    head = ["", "parameters", "with ERB, ranges", "fp32 MiB (MB)", "int8 MiB (MB)", "state kB"]
    lines = []
    for row in found:
        printed = row["paper"] or {}
        paper = [str(printed["parameters"])] if "parameters" in printed else []
        if "memory_mb" in printed:
            paper.append(f"{printed['memory_mb']:g} ({PRECISION.get(row['name'], 'int8')})")
        bytes_of = {name: sum(row["bytes"][name].values()) for name in ("fp32", "int8")}
        lines.append(
            [
                row["name"],
                str(row["parameters"]),
                str(row["parameters_by_rule"]["with_erb_and_ranges"]),
                *(f"{n / MIB:.3f} ({n / MEGABYTE:.3f})" for n in bytes_of.values()),
                f"{sum(row['state_bytes'].values()) / 1024:.1f}",
                ", ".join(paper),
            ]
        )
    return [*head, "paper"], lines


def items(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the bytes of each variant at the precision of `rows`, item by item: what is
    stored, its sum, and the state."""
    stored = ("weights", "ranges", "activation_ranges", "biases", "norm", "erb")
    lines = []
    for row in found:
        sizes = row["at_precision"]
        numbers = [sizes.get(name, 0) for name in stored]
        state = sizes["lstm_h"] + sizes["lstm_c"]
        lines.append([row["name"], *map(str, [*numbers, sum(numbers), state])])
    return ["bytes", "weights", "ranges", "of act.", *stored[3:], "together", "state"], lines


def whole(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the total: MMAC/s of the network, and of what the paper leaves out."""
    head = ["MMAC/s", "network", "STFT", "covariances", "filter weights", "filtering", "total"]
    lines = []
    for row in found:
        if row["signal"] is None:
            continue
        signal = {name: macs / HOP_S / 1e6 for name, macs in row["signal"].items()}
        transforms = signal["stft"] + signal["istft"]
        rest = [transforms, signal["covariance"], signal["weights"], signal["apply"]]
        numbers = [row["mmac_per_s"], *rest, row["total_mmac_per_s"]]
        saved = row["sparse_erb"]["saved_mmac_per_s"]
        lines.append([row["name"], *(f"{n:.2f}" for n in numbers), f"{saved:.2f}" if saved else ""])
    return [*head, "sparse ERB saves"], lines


def matrix(cells: Iterable[Cell]) -> str:
    """Three tables of text, devices down and algorithms across; what does not fit has an x. Below
    them, why latencies are over the limit of the scenario's fitting."""
    table = {(cell.device, cell.algorithm): cell for cell in cells}
    devices = list(dict.fromkeys(device for device, _ in table))
    algorithms = list(dict.fromkeys(algorithm for _, algorithm in table))

    def memory(cell: Cell) -> str:
        regions = (("RAM", cell.ram_short_kb), ("NVM", cell.nvm_short_kb))
        short = [f"{region} {ceil(short_kb)}" for region, short_kb in regions if short_kb]
        unknown = "?" if None in (cell.ram_short_kb, cell.nvm_short_kb) else "-"
        return " ".join([*short, "x"]) if short else unknown

    blocks: tuple[tuple[str, Callable[[Cell], str]], ...] = (
        ("network alone, share of the time", lambda cell: _share(cell.network_utilisation)),
        ("whole program, share of the time", lambda cell: _share(cell.total_utilisation)),
        ("memory that is short, in kB (?: size not public)", memory),
    )
    parts = []
    for title, content in blocks:
        rows = [[device, *(content(table[device, a]) for a in algorithms)] for device in devices]
        parts.append(_text(title, algorithms, rows))
    late = Counter(cell.too_late for cell in table.values() if cell.too_late)
    if late:
        counts = [f"{count} of {len(table)}: {reason}" for reason, count in late.items()]
        parts.append("\n".join(["latency", *counts]))
    return "\n\n".join(parts)


def _share(utilisation: float) -> str:
    return f"{ceil(100 * utilisation) / 100:.2f} x" if utilisation > 1 else f"{utilisation:.2f}"


def _text(title: str, algorithms: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose long column names are broken at their last underscore."""
    heads = [name.rpartition("_")[::2] if len(name) > 12 else ("", name) for name in algorithms]
    heads = [(first or "", last) for first, last in heads]
    above = ["", *(first for first, _ in heads)]
    below = ["", *(last for _, last in heads)]
    lines = [above, below, *rows] if any(above) else [below, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(below))]
    text = [title]
    for first, *others in lines:
        cells = [other.rjust(width) for other, width in zip(others, widths[1:], strict=True)]
        text.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(text)
