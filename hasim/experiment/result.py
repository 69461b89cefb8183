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
from hasim.simulation.device.provenance import warnings_about
from hasim.simulation.feasibility import Verdict
from hasim.simulation.fitting import BANDS, band
from hasim.simulation.latency import Latency
from hasim.simulation.timeline import Timeline


@dataclass(frozen=True, eq=False, repr=False)
class RunResult:
    """The result of one scenario: what was heard, when everything happened, and the numbers.

    In a notebook it shows its table, players of the sound and spectrograms.
    """

    scenario: Scenario
    """The scenario as it was run, every default filled in."""
    numbers: dict[str, float]
    """Name -> value; the unit is in the name, and `_left` or `_right` at its end."""
    unscored: dict[str, str]
    """Name of a number that the run does not have -> why."""
    stages: dict[str, dict[str, float]]
    """Tap -> its scores, in the order of the signal's path."""
    verdict: Verdict
    """Whether devices and link can carry the algorithm."""
    timeline: Timeline
    """When each frame was computed, sent and received, in integer nanoseconds."""
    audio: dict[str, ndarray]
    """Signal ("noisy", "enhanced", "target") -> (ear, sample), time-aligned; 1 is full scale."""
    scene: Scene | None
    """The signals at the microphones; None where the result was loaded."""
    masks: dict[str, ndarray] | None
    """Network -> its mask, (ear, bin, frame); None where the result was loaded."""
    versions: dict[str, str]
    """Package -> version."""
    hashes: dict[str, str]
    """Hexadecimal: the identity of the result as "scenario" (see `identity.identity`), and digests
    of what "scene", "timeline" and "audio" hold."""
    latency: Latency | None = None
    """The parts of every frame's latency, (ear, frame) in nanoseconds."""
    folder: Path | None = None
    """Where the result is on disk; None where it was not written."""

    @property
    def keeps_up(self) -> bool:
        """Most frames of both ears are ready in time, so that the latency is that of the algorithm
        and not that of the microphone played in its place."""
        return bool(np.all(self.timeline.heard.mean(axis=1) > 0.5))

    def __repr__(self) -> str:
        said = [self.scenario.name, self.verdict.text]
        if (total := self.numbers.get("latency_ms")) is not None:
            said.append(f"{total:.1f} ms")
        for ear in EARS:
            if (gain := self.numbers.get(f"si_sdr_improvement_db_{ear}")) is not None:
                said.append(f"SI-SDR {gain:+.1f} dB {ear}")
        return f"<RunResult {', '.join(said)}>"


def summary(result: RunResult, folder: Path | None) -> dict[str, Any]:
    """The object that `--json` prints; a number that the run does not have is None, and `unscored`
    says why."""
    return outcome(result) | {"folder": None if folder is None else str(folder)}


def outcome(result: RunResult) -> dict[str, Any]:
    numbers: dict[str, float | None] = {name: plain(x) for name, x in result.numbers.items()}
    numbers |= dict.fromkeys(result.unscored)
    return {
        "scenario": result.scenario.name,
        "numbers": dict(sorted(numbers.items())),
        "unscored": dict(sorted(result.unscored.items())),
        "verdict": {"feasible": result.verdict.feasible, "reasons": list(result.verdict.reasons)},
        "fittings": fittings(result),
        "warnings": warnings(result),
    }


def fittings(result: RunResult) -> dict[str, str]:
    """What the latency is called in an open and in a closed fitting."""
    known = result.numbers.get("latency_ms")
    if known is None:
        return {}
    if not result.keeps_up:
        return dict.fromkeys(BANDS, "not kept")
    return {fitting: band(known, fitting) for fitting in BANDS}


def warnings(result: RunResult) -> list[str]:
    """What the numbers rest on that was not measured, each ear's by name."""
    scenario = result.scenario
    program = scenario.algorithm.program(scenario.front_end, scenario.link.codec)
    return [
        f"{ear}: {warning}"
        for ear in EARS
        for warning in warnings_about(getattr(scenario.devices, ear), program)
    ]


def plain(number: float) -> float | int:
    return int(number) if isinstance(number, (int, np.integer)) else float(number)
