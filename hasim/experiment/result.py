"""What one run gives: scores and other numbers, verdict, timeline, sound.

Waveforms are (ear, sample).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.scene import Scene
from hasim.config.ears import EARS
from hasim.experiment.scenario import Scenario
from hasim.simulation.device.provenance import doubts
from hasim.simulation.feasibility import Verdict
from hasim.simulation.latency import Fitting, Latency, band
from hasim.simulation.timeline import Timeline


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


def summary(result: RunResult, folder: Path | None) -> dict[str, Any]:
    """The object that `--json` prints; numbers that could not be had are None, the reason apart."""
    return outcome(result) | {"folder": None if folder is None else str(folder)}


def outcome(result: RunResult) -> dict[str, Any]:
    numbers: dict[str, float | None] = {name: plain(x) for name, x in result.numbers.items()}
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


def plain(number: float) -> float | int:
    return int(number) if isinstance(number, (int, np.integer)) else float(number)
