"""A run on the screen: scores of both ears, verdict, latency, link and devices.

Rich renderables, for the terminal and (through `RunResult._repr_html_`) for notebooks. What a run
has no number for is shown as a dash or left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hasim.config import presets
from hasim.config.ears import EARS
from hasim.experiment.result import fittings
from hasim.metrics import catalogue
from hasim.metrics.catalogue import STATES, Quantity
from hasim.simulation.device.provenance import warnings_about
from hasim.simulation.energy import COMPONENTS
from hasim.simulation.timeline import Timeline

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from hasim.experiment.result import RunResult

DASH = "–"


def table(result: RunResult, stages: bool = False) -> RenderableType:
    """The scores of both ears, with `stages` also those of every stage; verdict; all else."""
    from rich.console import Group
    from rich.padding import Padding

    parts: list[RenderableType] = [_scores(result), *_reasons(result)]
    if stages and result.stages:
        parts.append(_stages(result))
    parts += [_verdict(result), Padding(_facts(result), (0, 0, 0, 2))]
    return Group(*parts)


def _scores(result: RunResult) -> Table:
    from rich.table import Table

    title = f"{result.scenario.name}: noisy → enhanced"
    shown = Table(title=title, title_justify="left", title_style="bold")
    shown.add_column("")
    for ear in EARS:
        shown.add_column(ear, justify="right")
        shown.add_column("gain", justify="right")
    for quantity in quantities_of(result.numbers, result.unscored):
        if not quantity.per_ear:
            continue
        cells: list[str | Text] = []
        for ear in EARS:
            cells += _of_ear(quantity, result.numbers, ear)
        shown.add_row(quantity.title, *cells)
    return shown


def quantities_of(*numbers: Iterable[str]) -> list[Quantity]:
    """The quantities that a run has a number of, or a reason why it has none."""
    there = set().union(*numbers)
    return [
        quantity
        for quantity in catalogue.quantities()
        if quantity.column("enhanced" if quantity.compared else "", quantity.ears[0]) in there
    ]


def _of_ear(
    quantity: Quantity, numbers: Mapping[str, float], ear: str
) -> tuple[str | Text, str | Text]:
    """What a quantity is at an ear, and what was gained."""
    if not quantity.compared:
        return _number(numbers.get(quantity.column("", ear)), quantity.digits), ""
    noisy, enhanced, gain = (numbers.get(quantity.column(state, ear)) for state in STATES)
    both = f"{_number(noisy, quantity.digits)} → {_number(enhanced, quantity.digits)}"
    return both, _gain(gain, quantity.digits)


def _reasons(result: RunResult) -> Iterator[Text]:
    """Why numbers of the output are missing, not those of the noisy signal."""
    from rich.text import Text

    names: dict[str, list[str]] = {}
    for name, reason in result.unscored.items():
        if "_noisy" not in name and "_improvement_" not in name:
            names.setdefault(reason, []).append(name)
    for reason, missing in names.items():
        yield Text(f"no {', '.join(missing)}: {reason}", "dim")


def _stages(result: RunResult) -> Table:
    """One row per tap in the order of the signal's path, left / right in one cell."""
    from rich.table import Table

    shown = Table(title="stages: left / right", title_justify="left", title_style="bold")
    shown.add_column("")
    scored = quantities_of_stages(result.stages)
    for quantity in scored:
        shown.add_column(quantity.title, justify="right")
    for tap, scores in result.stages.items():
        cells = [
            " / ".join(_number(scores.get(column), quantity.digits) for column in quantity.columns)
            for quantity in scored
        ]
        shown.add_row(tap, *cells)
    return shown


def quantities_of_stages(stages: Mapping[str, Mapping[str, float | None]]) -> list[Quantity]:
    """The quantities that some stage has a number of."""
    return [
        quantity
        for quantity in catalogue.quantities(compared=True)
        if any(quantity.columns[0] in scores for scores in stages.values())
    ]


def _verdict(result: RunResult) -> Text:
    from rich.text import Text

    verdict = result.verdict
    text = Text(verdict.text, "bold green" if verdict.feasible else "bold red")
    for reason in verdict.reasons:
        text.append(f"\n  {reason}", "default")
    return text


def _facts(result: RunResult) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for label, sentence in _sentences(result):
        grid.add_row(label, sentence)
    return grid


def _sentences(result: RunResult) -> Iterator[tuple[str, str]]:
    has = _Numbers(result.numbers)
    window, playout = has("latency_window_ms"), has("latency_playout_ms")
    if total := has("latency_ms"):
        names = fittings(result)
        yield (
            "latency",
            f"{total} ms = {window or DASH} window + {playout or DASH} playout; "
            f"open fitting: {names['open']}, closed: {names['closed']}",
        )
    if half := has("latency_p50_ms"):
        p95, p99, longest = (has(f"latency_{tail}_ms") for tail in ("p95", "p99", "max"))
        yield "ready after", f"p50 {half} ms, p95 {p95}, p99 {p99}, max {longest}"
    if parts := _slowest_frame_ms(result.timeline):
        compute, waiting, margin = parts
        yield (
            "slowest frame",
            f"{compute:.2f} ms compute + {waiting:.2f} waiting, margin {margin:.2f}"
            + (f"; may wait {has('wait_ms')} for the partner" if result.timeline.channels else ""),
        )
    if frames := has("frames", 0):
        left, right = has("frames_not_heard_left", 0), has("frames_not_heard_right", 0)
        yield "frames", f"{frames} per ear; not ready in time: left {left}, right {right}"
    if result.timeline.channels:
        yield from _link_sentences(has)
    if total := has("total_mmac_per_s", 1):
        network = has("network_mmac_per_s", 1)
        yield "compute", f"{total} MMAC/s, {network or DASH} of it in the network"
    left, right = has.percent("utilisation_left"), has.percent("utilisation_right")
    if left and right:
        yield "utilisation", f"left {left}, right {right}"
    devices = result.scenario.devices
    memory = []
    for key, label in (("ram_kb", "RAM"), ("nvm_kb", "NVM")):
        if used := has(key, 0):
            limits = sorted({getattr(devices.left, key), getattr(devices.right, key)})
            memory.append(f"{label} {used} of {' and '.join(f'{limit:g}' for limit in limits)} kB")
    if memory:
        yield "memory", ", ".join(memory)
    yield from _power_sentences(result, has)
    yield from _binaural_sentences(result)
    yield from _scene_sentences(has)


def _power_sentences(result: RunResult, has: _Numbers) -> Iterator[tuple[str, str]]:
    devices = result.scenario.devices
    named = [
        f"{ear} {origin['preset']} ({origin['provenance'].replace('_', ' ')})"
        for ear, device in (("left", devices.left), ("right", devices.right))
        if (origin := presets.origin(device))["preset"] is not None
    ]
    if named:
        scenario = result.scenario
        pairs = zip((devices.left, devices.right), scenario.programs, strict=True)
        count = sum(len(warnings_about(device, program)) for device, program in pairs)
        note = f"; {count} warnings in summary.json" if count else ""
        yield "devices", ", ".join(named) + note
    for ear, device in (("left", devices.left), ("right", devices.right)):
        if total := has(f"power_mw_{ear}"):
            parts = [
                f"{part.replace('_', ' ')} {has(f'power_{part}_mw_{ear}')}"
                for part in COMPONENTS
                if result.numbers.get(f"power_{part}_mw_{ear}")
            ]
            hours = has(f"battery_hours_{ear}", 1)
            cell = presets.label(device.battery.preset) or f"{device.battery.mah:g} mAh"
            lasts = f"; {cell} lasts {hours} h" if hours else ""
            yield f"power {ear}", f"{total} mW = {' + '.join(parts)}{lasts}"


def _link_sentences(has: _Numbers) -> Iterator[tuple[str, str]]:
    if sent := has("packets_sent", 0):
        late, lost = has("packets_late", 0), has("packets_lost", 0)
        yield "packets", f"{sent} sent, {late} late, {lost} lost"
    if realised := has.percent("loss_realised", 2):
        asked = has.percent("loss_asked", 2)
        yield "loss", (f"{asked} asked, " if asked else "") + f"{realised} realised"
    rate, offered = has("link_rate_kbps", 0), has("link_kbps", 0)
    airtime = has.percent("airtime_share")
    link = [f"needs {offered} kbit/s"] if offered else []
    link += [f"has {rate} kbit/s"] if rate else []
    link += [f"on the air {airtime} of the time"] if airtime else []
    if link:
        yield "link", ", ".join(link)


def _scene_sentences(has: _Numbers) -> Iterator[tuple[str, str]]:
    left, right = has("snr_input_db_left", 1), has("snr_input_db_right", 1)
    if left and right:
        room = has("t60_measured_s")
        yield "scene", f"SNR left {left} dB, right {right} dB" + (f"; T60 {room} s" if room else "")


def _binaural_sentences(result: RunResult) -> Iterator[tuple[str, str]]:
    """Quantities of both ears together, in one line."""
    shown = []
    for quantity in quantities_of(result.numbers):
        if not quantity.per_ear:
            value, gain = _of_ear(quantity, result.numbers, "")
            gained = f" ({gain})" if gain else ""
            shown.append(f"{quantity.label} {value} {quantity.unit}".rstrip() + gained)
    if shown:
        yield "both ears", "; ".join(shown)


def _slowest_frame_ms(timeline: Timeline) -> tuple[float, float, float] | None:
    """How long it was computed, how long it waited, and what was left to its deadline."""
    if not np.any(timeline.computed):
        return None
    response_ns = np.where(timeline.computed, timeline.finished_ns - timeline.released_ns, -1)
    ear, frame = np.unravel_index(np.argmax(response_ns), response_ns.shape)
    own = timeline.steps[(timeline.steps["ear"] == ear) & (timeline.steps["frame"] == frame)]
    compute_ns = int(np.sum(own["end_ns"] - own["start_ns"]))
    margin_ns = timeline.deadline_ns[ear, frame] - timeline.finished_ns[ear, frame]
    return compute_ns / 1e6, (response_ns[ear, frame] - compute_ns) / 1e6, margin_ns / 1e6


class _Numbers:
    """A run's numbers as text; an empty text for those that it does not have."""

    def __init__(self, numbers: Mapping[str, float]) -> None:
        self._numbers = numbers

    def __call__(self, name: str, digits: int = 2) -> str:
        value = self._numbers.get(name)
        return "" if value is None else _number(value, digits)

    def percent(self, name: str, digits: int = 0) -> str:
        value = self._numbers.get(name)
        return "" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None, digits: int) -> str:
    # Adding zero turns -0.0 into 0.0.
    return DASH if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def _gain(value: float | None, digits: int) -> Text:
    from rich.text import Text

    if value is None:
        return Text(DASH)
    rounded = round(value, digits) + 0.0
    return Text(f"{rounded:+.{digits}f}", "green" if rounded > 0 else "red" if rounded < 0 else "")
