"""What all figures share: colours, axes, labels of columns, file formats."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from numpy import ndarray

from hasim.config.ears import EARS
from hasim.metrics import catalogue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EAR_COLOURS = ("#0072B2", "#D55E00")
STEP_COLOURS = ("#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#F0E442", "#0072B2")
LATE_COLOUR, LOST_COLOUR = "#E69F00", "#D55E00"
GREY, INK = "#8a8a8a", "#222222"
DYNAMIC_RANGE_DB = 70.0
"""Spectrograms show this range below their loudest point."""
COLUMNS = 1000
"""Pictures of long signals show at most about this many columns of time."""

UNITS = {
    "_mmac_per_s": "MMAC/s",
    "_kbps": "kbit/s",
    "_db": "dB",
    "_ms": "ms",
    "_us": "µs",
    "_kb": "kB",
    "_mw": "mW",
    "_mj": "mJ",
    "_s": "s",
}
"""Unit at the end of the name of a column -> as it is written."""
ABBREVIATIONS = {"snr": "SNR", "ram": "RAM", "nvm": "NVM"}


def png_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """The figure as a PNG file of `dpi` dots per inch, without date or version inside."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi, metadata={"Software": None})
    return picture.getvalue()


def jpeg_bytes(figure: Figure, dpi: int) -> bytes:
    """The figure as a JPEG file: pictures full of noise are much smaller so than as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="jpg", dpi=dpi, pil_kwargs={"quality": 60})
    return picture.getvalue()


def vector_bytes(figure: Figure, format: Literal["svg", "pdf"]) -> bytes:
    """The figure as SVG or PDF, the same bytes each time: no date, no version, no random names."""
    import matplotlib

    picture = io.BytesIO()
    nothing = {"Date": None} if format == "svg" else {"CreationDate": None, "Producer": None}
    with matplotlib.rc_context({"svg.hashsalt": "hasim", "pdf.fonttype": 42}):
        figure.savefig(picture, format=format, metadata={"Creator": None, **nothing})
    return picture.getvalue()


def column_label(column: str) -> str:
    """A column of a table as a reader would write it.

    >>> column_label("si_sdr_improvement_db"), column_label("total_mmac_per_s")
    ('SI-SDR improvement (dB)', 'total (MMAC/s)')
    """
    if column == "link_kbps":
        return "offered to the link (kbit/s)"
    text = column.rpartition(".")[2]
    ear = next((ear for ear in EARS if text.endswith(f"_{ear}")), "")
    text = text.removesuffix(f"_{ear}")
    if (score := catalogue.column(text)) is not None:
        words, unit = f"{score.quantity.label} {score.state}".rstrip(), score.quantity.unit
    else:
        suffix = next((suffix for suffix in UNITS if text.endswith(suffix)), "")
        first, *others = text.removesuffix(suffix).split("_")
        words, unit = " ".join([ABBREVIATIONS.get(first, first), *others]), UNITS.get(suffix, "")
    words += f", {ear}" if ear else ""
    return f"{words} ({unit})" if unit else words


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of this size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_image(
    axes: Axes, values: ndarray, duration_s: float, sample_rate_hz: int, limits: tuple[float, float]
) -> Any:
    """Draw (bin, frame) up to half the sample rate; `limits` are the ends of the colour scale."""
    return axes.imshow(
        values,
        origin="lower",
        aspect="auto",
        cmap="viridis",
        interpolation="nearest",
        vmin=limits[0],
        vmax=limits[1],
        extent=(0, duration_s, 0, sample_rate_hz / 2000),
    )


def label_grid(grid: ndarray) -> None:
    """Name frequency and time at the outer edges of a grid of axes (row, column)."""
    for axes in grid[:, 0]:
        axes.set_ylabel("frequency (kHz)")
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")


def signed(number: float) -> str:
    """A whole number with its sign, and a true minus."""
    rounded = round(number)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def line_handle(marker: str, colour: str, label: str) -> Any:
    """An entry of a legend: one marker without a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=marker, color=colour, label=label)
