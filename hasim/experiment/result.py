"""What is kept of a run: the record in memory, the folder on disk, the JSON object on stdout.

A folder is whole or absent: everything is written beside it first and then renamed into place. It
holds no date and no duration, so the same scenario leaves the same bytes. Waveforms are (ear,
sample).
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.audio_file import peak, wav_bytes
from hasim.acoustics.scene import Scene
from hasim.experiment.scenario import Scenario
from hasim.experiment.summary import table
from hasim.reporting.notebook import PLAYER_S
from hasim.reporting.run_figures import figures
from hasim.simulation.device.provenance import doubts
from hasim.simulation.feasibility import Verdict
from hasim.simulation.latency import Fitting, Latency, band
from hasim.simulation.timeline import Timeline

if TYPE_CHECKING:
    pass

__all__ = ["RunResult", "figures", "save", "summary", "table"]

EARS = ("left", "right")


@dataclass(frozen=True, eq=False, repr=False)
class RunResult:
    """Everything that came of one scenario."""

    scenario: Scenario
    numbers: dict[str, float]  # unit in the name, `_left` and `_right` at the end
    unscored: dict[str, str]  # numbers that could not be had -> why
    stages: dict[str, dict[str, float]]  # tap -> its scores, in the order of the signal's path
    verdict: Verdict
    timeline: Timeline
    audio: dict[str, ndarray]  # noisy, enhanced, target -> (ear, sample), time-aligned
    scene: Scene
    masks: dict[str, ndarray]  # network -> (ear, bin, frame)
    versions: dict[str, str]  # package -> version
    hashes: dict[
        str, str
    ]  # scenario (with hasim's version), scene, timeline, audio -> hexadecimal digest
    latency: Latency | None = None  # the parts of every frame's
    folder: Path | None = None  # where it is kept

    def __repr__(self) -> str:
        said = [self.scenario.name, "fits" if self.verdict.feasible else "does not fit"]
        if (total := self.numbers.get("latency_ms")) is not None:
            said.append(f"{total:.1f} ms")
        for ear in EARS:
            if (gain := self.numbers.get(f"si_sdr_improvement_db_{ear}")) is not None:
                said.append(f"SI-SDR {gain:+.1f} dB {ear}")
        return f"<RunResult {', '.join(said)}>"

    def _repr_html_(self) -> str:
        """The table and the verdict, and players of the sound, all at one common level."""
        from rich.console import Console

        console = Console(record=True, width=100, file=io.StringIO())
        console.print(table(self, stages=bool(self.stages)))
        block = '<pre style="font-family:monospace;line-height:1.2">{code}</pre>'
        page = [console.export_html(inline_styles=True, code_format=block)]
        rate_hz = self.scenario.sample_rate_hz
        heard = {name: x[:, : round(PLAYER_S * rate_hz)] for name, x in self.audio.items()}
        gain = 0.9 / max(peak(heard.values()), 1e-9)
        for name, waveform in heard.items():
            sound = base64.b64encode(wav_bytes(gain * waveform, rate_hz, "PCM_16")).decode()
            page.append(
                f"<div>{html.escape(name)}<br>"
                f'<audio controls preload="none" src="data:audio/wav;base64,{sound}"></audio></div>'
            )
        return "\n".join(page)


def summary(result: RunResult, folder: Path | None) -> dict[str, Any]:
    """The object that `--json` prints; numbers that could not be had are None, the reason apart."""
    return _outcome(result) | {"folder": None if folder is None else str(folder)}


def _outcome(result: RunResult) -> dict[str, Any]:
    numbers: dict[str, float | None] = {name: _plain(x) for name, x in result.numbers.items()}
    numbers |= dict.fromkeys(result.unscored)
    return {
        "scenario": result.scenario.name,
        "numbers": dict(sorted(numbers.items())),
        "unscored": dict(sorted(result.unscored.items())),
        "verdict": {"feasible": result.verdict.feasible, "reasons": list(result.verdict.reasons)},
        "fittings": _fittings(result),
        "warnings": warnings(result),
    }


def _fittings(result: RunResult) -> dict[str, str]:
    """What the latency is called in an open and in a closed fitting."""
    fittings: tuple[Fitting, ...] = ("open", "closed")
    known = result.numbers.get("latency_ms")
    return {} if known is None else {fitting: band(known, fitting) for fitting in fittings}


def warnings(result: RunResult) -> list[str]:
    """What the numbers rest on that was not measured, each ear's by name."""
    scenario = result.scenario
    program = scenario.algorithm.program(scenario.front_end, scenario.link.codec)
    return [
        f"{ear}: {doubt}"
        for ear in EARS
        for doubt in doubts(getattr(scenario.devices, ear), program)
    ]


def _plain(number: float) -> float | int:
    return int(number) if isinstance(number, (int, np.integer)) else float(number)
