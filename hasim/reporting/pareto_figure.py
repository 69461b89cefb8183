"""A Pareto front as a figure, as files and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.config import files
from hasim.reporting.figure import (
    GREY,
    INK,
    LOST_COLOUR,
    column_label,
    line_handle,
    new_figure,
    png_bytes,
    vector_bytes,
)
from hasim.studies.columns import point_label
from hasim.studies.pareto import Front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER_COLOUR = "#CC79A7"


def save(front: Front, folder: Path) -> list[Path]:
    """Write the figure as PNG, SVG and PDF, and the numbers as CSV, into files named after the
    objectives; the same front gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [objective.column.rpartition(".")[2] for objective in front.objectives]
    name = "-".join(columns)
    figure = draw(front)
    contents = {
        "png": png_bytes(figure, dpi=300),
        "svg": vector_bytes(figure, "svg"),
        "pdf": vector_bytes(figure, "pdf"),
        "csv": csv_text(front).encode(),
    }
    paths = []
    for ending, content in contents.items():
        paths.append(folder / f"{name}.{ending}")
        files.write_whole(paths[-1], content)
    return paths


def to_dict(front: Front) -> dict[str, Any]:
    """The front as an object for JSON."""
    return {
        "rule": front.rule,
        "points": len(front.settings),
        "left_out": front.left_out,
        "hypervolume": front.hypervolume,
        "knee": None if front.knee is None else dict(front.settings[front.knee]),
        "front": [
            {
                "settings": dict(front.settings[number]),
                "feasible": bool(front.feasible[number]),
                **{
                    objective.column: float(mean)
                    for objective, mean in zip(front.objectives, front.means[number], strict=True)
                },
            }
            for number in np.flatnonzero(front.on_front)
        ],
    }


def summary_lines(front: Front) -> Iterator[str]:
    """One line per point of the front, the cheapest first; then the limits, and a summary."""
    members = np.flatnonzero(front.on_front)
    for number in members[np.argsort(front.means[members, 0], kind="stable")]:
        parts = []
        for column_number, objective in enumerate(front.objectives):
            half = front.half_within[number, column_number]
            interval = f" ± {half:.2g}" if 0 < half < np.inf else ""
            parts.append(f"{objective.column} {front.means[number, column_number]:.4g}{interval}")
        notes = ["knee"] if number == front.knee else []
        notes += [] if front.feasible[number] else ["does not fit"]
        ends = f"  ({', '.join(notes)})" if notes else ""
        yield f"{point_label(front.settings[number])}: {', '.join(parts)}{ends}"
    for objective, limits in zip(front.objectives, front.limits, strict=True):
        for limit in limits:
            yield f"limit of {objective.column}: {limit.value:g} ({limit.label})"
    criterion = "paired differences over seeds" if front.rule == "paired" else "means alone"
    text = f"{len(members)} of {len(front.settings)} points are not beaten (by {criterion}); "
    text += f"hypervolume {front.hypervolume:.3f} of the box of all points"
    yield text + (f"; {front.left_out} points without values" if front.left_out else "")


def csv_text(front: Front) -> str:
    """All points as comma-separated values: settings, means and intervals, and whether beaten."""
    rows = []
    axes = sorted({key for settings in front.settings for key in settings})
    names = [objective.column for objective in front.objectives]
    header = ["point", *axes, "seeds", "feasible"]
    for name in names:
        header += [name, f"{name}_low_95", f"{name}_high_95", f"{name}_within_95"]
    header += [front.colour_column] if front.colour_column else []
    for number, settings in enumerate(front.settings):
        cells: list[Any] = [number, *(settings.get(key, "") for key in axes)]
        cells += [front.seeds[number], _yes(front.feasible[number])]
        spans = (front.means[number], front.half[number], front.half_within[number])
        for mean, half, within in zip(*spans, strict=True):
            shown = (mean, mean - half, mean + half, within)
            cells += [repr(float(x)) if np.isfinite(x) else "" for x in shown]
        if front.colour is not None:
            cells.append(repr(float(front.colour[number])))
        beaten = front.beaten_by[number]
        cells += [_yes(front.on_front[number]), _yes(number == front.knee)]
        rows.append([*cells, beaten if beaten >= 0 else ""])
    return files.csv_text([*header, "on_front", "knee", "beaten_by"], rows)


def _yes(flag: Any) -> str:
    return "true" if flag else "false"


def draw(front: Front) -> Figure:
    """All points of a sweep in two objectives: those with the best means joined, those that are
    dominated faint.

    For one column of a two-column page (3.5 inches). Crosses do not fit their device or link; bars
    are 95 % intervals over seeds without what all points share. A third objective, or else a
    further column, is the colour.
    """
    figure = new_figure(3.5, 3.1)
    axes = figure.add_subplot()
    _draw_points(figure, axes, front)
    _draw_published(axes, front)
    _draw_limits(axes, front)
    if front.knee is not None:
        _draw_knee(axes, front, front.knee)
    axes.set_xlabel(column_label(front.objectives[0].column), fontsize=8)
    axes.set_ylabel(column_label(front.objectives[1].column), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)
    _draw_legend(figure, front)
    return figure


def _draw_points(figure: Figure, axes: Axes, front: Front) -> None:
    """Dominated points first and faint, those with the best means last, with a colour bar."""
    best, on_front = front.leading, front.on_front | front.leading
    x, y = front.means[:, 0], front.means[:, 1]
    if len(front.objectives) == 3:
        shade: ndarray | None = front.means[:, 2]
        shaded = front.objectives[2].column
    else:
        shade, shaded = front.colour, front.colour_column or ""
        order = np.flatnonzero(best)[np.lexsort((y[best], x[best]))]
        axes.plot(x[order], y[order], color=INK, linewidth=0.8, alpha=0.6, zorder=2.5)
    colours = np.zeros(len(x)) if shade is None else shade
    # Points that overload a link may be late without bound: they do not set the range of colours.
    ranged = colours[best | front.feasible]
    half = np.where(np.isfinite(front.half_within), front.half_within, 0.0)
    for shown, opacity, size in (
        (~on_front, 0.2, 12),
        (on_front & ~best, 0.6, 14),
        (best, 1.0, 28),
    ):
        axes.errorbar(
            x[shown],
            y[shown],
            xerr=half[shown, 0],
            yerr=half[shown, 1],
            fmt="none",
            ecolor=GREY,
            elinewidth=0.6,
            alpha=0.8 * opacity,
            zorder=2,
        )
        for fits, marker in ((True, "o"), (False, "X")):
            own = shown & (front.feasible == fits)
            drawn = axes.scatter(
                x[own],
                y[own],
                s=size,
                c=colours[own],
                cmap="viridis",
                vmin=ranged.min(),
                vmax=ranged.max(),
                marker=marker,
                alpha=opacity,
                edgecolors=INK if opacity == 1 else "none",
                linewidths=0.5,
                zorder=3 + opacity,
            )
    if np.ptp(ranged) > 0:
        beyond = "max" if colours.max() > ranged.max() else "neither"
        bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30, extend=beyond)
        bar.set_label(column_label(shaded), fontsize=7)
        bar.ax.tick_params(labelsize=7)


def _draw_published(axes: Axes, front: Front) -> None:
    """The paper's points, with their names towards the middle."""
    for point in front.published:
        axes.plot(*point.values[:2], "D", markersize=4, color=PAPER_COLOUR, zorder=5)
    for point in front.published:
        at = (point.values[0], point.values[1])
        on_left = at[0] < np.mean(axes.get_xlim())
        axes.annotate(
            point.name,
            at,
            xytext=(4 if on_left else -4, 3),
            textcoords="offset points",
            ha="left" if on_left else "right",
            fontsize=5,
        )


def _draw_knee(axes: Axes, front: Front, knee: int) -> None:
    """The settings of the knee beside it."""
    upwards = not front.objectives[1].maximize
    axes.annotate(
        f"knee: {point_label(front.settings[knee])}".replace(", ", "\n"),
        (front.means[knee, 0], front.means[knee, 1]),
        xytext=(12, 14 if upwards else -14),
        textcoords="offset points",
        va="bottom" if upwards else "top",
        fontsize=6,
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": INK},
        bbox={"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.5},
        zorder=6,
    )


def _draw_legend(figure: Figure, front: Front) -> None:
    """Only what is in the figure."""
    best, on_front = front.leading, front.on_front | front.leading
    handles = [line_handle("o", INK, "best means")]
    handles += (
        [] if (on_front == best).all() else [line_handle("o", "#777777", "not clearly beaten")]
    )
    handles += [] if on_front.all() else [line_handle("o", "#d0d0d0", "beaten")]
    handles += [] if front.feasible.all() else [line_handle("X", INK, "does not fit")]
    handles += [line_handle("D", PAPER_COLOUR, "paper, other data")] if front.published else []
    for handle in handles:
        handle.set_markersize(4)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        fontsize=6,
        frameon=False,
        handletextpad=0.1,
        columnspacing=0.8,
    )


def _draw_limits(axes: Axes, front: Front) -> None:
    """A dashed line at every limit that is near the points."""
    for number, limits in enumerate(front.limits[:2]):
        values = front.means[:, number]
        for limit in limits:
            if not 0.3 * values.max() <= limit.value <= 3 * values.max():
                continue
            along = axes.axvline if number == 0 else axes.axhline
            along(limit.value, color=LOST_COLOUR, linewidth=0.9, linestyle="--", zorder=1)
            across = axes.get_xaxis_transform() if number == 0 else axes.get_yaxis_transform()
            place = (limit.value, 0.99) if number == 0 else (0.99, limit.value)
            axes.annotate(
                f"{limit.label}: {limit.value:g}",
                place,
                xycoords=across,
                xytext=(-2, 0) if number == 0 else (0, 2),
                textcoords="offset points",
                rotation=90 if number == 0 else 0,
                ha="right",
                va="top" if number == 0 else "bottom",
                fontsize=6,
                color=LOST_COLOUR,
            )
