"""Figures of a run: scene, spectrograms, first frames, load, masks, comb filter, link loss.

Drawn with matplotlib: arrays and records in, a `Figure` out (never pyplot, so no global state),
and `png_bytes` makes the same bytes of the same figure. Colours that every reader can distinguish
(Okabe and Ito); the left ear is blue, the right one vermilion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.simulation.latency import comb_db

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from hasim.experiment.result import RunResult
from hasim.reporting.figure import (
    COLUMNS,
    DYNAMIC_RANGE_DB,
    EAR_COLOURS,
    GREY,
    INK,
    draw_image,
    label_grid,
    new_figure,
    signed,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


from hasim.config.ears import EARS
from hasim.reporting.timeline_figures import first_frames, link_loss, load


def figures(result: RunResult) -> dict[str, Figure]:
    """File name without ending -> figure."""
    rate_hz, room = result.scenario.sample_rate_hz, result.scenario.scene.room
    named = {"noisy": "noisy", "enhanced": "enhanced", "target": "clean"}
    drawn = {}
    if result.scene is not None:
        drawn["scene"] = scene_from_above(
            result.scene.positions_m,
            None if result.scene.t60_s is None else room.size_m,
            room.heading_deg,
        )
    drawn |= {
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
            image = draw_image(
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
            image = draw_image(axes, thinned[ear], mask.shape[-1] * hop_s, sample_rate_hz, (0, 1))
            axes.set_title(f"mask of {name}, {EARS[ear]}")
    label_grid(grid)
    figure.colorbar(image, ax=grid, label="mask", shrink=0.9, aspect=30, pad=0.015)
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
