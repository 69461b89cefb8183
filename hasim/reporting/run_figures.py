"""Figures of a run: scene, spectrograms, first frames, load, masks, comb filter, link loss.

The door to matplotlib: arrays and records in, a `Figure` out (never pyplot, so no global state),
and `png_bytes` makes the same bytes of the same figure. Colours are told apart by every reader
(Okabe and Ito); the left ear is blue, the right one vermilion.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.simulation.latency import comb_db
from hasim.simulation.timeline import Status, Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from hasim.experiment.result import RunResult
from hasim.reporting.figure import (
    COLUMNS,
    DYNAMIC_RANGE_DB,
    EAR_COLOURS,
    GREY,
    INK,
    LATE_COLOUR,
    LOST_COLOUR,
    STEP_COLOURS,
    label_grid,
    line_handle,
    new_figure,
    signed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


from hasim.config.ears import EARS

PACKET_COLOUR = "#d0d0d0"


def figures(result: RunResult) -> dict[str, Figure]:
    """File name without ending -> figure."""
    rate_hz, room = result.scenario.sample_rate_hz, result.scenario.scene.room
    named = {"noisy": "noisy", "enhanced": "enhanced", "target": "clean"}
    drawn = {
        "scene": scene_from_above(
            result.scene.positions_m,
            None if result.scene.t60_s is None else room.size_m,
            room.heading_deg,
        ),
        "spectrograms": spectrograms({named[name]: result.audio[name] for name in named}, rate_hz),
        "first_frames": first_frames(result.timeline),
        "load": load(result.timeline),
    }
    if result.masks:
        drawn["masks"] = masks(result.masks, result.timeline.hop_ns / 1e9, rate_hz)
    if "latency_ms" in result.numbers:
        drawn["comb"] = comb(result.numbers["latency_ms"])
    if result.timeline.channels:
        drawn["link_loss"] = link_loss(result.timeline)
    return drawn


def scene_from_above(
    positions_m: Mapping[str, tuple[float, float, float]],
    size_m: tuple[float, float, float] | None,
    heading_deg: float = 0.0,
) -> Figure:
    """Who stands where: "listener", "target" and noises, with distance and direction.

    `size_m` is the room; None: no walls. Directions are seen from the listener, +90 degrees is
    left.
    """
    from matplotlib.patches import Circle, Polygon, Rectangle

    figure = new_figure(6.4, 5.2)
    axes = figure.add_subplot()
    listener = np.array(positions_m["listener"])
    if size_m is not None:
        axes.add_patch(
            Rectangle((0, 0), size_m[0], size_m[1], facecolor="#f4f4f1", edgecolor=INK, linewidth=2)
        )
    heading = np.deg2rad(heading_deg)
    ahead = np.array([np.cos(heading), np.sin(heading)])
    left = np.array([-ahead[1], ahead[0]])
    radius_m = 0.12
    centre = listener[:2]
    nose = [centre + radius_m * (0.9 * ahead + s * 0.35 * left) for s in (1, -1)]
    axes.add_patch(
        Polygon(
            [*nose, centre + 1.5 * radius_m * ahead], facecolor="white", edgecolor=INK, zorder=3
        )
    )
    axes.add_patch(Circle(tuple(centre), radius_m, facecolor="white", edgecolor=INK, zorder=3))
    for side, colour, letter in ((1, EAR_COLOURS[0], "L"), (-1, EAR_COLOURS[1], "R")):
        ear = centre + side * radius_m * left
        axes.add_patch(Circle(tuple(ear), 0.04, color=colour, zorder=4))
        axes.annotate(
            letter,
            tuple(ear + 0.1 * (side * left - ahead)),
            color=colour,
            ha="center",
            va="center",
            weight="bold",
        )
    for name, position in positions_m.items():
        if name == "listener":
            continue
        offset = np.array(position) - listener
        distance_m = float(np.linalg.norm(offset))
        azimuth_deg = np.rad2deg(np.arctan2(offset[:2] @ left, offset[:2] @ ahead))
        talker = name == "target"
        axes.plot(*zip(centre, position[:2], strict=True), ":", color=GREY, linewidth=1, zorder=1)
        axes.plot(
            *position[:2],
            marker="o" if talker else "s",
            markersize=11,
            color="#009E73" if talker else "#CC79A7",
            markeredgecolor=INK,
            zorder=5,
        )
        away = offset[:2] / max(np.linalg.norm(offset[:2]), 1e-9)
        axes.annotate(
            f"{name.replace('_', ' ')}\n{distance_m:.2f} m, {signed(azimuth_deg)}°",
            position[:2],
            xytext=(22 * away[0], 24 * away[1]),
            textcoords="offset points",
            ha="center" if abs(away[0]) < 0.7 else ("left" if away[0] > 0 else "right"),
            va="center" if abs(away[1]) < 0.7 else ("bottom" if away[1] > 0 else "top"),
            zorder=6,
        )
    axes.set_aspect("equal")
    axes.set(xlabel="x (m)", ylabel="y (m)")
    if size_m is not None:
        axes.set(xlim=(-0.15, size_m[0] + 0.15), ylim=(-0.15, size_m[1] + 0.15))
        axes.set_title(f"Scene from above, room {size_m[0]:g} × {size_m[1]:g} × {size_m[2]:g} m")
    else:
        places = np.array([position[:2] for position in positions_m.values()])
        middle = (places.min(axis=0) + places.max(axis=0)) / 2
        half = max(1.0, float(np.ptp(places, axis=0).max()) / 2 + 0.8)
        axes.set(
            xlim=(middle[0] - 1.2 * half, middle[0] + 1.2 * half),
            ylim=(middle[1] - half, middle[1] + half),
        )
        axes.set_title("Scene from above, no walls")
    return figure


def spectrograms(signals: Mapping[str, ndarray], sample_rate_hz: int) -> Figure:
    """One row per signal (ear, sample), one column per ear; all in dB.

    0 dB is what the loudest thousandth of a signal's points exceeds, so that one click does not
    darken the picture.
    """
    figure = new_figure(10.0, 1.0 + 2.1 * len(signals))
    grid = figure.subplots(len(signals), 2, sharex=True, sharey=True, squeeze=False)
    pictures = {name: spectrogram_db(signal, sample_rate_hz) for name, signal in signals.items()}
    loudest = max(float(np.percentile(picture, 99.9)) for picture in pictures.values())
    image: Any = None
    for row, (name, picture) in zip(grid, pictures.items(), strict=True):
        duration_s = signals[name].shape[-1] / sample_rate_hz
        for ear, axes in enumerate(row):
            image = image(
                axes, picture[ear] - loudest, duration_s, sample_rate_hz, (-DYNAMIC_RANGE_DB, 0)
            )
            axes.set_title(f"{name}, {EARS[ear]}")
    label_grid(grid)
    figure.colorbar(image, ax=grid, label="level (dB)", shrink=0.9, aspect=30, pad=0.015)
    return figure


def spectrogram_db(signal: ndarray, sample_rate_hz: int, window: int = 512) -> ndarray:
    """(ear, sample) -> (ear, bin, column) in dB, about 1000 columns at most."""
    samples = signal.shape[-1]
    padded = np.pad(signal, ((0, 0), (0, max(0, window - samples))))
    hop = max(window // 4, samples // COLUMNS)
    blocks = np.lib.stride_tricks.sliding_window_view(padded, window, axis=-1)[:, ::hop]
    spectra = np.fft.rfft(blocks * np.hanning(window), axis=-1)  # (ear, column, bin)
    return 20 * np.log10(np.abs(np.swapaxes(spectra, -1, -2)) + 1e-9)


def masks(masks: Mapping[str, ndarray], hop_s: float, sample_rate_hz: int) -> Figure:
    """One row per network's mask (ear, bin, frame), one column per ear, 0 (noise) to 1 (talker)."""
    figure = new_figure(10.0, 1.0 + 2.3 * len(masks))
    grid = figure.subplots(len(masks), 2, sharex=True, sharey=True, squeeze=False)
    image: Any = None
    for row, (name, mask) in zip(grid, masks.items(), strict=True):
        thinned = mask[..., :: -(-mask.shape[-1] // COLUMNS)]
        for ear, axes in enumerate(row):
            image = image(axes, thinned[ear], mask.shape[-1] * hop_s, sample_rate_hz, (0, 1))
            axes.set_title(f"mask of {name}, {EARS[ear]}")
    label_grid(grid)
    figure.colorbar(image, ax=grid, label="mask", shrink=0.9, aspect=30, pad=0.015)
    return figure


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


def comb(latency_ms: float, gains_db: tuple[float, ...] = (0.0, -10.0, 10.0)) -> Figure:
    """What an open ear hears of direct plus processed sound that is late by `latency_ms`."""
    figure = new_figure(8.0, 3.8)
    axes = figure.add_subplot()
    top_hz = min(8000.0, 10_000 / max(latency_ms, 0.01))
    frequency_hz = np.linspace(0, top_hz, 4000)
    for gain_db, colour in zip(gains_db, ("#000000", *EAR_COLOURS), strict=True):
        level_db = comb_db(frequency_hz, latency_ms, gain_db)
        label = f"processed {signed(gain_db)} dB" if gain_db else "equal levels"
        axes.plot(frequency_hz, np.maximum(level_db, -40), color=colour, label=label, linewidth=1.2)
    notch_hz = 500 / latency_ms if latency_ms > 0 else float("inf")
    axes.set(
        xlabel="frequency (Hz)",
        ylabel="level against the direct sound alone (dB)",
        xlim=(0, top_hz),
        ylim=(-40, 15),
    )
    first = f", first notch at {notch_hz:.3g} Hz" if notch_hz <= top_hz else ""
    axes.set_title(f"Direct and processed sound in an open ear, {latency_ms:.3g} ms late{first}")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(loc="lower right", fontsize=8)
    return figure


def link_loss(timeline: Timeline, window_s: float = 1.0) -> Figure:
    """Share of frames without the partner's packet in a sliding window; the fate of each frame."""
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
