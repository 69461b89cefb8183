"""Figures about networks: training curves and sensitivity to bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from hasim.reporting.figure import GREY, INK, STEP_COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curves(epochs: Sequence[Mapping[str, Any]]) -> Figure:
    """A training run, from the lines of its log: losses on both sides, and dB gained by the GEVD
    filter on the validation side; a star marks the epoch whose weights were kept."""
    figure = new_figure(7.2, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    number = [entry["epoch"] for entry in epochs]
    best = [entry["epoch"] for entry in epochs if entry["improved"]][-1:]
    for name, colour in zip(("mask", "stft", "task"), STEP_COLOURS, strict=False):
        for side, style in (("training", ":"), ("validation", "-")):
            values = [entry[side].get(name, np.nan) for entry in epochs]
            if not np.all(np.isnan(values)):
                upper.plot(number, values, style, color=colour, label=f"{name}, {side}", marker=".")
    gain_db = [entry["validation"].get("gevd_gain_db", np.nan) for entry in epochs]
    lower.plot(number, gain_db, "-", color=INK, marker=".")
    for axes in (upper, lower):
        axes.grid(color="#e0e0e0")
        for epoch in best:
            axes.axvline(epoch, color=GREY, linewidth=1, linestyle="--")
    for epoch in best:
        upper.plot(epoch, epochs[number.index(epoch)]["validation"]["task"], "*", color=INK, ms=12)
    upper.set_yscale("log")
    upper.set_ylabel("loss")
    upper.legend(fontsize=8, ncols=3)
    lower.set_ylabel("SI-SDR gain, GEVD (dB)")
    lower.set_xlabel("epoch")
    return figure


def sensitivity(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """What one part of a network in few bits does: the error of the masked signal, and what of it
    is left behind the filter; beside it the SI-SDR that goes with it, with 95 % intervals."""
    figure = new_figure(7.6, 1.1 + 0.21 * len(rows))
    errors, losses = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    place = np.arange(len(rows))[::-1]
    for axes, names, label in (
        (errors, ("error_before_db", "error_after_db"), "error against floating point (dB)"),
        (losses, ("si_sdr_loss_before_db", "si_sdr_loss_after_db"), "SI-SDR lost (dB)"),
    ):
        before, after = ([row[name] for row in rows] for name in names)
        axes.hlines(place, before, after, color="#b0b0b0", linewidth=1.5)
        if axes is losses and all(row["intervals"][name] for row in rows for name in names):
            for name, lift, colour in zip(names, (0.15, -0.15), STEP_COLOURS, strict=False):
                low, high = zip(*(row["intervals"][name] for row in rows), strict=True)
                axes.hlines(place + lift, low, high, color=colour, linewidth=1)
        axes.plot(before, place, "o", color=STEP_COLOURS[0], ms=4, label="masked microphone")
        axes.plot(after, place, "D", color=STEP_COLOURS[1], ms=4, label="behind the filter")
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(color="#e4e4e4", linewidth=0.5)
        axes.set_axisbelow(True)
    losses.axvline(0, color=GREY, linewidth=1)
    errors.set_yticks(place, [f"{row['what'].replace('_', ' ')}" for row in rows])
    errors.set_ylabel(f"at {rows[0]['bits']} bits", fontsize=8)
    handles, labels = errors.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=7, frameon=False)
    return figure
