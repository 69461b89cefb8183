"""The hall: a scenario goes in, a judged run comes out. The only place where the stations meet.

First time is played (who computes, sends and receives what, when), then sound follows the timeline.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy import ndarray

from hasim import metrics
from hasim.acoustics.scene import Scene, render
from hasim.dsp.oracle_masks import OracleMask, oracle_mask
from hasim.dsp.stft import analyse, analysis_window, frames_for, synthesise
from hasim.experiment.result import RunResult
from hasim.experiment.scenario import Scenario
from hasim.metrics import Judged, Unscored
from hasim.networks import pretrained
from hasim.nodes import Enhanced, Masks
from hasim.nodes.exchange import Exchange
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.simulation import energy, feasibility, simulate
from hasim.simulation.device.memory import Ledger
from hasim.simulation.latency import Latency, decompose
from hasim.simulation.link.traffic import carried_kbps, offered_kbps
from hasim.simulation.program import Program, macs_per_frame
from hasim.simulation.timeline import Status, Timeline

Progress = Callable[[str], None]
EARS = ("left", "right")


def run(scenario: Scenario, progress: Progress = lambda _: None) -> RunResult:
    """Render the scene, play time, enhance through the timeline, judge.

    The same scenario gives the same result to the last bit, on one machine with one set of
    versions.
    """
    progress("scene")
    scene = render_scene(scenario)
    progress("timeline")
    timeline = play_time(scenario)
    progress("sound")
    enhanced, mics = enhance(scenario, scene, timeline)
    progress("scores")
    return judge(scenario, scene, timeline, enhanced, mics)


def render_scene(scenario: Scenario) -> Scene:
    """What the microphones hear."""
    return render(
        scenario.scene,
        samples=round(scenario.duration_s * scenario.sample_rate_hz),
        sample_rate_hz=scenario.sample_rate_hz,
        stream=random_streams(scenario.seed),
    )


def play_time(scenario: Scenario) -> Timeline:
    """Both devices and the link, without any sound."""
    rate_hz, front_end = scenario.sample_rate_hz, scenario.front_end
    return simulate.simulate(
        programs(scenario),
        frames=frames_for(round(scenario.duration_s * rate_hz), front_end),
        hop_ns=front_end.hop * 1_000_000_000 // rate_hz,
        devices=(scenario.devices.left, scenario.devices.right),
        link=scenario.link,
        playout=scenario.playout,
        stream=random_streams(scenario.seed),
    )


def programs(scenario: Scenario) -> tuple[Program, Program]:
    """What the left and the right device have to do for every frame."""
    program = scenario.algorithm.program(scenario.front_end, scenario.link.codec)
    return (program, program)


def enhance(
    scenario: Scenario, scene: Scene, timeline: Timeline, masks: Masks | None = None
) -> tuple[Enhanced, ndarray]:
    """The node algorithm on the whole scene, and the microphones' spectra (ear, mic, bin,
    frame).

    `masks` None: those of `mask_source`.
    """
    mics = analyse(scene.mixture, scenario.front_end)
    exchange = Exchange(timeline, scenario.link.codec, scenario.front_end, mics, scene.mixture)
    masks = masks or mask_source(scenario, scene, timeline)
    return scenario.algorithm.enhance(mics, exchange, masks), mics


def mask_source(scenario: Scenario, scene: Scene, timeline: Timeline) -> Masks:
    """Where the scenario's masks come from: speech and noise at each ear's reference, or trained
    networks, which rest in frames that the device skipped or filtered with what it had.

    Raises InputError for weights that cannot be used.
    """
    spec = scenario.algorithm
    if isinstance(spec, MaskDrivenNode) and spec.masks == "trained":
        from hasim.networks.mask_estimator import estimator, networks

        path = spec.weights
        if path is None or isinstance(path, str):
            path = pretrained.folder(spec.kind, spec.groups, path)
        found = networks(
            path,
            groups=spec.groups,
            bins=scenario.front_end.bins,
            precision=spec.precision,
        )
        window_energy = float(np.sum(analysis_window(scenario.front_end) ** 2))
        return estimator(found, window_energy, timeline.renewed, timeline.restarted)
    kind: OracleMask = getattr(spec, "oracle_mask", "irm1")

    def oracle(network: str, *inputs: ndarray) -> ndarray:
        speech = analyse(scene.target.full[:, 0], scenario.front_end)
        noise = analyse(scene.noise[:, 0], scenario.front_end)
        return oracle_mask(kind, speech, noise)

    return oracle


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
    judged = _judged(scenario, scene, timeline, enhanced, audio)
    scores = metrics.measure_all(scenario.metrics, judged)
    of_stages = [m for m in scenario.metrics if m != "pesq" or scenario.scoring.stage_pesq]
    stages = {
        name: metrics.measure_stage(of_stages, judged, _cut(scenario, _sound(scenario, tap)))
        for name, tap in enhanced.taps.items()
    }
    numbers, unscored = _sorted_out(scores)
    numbers |= _budget(scenario, timeline) | _delivery(scenario, timeline) | _acoustics(scene)
    parts = latency(scenario, timeline)
    numbers |= parts.numbers() | _power(scenario, timeline)
    return RunResult(
        scenario=scenario,
        numbers=numbers,
        unscored=unscored,
        stages={name: _sorted_out(stage)[0] for name, stage in stages.items()},
        verdict=_verdict(scenario, timeline),
        timeline=timeline,
        latency=parts,
        audio=audio,
        scene=scene,
        masks=enhanced.masks,
        versions={name: version(name) for name in ("hasim", "numpy", "scipy", "pyroomacoustics")},
        hashes={
            "scenario": scenario_hash(scenario),
            "scene": _hash(scene.mixture, scene.target.full),
            "timeline": _hash(timeline.steps, timeline.packets),
            "audio": _hash(heard),
        },
    )


def latency(scenario: Scenario, timeline: Timeline) -> Latency:
    """Where the time of every frame went."""
    window = scenario.front_end.synthesis_samples
    window_ns = window * 1_000_000_000 // scenario.sample_rate_hz
    return decompose(timeline, programs(scenario), window_ns)


def as_heard(
    scenario: Scenario, timeline: Timeline, output: ndarray, bypass: ndarray | None
) -> ndarray:
    """(ear, sample) as played: frames not ready in time replaced as `playout.missed` says.

    `bypass` (ear, mic, bin, frame) is what a late frame is replaced with; None, or "mute", for
    silence.
    """
    in_time = timeline.heard[:, None, :]
    if bypass is None or scenario.playout.missed == "mute":
        return _sound(scenario, np.where(in_time, output, 0.0))
    return _sound(scenario, np.where(in_time, output, bypass[:, 0]))


def random_streams(seed: int) -> Callable[[str], np.random.Generator]:
    """A generator for each name: a change in one station leaves the others' random numbers
    alone."""

    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))

    return stream


def scenario_hash(scenario: Scenario) -> str:
    """Hexadecimal digest of the scenario as resolved and of hasim's version."""
    resolved = {"hasim": version("hasim"), "scenario": scenario.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def _judged(
    scenario: Scenario,
    scene: Scene,
    timeline: Timeline,
    enhanced: Enhanced,
    audio: dict[str, ndarray],
) -> Judged:
    images = {
        "image": scene.target.full,
        "early": scene.target.early,
        "direct": scene.target.direct,
    }
    through: dict[str, ndarray | None] = {"target": None, "noise": None}
    if enhanced.through is not None:
        for name, part in (("target", scene.target.full), ("noise", scene.noise)):
            spectra = analyse(part, scenario.front_end)
            through[name] = _cut(
                scenario, as_heard(scenario, timeline, enhanced.through(spectra), spectra)
            )
    return Judged(
        sample_rate_hz=scenario.sample_rate_hz,
        target=_cut(scenario, images[scenario.scoring.reference][:, 0]),
        noise=_cut(scenario, scene.noise[:, 0]),
        noisy=_cut(scenario, audio["noisy"]),
        enhanced=_cut(scenario, audio["enhanced"]),
        target_through=through["target"],
        noise_through=through["noise"],
        sar=scenario.scoring.sar,
    )


def _sound(scenario: Scenario, spectra: ndarray) -> ndarray:
    samples = round(scenario.duration_s * scenario.sample_rate_hz)
    return synthesise(spectra, scenario.front_end, samples)


def _cut(scenario: Scenario, waveform: ndarray) -> ndarray:
    """Without the beginning that is not scored."""
    return waveform[:, round(scenario.scoring.skip_s * scenario.sample_rate_hz) :]


def _budget(scenario: Scenario, timeline: Timeline) -> dict[str, float]:
    program, _ = programs(scenario)
    frames_per_s = 1e9 / timeline.hop_ns
    devices = (scenario.devices.left, scenario.devices.right)
    placed = [d.placed(own) for d, own in zip(devices, _ledgers(scenario), strict=True)]
    return {
        "network_mmac_per_s": macs_per_frame(program, "network") * frames_per_s / 1e6,
        "total_mmac_per_s": macs_per_frame(program) * frames_per_s / 1e6,
        "utilisation_left": float(timeline.utilisation[0]),
        "utilisation_right": float(timeline.utilisation[1]),
        # of the ear that needs more, should their devices keep weights in different places
        "ram_kb": max(ledger.needed_bytes("ram") for ledger in placed) / 1024,
        "nvm_kb": max(ledger.needed_bytes("nvm") for ledger in placed) / 1024,
    }


def _power(scenario: Scenario, timeline: Timeline) -> dict[str, float]:
    """What the ears draw and how long their cells last, for devices whose power is known."""
    items = scenario.algorithm.memory(scenario.front_end, scenario.link.codec)
    memory_bytes = sum(item.bytes for item in items)
    numbers: dict[str, float] = {}
    for ear, device in enumerate((scenario.devices.left, scenario.devices.right)):
        if device.power is not None:
            program = programs(scenario)[ear]
            spent = energy.ledger(timeline, ear, program, device.power, memory_bytes)
            found = energy.numbers(spent, device.battery, device.power)
            numbers |= {f"{name}_{EARS[ear]}": value for name, value in found.items()}
    return numbers


def _delivery(scenario: Scenario, timeline: Timeline) -> dict[str, float]:
    """Latency and its parts, frames and packets."""
    window_ms = scenario.front_end.synthesis_samples / scenario.sample_rate_hz * 1e3
    response_ns = (timeline.finished_ns - timeline.released_ns)[timeline.computed]
    slowest_ms = float(response_ns.max()) / 1e6 if response_ns.size else 0.0
    delay_ms = timeline.playout_delay_ns / 1e6
    statuses = np.concatenate(
        [c.status.ravel() for c in timeline.channels.values()] or [np.zeros(0)]
    )
    sent = int((statuses != Status.NOT_SENT).sum())
    numbers = {
        "latency_ms": window_ms + delay_ms,
        "latency_window_ms": window_ms,
        "latency_playout_ms": delay_ms,
        "slowest_frame_ms": slowest_ms,
        "wait_ms": timeline.wait_ns / 1e6,
        "frames": timeline.heard.shape[1],
        "frames_not_heard_left": int((~timeline.heard[0]).sum()),
        "frames_not_heard_right": int((~timeline.heard[1]).sum()),
        "packets_sent": sent,
        "packets_late": int((statuses == Status.LATE).sum()),
        "packets_lost": int((statuses == Status.LOST).sum()),
        "loss_realised": float((statuses == Status.LOST).sum() / max(sent, 1)),
        "airtime_share": timeline.airtime_ns / timeline.duration_ns,
    }
    if scenario.link.kind != "ideal":
        offered = offered_kbps(programs(scenario), scenario.link, timeline.hop_ns)
        carried = carried_kbps(programs(scenario), scenario.link, timeline.hop_ns)
        fullest = max(range(len(offered)), key=lambda medium: offered[medium] - carried[medium])
        numbers |= {
            "link_kbps": offered[fullest],
            "link_rate_kbps": carried[fullest],
            "loss_asked": scenario.link.loss.asked(timeline.heard.shape[1]),
        }
    return numbers


def _verdict(scenario: Scenario, timeline: Timeline) -> feasibility.Verdict:
    return feasibility.judge(
        timeline,
        programs=programs(scenario),
        devices=(scenario.devices.left, scenario.devices.right),
        link=scenario.link,
        ledgers=_ledgers(scenario),
        playout=scenario.playout,
    )


def _ledgers(scenario: Scenario) -> tuple[Ledger, Ledger]:
    """What the algorithm keeps in memory, beside the room that each device has."""
    items = scenario.algorithm.memory(scenario.front_end, scenario.link.codec)
    left, right = scenario.devices.left, scenario.devices.right
    return Ledger(items, left.ram_kb, left.nvm_kb), Ledger(items, right.ram_kb, right.nvm_kb)


def _acoustics(scene: Scene) -> dict[str, float]:
    ears = zip(EARS, scene.snr_db, strict=True)
    # Without noises there is no ratio to state.
    numbers = {f"snr_input_db_{ear}": ratio for ear, ratio in ears if np.isfinite(ratio)}
    if scene.t60_s is not None:
        numbers["t60_measured_s"] = scene.t60_s
    return numbers


def _sorted_out(
    scores: metrics.Scores,
) -> tuple[dict[str, float], dict[str, str]]:
    numbers = {name: float(s) for name, s in scores.items() if not isinstance(s, Unscored)}
    unscored = {name: s.reason for name, s in scores.items() if isinstance(s, Unscored)}
    return numbers, unscored


def _hash(*arrays: ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
