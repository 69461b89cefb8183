"""Figures of a timeline: first frames, load of the cores, what the link lost."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.simulation.timeline import Status, Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from hasim.reporting.figure import (
    EAR_COLOURS,
    GREY,
    INK,
    LATE_COLOUR,
    LOST_COLOUR,
    STEP_COLOURS,
    line_handle,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
from hasim.config.ears import EARS

PACKET_COLOUR = "#d0d0d0"


def first_frames(timeline: Timeline, frames: int = 5) -> Figure:
    """Gantt chart of the first frames: both cores, the medium, waits for the partner, deadlines."""
    from matplotlib.patches import Patch

    frames = min(frames, timeline.released_ns.shape[1])
    steps = timeline.steps[timeline.steps["frame"] < frames]
    packets = timeline.packets[timeline.packets["frame"] < frames]
    names = list(dict.fromkeys(str(name) for name in steps["name"]))
    colour = {name: STEP_COLOURS[i % len(STEP_COLOURS)] for i, name in enumerate(names)}
    hatch = {name: "//" * (i // len(STEP_COLOURS)) for i, name in enumerate(names)}

    figure = new_figure(11.0, 4.6)
    axes = figure.add_subplot()
    core_at, medium_at = (3.0, 0.0), (2.0, 1.0)  # heights by ear; packets by sending ear
    for ear in (0, 1):
        own = steps[steps["ear"] == ear]
        for name in names:
            bars = own[own["name"] == name]
            spans = np.stack([bars["start_ns"], bars["end_ns"] - bars["start_ns"]], axis=-1) / 1e6
            axes.broken_barh(
                spans.tolist(),
                (core_at[ear] - 0.3, 0.6),
                facecolor=colour[name],
                edgecolor=INK,
                linewidth=0.2,
                hatch=hatch[name],
            )
        for frame in range(frames):
            _mark_frame(axes, timeline, own[own["frame"] == frame], ear, frame, core_at[ear])
        sent = packets[packets["sender"] == ear]
        _mark_packets(axes, sent, medium_at[ear])
    axes.set_yticks(
        [core_at[0], medium_at[0], medium_at[1], core_at[1]],
        ["left core", "left → right", "right → left", "right core"],
    )
    axes.set_ylim(-0.75, 3.75)
    end_ms = max(
        float(timeline.deadline_ns[:, :frames].max()),
        float(timeline.finished_ns[:, :frames].max()),
        float(packets["end_ns"].max()) if len(packets) else 0.0,
    )
    end_ms /= 1e6
    axes.set_xlim(-0.01 * end_ms, 1.02 * end_ms)
    axes.set(xlabel="time (ms)", title=f"The first {frames} frames")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    handles: list[Any] = [
        Patch(facecolor=colour[name], edgecolor=INK, linewidth=0.4, hatch=hatch[name], label=name)
        for name in names
    ]
    handles += [
        Patch(facecolor="white", edgecolor=GREY, hatch="....", linewidth=0.4, label="waits"),
        Patch(facecolor=PACKET_COLOUR, edgecolor=INK, linewidth=0.4, label="packet"),
        Patch(facecolor=LOST_COLOUR, edgecolor=INK, hatch="xx", linewidth=0.4, label="packet lost"),
        line_handle("v", INK, "frame complete"),
        line_handle("|", "#009E73", "deadline kept"),
        line_handle("X", LOST_COLOUR, "deadline missed"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=8)
    return figure


def load(timeline: Timeline, window_s: float = 0.25) -> Figure:
    """How busy both cores and the medium are, and how many frames each ear has in hand, released
    but not finished, on average of every `window_s`."""
    window_ns = round(window_s * 1e9)
    end_ns = max(timeline.duration_ns, int(timeline.finished_ns.max()))
    edges_ns = np.append(np.arange(0, end_ns, window_ns), end_ns)
    figure = new_figure(10.0, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2], squeeze=True)
    spans = {
        f"{EARS[ear]} core": timeline.steps[timeline.steps["ear"] == ear] for ear in (0, 1)
    } | {
        f"{EARS[ear]} sends": timeline.packets[timeline.packets["sender"] == ear] for ear in (0, 1)
    }
    for number, (label, records) in enumerate(spans.items()):
        busy_ns = np.diff(_covered_ns(records["start_ns"], records["end_ns"], edges_ns))
        share = busy_ns / np.diff(edges_ns)
        style = "-" if number < 2 else ":"
        above.stairs(
            100 * share,
            edges_ns / 1e9,
            baseline=None,
            color=EAR_COLOURS[number % 2],
            linestyle=style,
            linewidth=1.5,
            label=label,
        )
    above.set_ylabel("busy (%)")
    above.set_ylim(0, max(105.0, above.get_ylim()[1]))  # core and accelerator may both be busy
    above.set_title(f"Averages over {window_s:g} s", loc="left")
    above.grid(color="#dddddd", linewidth=0.6)
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8, frameon=False)
    for ear in (0, 1):
        done = timeline.computed[ear]
        held = timeline.released_ns[ear, done], timeline.finished_ns[ear, done]
        mean = np.diff(_covered_ns(*held, edges_ns)) / np.diff(edges_ns)
        below.stairs(mean, edges_ns / 1e9, baseline=None, color=EAR_COLOURS[ear], linewidth=1.5)
    below.set(xlabel="time (s)", ylabel="frames in hand", xlim=(0, end_ns / 1e9))
    below.set_ylim(bottom=0)
    below.grid(color="#dddddd", linewidth=0.6)
    return figure


def link_loss(timeline: Timeline, window_s: float = 1.0) -> Figure:
    """Share of frames without the partner's packet in time; the status of each frame's packet."""
    rows = [
        (f"{channel}, {EARS[1 - ear]} → {EARS[ear]}", ear, deliveries.status[ear])
        for channel, deliveries in timeline.channels.items()
        for ear in (1, 0)
    ]
    rows += [(f"playout, {EARS[ear]}", ear, np.where(timeline.heard[ear], 0, 1)) for ear in (0, 1)]
    figure = new_figure(10.0, 3.2 + 0.28 * len(rows))
    above, below = figure.subplots(
        2, 1, sharex=True, height_ratios=[3, 0.9 + 0.35 * len(rows)], squeeze=True
    )
    times_s = timeline.released_ns[0] / 1e9
    frames = min(max(1, round(window_s * 1e9 / timeline.hop_ns)), len(times_s))
    for number, (label, ear, status) in enumerate(rows):
        missing = np.isin(status, [Status.LATE, Status.LOST])
        if number < len(rows) - 2:
            style = ("-", "--", ":", "-.")[number // 2 % 4]
            share = np.convolve(missing, np.full(frames, 1 / frames), "valid")
            above.plot(
                times_s[frames - 1 :], 100 * share, style, color=EAR_COLOURS[ear], label=label
            )
        late, lost = times_s[status == Status.LATE], times_s[status == Status.LOST]
        below.vlines(late, number, number + 0.35, color=LATE_COLOUR, linewidth=1.2)
        below.vlines(lost, number - 0.35, number + 0.35, color=LOST_COLOUR, linewidth=1.2)
    above.set_ylabel("late or lost (%)")
    span_s = frames * timeline.hop_ns / 1e9
    above.set_title(f"Packets not there in time, of the last {span_s:.2g} s", loc="left")
    above.set_ylim(bottom=0)
    above.set_ylim(top=max(2.0, above.get_ylim()[1]))
    above.grid(color="#dddddd", linewidth=0.6)
    if len(rows) > 2:
        above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8, frameon=False)
    below.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    below.set_ylim(len(rows) - 0.5, -0.5)
    below.set(xlabel="time (s)", xlim=(0, float(times_s[-1]) + timeline.hop_ns / 1e9))
    figure.legend(
        handles=[
            line_handle("|", LATE_COLOUR, "late (short)"),
            line_handle("|", LOST_COLOUR, "lost (long)"),
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=8,
    )
    return figure


def _covered_ns(start_ns: ndarray, end_ns: ndarray, until_ns: ndarray) -> ndarray:
    """How much of the spans lies before each time; where they overlap, all of them count."""
    starts, ends = np.sort(start_ns), np.sort(end_ns)

    def before(edges_ns: ndarray) -> ndarray:
        """Sum over all edges that have passed of the time since."""
        passed = np.searchsorted(edges_ns, until_ns)
        return until_ns * passed - np.concatenate([[0], np.cumsum(edges_ns)])[passed]

    return before(starts) - before(ends)


def _mark_frame(
    axes: Axes, timeline: Timeline, steps: ndarray, ear: int, frame: int, height: float
) -> None:
    released_ms = timeline.released_ns[ear, frame] / 1e6
    deadline_ms = timeline.deadline_ns[ear, frame] / 1e6
    axes.plot(released_ms, height + 0.42, marker="v", color=INK, markersize=5)
    axes.annotate(
        f"{frame}", (released_ms, height + 0.52), ha="center", va="bottom", fontsize=8, color=INK
    )
    kept = bool(timeline.heard[ear, frame])
    axes.vlines(
        deadline_ms,
        height - 0.42,
        height + 0.42,
        color="#009E73" if kept else LOST_COLOUR,
        linewidth=2,
    )
    if not kept:
        axes.plot(deadline_ms, height - 0.42, marker="X", color=LOST_COLOUR, markersize=7)
    ordered = np.sort(steps, order="start_ns")
    for before, after in pairwise(ordered):
        gap_ns = after["start_ns"] - before["end_ns"]
        if gap_ns > 0:
            axes.broken_barh(
                [(before["end_ns"] / 1e6, gap_ns / 1e6)],
                (height - 0.12, 0.24),
                facecolor="white",
                edgecolor=GREY,
                hatch="....",
                linewidth=0.4,
                zorder=0.9,
            )


def _mark_packets(axes: Axes, packets: ndarray, height: float) -> None:
    for packet in packets:
        start_ms, end_ms = packet["start_ns"] / 1e6, packet["end_ns"] / 1e6
        lost = bool(packet["lost"])
        axes.broken_barh(
            [(start_ms, end_ms - start_ms)],
            (height - 0.2, 0.4),
            facecolor=LOST_COLOUR if lost else PACKET_COLOUR,
            edgecolor=INK,
            hatch="xx" if lost else "",
            linewidth=0.4,
        )
        if packet["piece"] == 0:
            axes.annotate(
                f"{packet['frame']}",
                ((start_ms + end_ms) / 2, height + 0.22),
                ha="center",
                va="bottom",
                fontsize=8,
                color=INK,
            )
        if not lost:
            axes.plot(
                [end_ms, packet["arrived_ns"] / 1e6], [height, height], color=GREY, linewidth=1
            )
