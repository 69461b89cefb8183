"""One run, from a scenario to a judged result: scene, timeline, sound, scores.

First the timeline is simulated (who computes, sends and receives what, and when), then the sound
follows it. Nothing else in hasim runs a scenario.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.scene import Scene, render
from hasim.config.seeds import random_streams
from hasim.dsp.oracle_masks import OracleMask, oracle_mask
from hasim.dsp.stft import analyse, frames_for
from hasim.experiment.identity import identity
from hasim.experiment.numbers import (
    acoustics,
    budget,
    delivery,
    latency,
    power,
    split_scores,
    verdict,
)
from hasim.experiment.playout import as_heard, cut, signals_to_score, sound
from hasim.experiment.result import RunResult
from hasim.experiment.scenario import Scenario
from hasim.metrics.scoring import score_run, score_stage
from hasim.networks import pretrained, registry
from hasim.networks.contract import MaskEstimator, Role
from hasim.nodes import Enhanced
from hasim.nodes.exchange import Exchange
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.simulation import simulate
from hasim.simulation.timeline import Timeline

Progress = Callable[[str], None]


def run(scenario: Scenario, progress: Progress = lambda _: None) -> RunResult:
    """Render the scene, simulate time, enhance through the timeline, score.

    The same scenario gives the same result to the last bit, on one machine with one set of
    versions.
    """
    with one_thread():
        progress("scene")
        scene = render_scene(scenario)
        progress("timeline")
        timeline = simulate_time(scenario)
        progress("sound")
        enhanced, mics = enhance(scenario, scene, timeline)
        progress("scores")
        return judge(scenario, scene, timeline, enhanced, mics)


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread.

    With several, BLAS adds in another order, and the last bits depend on the number of cores. One
    is as fast for matrices as small as these.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def render_scene(scenario: Scenario) -> Scene:
    """What the microphones hear."""
    return render(
        scenario.scene,
        samples=round(scenario.duration_s * scenario.sample_rate_hz),
        sample_rate_hz=scenario.sample_rate_hz,
        stream=random_streams(scenario.seed),
    )


def simulate_time(scenario: Scenario) -> Timeline:
    """Both devices and the link, without any sound."""
    return simulate.simulate(
        scenario.programs,
        frames=frames_for(scenario.samples, scenario.front_end),
        hop_ns=scenario.hop_ns,
        devices=(scenario.devices.left, scenario.devices.right),
        link=scenario.link,
        playout=scenario.playout,
        stream=random_streams(scenario.seed),
    )


def enhance(
    scenario: Scenario, scene: Scene, timeline: Timeline, masks: MaskEstimator | None = None
) -> tuple[Enhanced, ndarray]:
    """The node algorithm on the whole scene, and the microphones' spectra (ear, mic, bin,
    frame).

    `masks` None: those of `mask_source`.
    """
    mics = analyse(scene.mixture, scenario.front_end)
    exchange = Exchange(timeline, scenario.link.codec, scenario.front_end, mics, scene.mixture)
    masks = masks or mask_source(scenario, scene, timeline)
    return scenario.algorithm.enhance(mics, exchange, masks), mics


def mask_source(scenario: Scenario, scene: Scene, timeline: Timeline) -> MaskEstimator:
    """Where the scenario's masks come from: an oracle that knows speech and noise at each ear's
    reference microphone, trained networks, or networks of one's own.

    Networks rest in frames that the device skipped or filtered with old weights. Raises InputError
    for weights that cannot be used.
    """
    spec = scenario.algorithm
    if not isinstance(spec, MaskDrivenNode):
        return _oracle("irm1", scenario, scene)
    if spec.trained_roles(scenario.front_end, scenario.link.codec):
        others = _trained(spec, spec.kind, scenario, timeline)
    else:
        others = _oracle(spec.oracle_mask, scenario, scene)
    own = spec.networks.names()
    if not own:
        return others
    from_own = registry.estimator(own, timeline.renewed, timeline.restarted)

    def masks(network: Role, *spectra: ndarray) -> ndarray:
        return (from_own if network in own else others)(network, *spectra)

    return masks


def _trained(
    spec: MaskDrivenNode, kind: str, scenario: Scenario, timeline: Timeline
) -> MaskEstimator:
    from hasim.networks.mask_estimator import estimator, networks

    path = spec.weights
    if path is None or isinstance(path, str):
        path = pretrained.folder(kind, spec.groups, path)
    bins = scenario.front_end.bins
    found = networks(path, groups=spec.groups, bins=bins, precision=spec.precision)
    return estimator(found, scenario.front_end, timeline.renewed, timeline.restarted)


def _oracle(kind: OracleMask, scenario: Scenario, scene: Scene) -> MaskEstimator:
    def masks(network: Role, *spectra: ndarray) -> ndarray:
        speech = analyse(scene.target.full[:, 0], scenario.front_end)
        noise = analyse(scene.noise[:, 0], scenario.front_end)
        return oracle_mask(kind, speech, noise)

    return masks


def judge(
    scenario: Scenario, scene: Scene, timeline: Timeline, enhanced: Enhanced, mics: ndarray
) -> RunResult:
    """Back to samples, scores, budgets and verdict."""
    heard = as_heard(scenario, timeline, enhanced.output, mics)
    audio = {
        "noisy": scene.mixture[:, 0],
        "enhanced": heard,
        "target": scene.target.full[:, 0],
    }
    signals = signals_to_score(scenario, scene, timeline, enhanced, audio)
    scores = score_run(scenario.metrics, signals)
    of_stages = [m for m in scenario.metrics if m != "pesq" or scenario.scoring.stage_pesq]
    stages = {
        name: score_stage(of_stages, signals, cut(scenario, sound(scenario, tap)))
        for name, tap in enhanced.taps.items()
    }
    numbers, unscored = split_scores(scores)
    numbers |= budget(scenario, timeline) | delivery(scenario, timeline) | acoustics(scene)
    parts = latency(scenario, timeline)
    numbers |= parts.numbers() | power(scenario, timeline)
    return RunResult(
        scenario=scenario,
        numbers=numbers,
        unscored=unscored,
        stages={name: split_scores(stage)[0] for name, stage in stages.items()},
        verdict=verdict(scenario, timeline),
        timeline=timeline,
        latency=parts,
        audio=audio,
        scene=scene,
        masks=enhanced.masks,
        versions={name: version(name) for name in ("hasim", "numpy", "scipy", "pyroomacoustics")},
        hashes={
            "scenario": identity(scenario),
            "scene": _hash(scene.mixture, scene.target.full),
            "timeline": _hash(timeline.steps, timeline.packets),
            "audio": _hash(heard),
        },
    )


def _hash(*arrays: ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
