"""From spectra to the sound that is heard, and to the signals that the metrics get."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.acoustics.scene import Scene
from hasim.dsp.stft import analyse, synthesise
from hasim.experiment.scenario import Scenario
from hasim.metrics.signals import Signals
from hasim.nodes import Enhanced
from hasim.simulation.timeline import Timeline


def as_heard(
    scenario: Scenario, timeline: Timeline, output: ndarray, bypass: ndarray | None
) -> ndarray:
    """(ear, sample) as played: frames not ready in time replaced as `playout.missed` says.

    `bypass` (ear, mic, bin, frame) is what a late frame is replaced with; None, or "mute", for
    silence.
    """
    in_time = timeline.heard[:, None, :]
    if bypass is None or scenario.playout.missed == "mute":
        return sound(scenario, np.where(in_time, output, 0.0))
    return sound(scenario, np.where(in_time, output, bypass[:, 0]))


def signals_to_score(
    scenario: Scenario,
    scene: Scene,
    timeline: Timeline,
    enhanced: Enhanced,
    audio: dict[str, ndarray],
) -> Signals:
    """The signals of the run from `scoring.skip_s` on, and talker and noise sent through alone."""
    images = {
        "image": scene.target.full,
        "early": scene.target.early,
        "direct": scene.target.direct,
    }
    through: dict[str, ndarray | None] = {"target": None, "noise": None}
    if enhanced.through is not None:
        for name, part in (("target", scene.target.full), ("noise", scene.noise)):
            spectra = analyse(part, scenario.front_end)
            through[name] = cut(
                scenario, as_heard(scenario, timeline, enhanced.through(spectra), spectra)
            )
    return Signals(
        sample_rate_hz=scenario.sample_rate_hz,
        target=cut(scenario, images[scenario.scoring.reference][:, 0]),
        noise=cut(scenario, scene.noise[:, 0]),
        noisy=cut(scenario, audio["noisy"]),
        estimate=cut(scenario, audio["enhanced"]),
        target_through=through["target"],
        noise_through=through["noise"],
        sar=scenario.scoring.sar,
    )


def sound(scenario: Scenario, spectra: ndarray) -> ndarray:
    """(ear, bin, frame) as (ear, sample), as long as the scenario."""
    samples = round(scenario.duration_s * scenario.sample_rate_hz)
    return synthesise(spectra, scenario.front_end, samples)


def cut(scenario: Scenario, waveform: ndarray) -> ndarray:
    """Without the beginning that is not scored."""
    return waveform[:, round(scenario.scoring.skip_s * scenario.sample_rate_hz) :]
