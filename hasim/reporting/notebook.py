"""What a notebook shows of a result: its table, the verdict, players of the sound."""

from __future__ import annotations

import html
import io

from hasim.acoustics.audio_file import peak
from hasim.experiment.result import RunResult
from hasim.experiment.summary import table
from hasim.reporting.pictures import wav_uri

PLAYER_S = 10.0
"""How much of the sound a notebook gets."""


def result_html(result: RunResult) -> str:
    """The table and the verdict, and players of the sound, all at one common level."""
    from rich.console import Console

    console = Console(record=True, width=100, file=io.StringIO())
    console.print(table(result, stages=bool(result.stages)))
    block = '<pre style="font-family:monospace;line-height:1.2">{code}</pre>'
    page = [console.export_html(inline_styles=True, code_format=block)]
    rate_hz = result.scenario.sample_rate_hz
    heard = {name: x[:, : round(PLAYER_S * rate_hz)] for name, x in result.audio.items()}
    gain = 0.9 / max(peak(heard.values()), 1e-9)
    for name, waveform in heard.items():
        sound = wav_uri(gain * waveform, rate_hz)
        page.append(
            f"<div>{html.escape(name)}<br>"
            f'<audio controls preload="none" src="{sound}"></audio></div>'
        )
    return "\n".join(page)


# A result does not know how it is shown: this package adds the method that notebooks look for.
RunResult._repr_html_ = result_html  # type: ignore[attr-defined]
