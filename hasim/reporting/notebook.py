"""What a notebook shows of a result: its table, players of the sound, and spectrograms.

A notebook keeps all of it in its file, so it is small: below 300 kB for 8 s of sound. Three stereo
signals of 8 s are 1.5 MB as 16-bit WAV and 0.7 MB as FLAC, and two spectrograms are 0.6 MB as PNG;
hence Ogg Vorbis, which all current browsers play, and JPEG. The folder of the run has the sound in
24 bits and all figures.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hasim.acoustics.audio_file import ogg_bytes, peak
from hasim.experiment.result import RunResult
from hasim.experiment.summary import table
from hasim.reporting.figure import jpeg_bytes
from hasim.reporting.pictures import uri
from hasim.reporting.run_figures import spectrograms

if TYPE_CHECKING:
    from rich.table import Table

PLAYER_S = 8.0
"""The players and spectrograms hold the beginning of the sound up to here."""
PEAK = 0.9


def result_html(result: RunResult) -> str:
    """The table and the verdict, players at one common level, and spectrograms, as HTML."""
    rate_hz = result.scenario.sample_rate_hz
    start = {name: x[:, : round(PLAYER_S * rate_hz)] for name, x in result.audio.items()}
    gain = PEAK / max(peak(start.values()), 1e-9)
    page = list(blocks(table(result, stages=bool(result.stages))))
    for name, waveform in start.items():
        sound = uri("audio/ogg", ogg_bytes(gain * waveform, rate_hz))
        page.append(
            f"<div>{html.escape(name)}<br>"
            f'<audio controls preload="none" src="{sound}"></audio></div>'
        )
    figure = spectrograms({name: start[name] for name in ("noisy", "enhanced")}, rate_hz)
    picture = uri("image/jpeg", jpeg_bytes(figure, dpi=72))
    page.append(f'<img alt="spectrograms, noisy and enhanced" src="{picture}">')
    return "\n".join(page)


def blocks(shown: Any) -> Iterator[str]:
    """Rich's tables and texts as HTML elements."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table

    if isinstance(shown, Group):
        for part in shown.renderables:
            yield from blocks(part)
    elif isinstance(shown, Padding):
        yield from blocks(shown.renderable)
    elif isinstance(shown, Table):
        yield _table(shown)
    else:
        yield f"<p>{_text(shown)}</p>"


def _table(shown: Table) -> str:
    def row(tag: str, cells: list[Any]) -> str:
        aligned = zip(cells, shown.columns, strict=True)
        return "".join(
            f'<{tag} style="text-align:{column.justify}">{_text(cell)}</{tag}>'
            for cell, column in aligned
        )

    rows = [row("td", list(cells)) for cells in zip(*(c.cells for c in shown.columns), strict=True)]
    head = ""
    if shown.title:
        head += f'<caption style="text-align:left">{_text(shown.title)}</caption>'
    if shown.show_header:
        head += f"<thead><tr>{row('th', [c.header for c in shown.columns])}</tr></thead>"
    return f"<table>{head}<tbody>{''.join(f'<tr>{cells}</tr>' for cells in rows)}</tbody></table>"


def _text(cell: Any) -> str:
    from rich.text import Text

    text = cell if isinstance(cell, Text) else Text.from_markup(str(cell))
    return html.escape(text.plain).replace("\n", "<br>")


# A result does not know how it is shown: this package adds the method that notebooks look for.
RunResult._repr_html_ = result_html  # type: ignore[attr-defined]
