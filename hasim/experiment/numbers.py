"""The numbers of a run besides its scores: budget, power, latency, delivery, verdict."""

from __future__ import annotations

import numpy as np

from hasim.acoustics.scene import Scene
from hasim.config.ears import EARS
from hasim.experiment.scenario import Scenario
from hasim.metrics.signals import Scores, Unscored
from hasim.simulation import energy, feasibility
from hasim.simulation.device.memory import MemoryLedger
from hasim.simulation.fitting import too_late
from hasim.simulation.latency import Latency, decompose
from hasim.simulation.link.traffic import carried_kbps, offered_kbps
from hasim.simulation.program import macs_per_frame
from hasim.simulation.timeline import Status, Timeline


def latency(scenario: Scenario, timeline: Timeline) -> Latency:
    """The parts of every frame's latency."""
    return decompose(timeline, scenario.programs, scenario.window_ns)


def budget(scenario: Scenario, timeline: Timeline) -> dict[str, float]:
    """MACs per second, share of the time in which each device computes, and memory.

    Memory is that of the ear that needs more, should their devices keep weights in other places.
    """
    program, _ = scenario.programs
    frames_per_s = 1e9 / timeline.hop_ns
    devices = (scenario.devices.left, scenario.devices.right)
    placed = [d.placed(own) for d, own in zip(devices, _ledgers(scenario), strict=True)]
    return {
        "network_mmac_per_s": macs_per_frame(program, "network") * frames_per_s / 1e6,
        "total_mmac_per_s": macs_per_frame(program) * frames_per_s / 1e6,
        "utilisation_left": float(timeline.utilisation[0]),
        "utilisation_right": float(timeline.utilisation[1]),
        "ram_kb": max(ledger.needed_bytes("ram") for ledger in placed) / 1024,
        "nvm_kb": max(ledger.needed_bytes("nvm") for ledger in placed) / 1024,
    }


def power(scenario: Scenario, timeline: Timeline) -> dict[str, float]:
    """Mean power in mW and battery life in hours of each ear whose device has a power model."""
    items = scenario.algorithm.memory(scenario.front_end, scenario.link.codec)
    memory_bytes = sum(item.bytes for item in items)
    numbers: dict[str, float] = {}
    for ear, device in enumerate((scenario.devices.left, scenario.devices.right)):
        if device.power is not None:
            program = scenario.programs[ear]
            spent = energy.ledger(timeline, ear, program, device.power, memory_bytes)
            found = energy.numbers(spent, device.battery, device.power)
            numbers |= {f"{name}_{EARS[ear]}": value for name, value in found.items()}
    return numbers


def delivery(scenario: Scenario, timeline: Timeline) -> dict[str, float]:
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
        offered = offered_kbps(scenario.programs, scenario.link, timeline.hop_ns)
        carried = carried_kbps(scenario.programs, scenario.link, timeline.hop_ns)
        fullest = max(range(len(offered)), key=lambda medium: offered[medium] - carried[medium])
        numbers |= {
            "link_kbps": offered[fullest],
            "link_rate_kbps": carried[fullest],
            "loss_asked": scenario.link.loss.asked(timeline.heard.shape[1]),
        }
    return numbers


def verdict(scenario: Scenario, timeline: Timeline) -> feasibility.Verdict:
    """Whether both devices and the link carry the algorithm, with reasons where they do not."""
    window_ms = scenario.window_ns / 1e6
    late = too_late(
        scenario.fitting,
        window_ms=window_ms,
        algorithmic_ms=scenario.algorithmic_ns / 1e6,
        latency_ms=window_ms + timeline.playout_delay_ns / 1e6,
    )
    return feasibility.judge(
        timeline,
        too_late=late,
        programs=scenario.programs,
        devices=(scenario.devices.left, scenario.devices.right),
        link=scenario.link,
        ledgers=_ledgers(scenario),
        playout=scenario.playout,
    )


def _ledgers(scenario: Scenario) -> tuple[MemoryLedger, MemoryLedger]:
    """What the algorithm keeps in memory, and the memory of each device."""
    items = scenario.algorithm.memory(scenario.front_end, scenario.link.codec)
    left, right = scenario.devices.left, scenario.devices.right
    return MemoryLedger(items, left.ram_kb, left.nvm_kb), MemoryLedger(
        items, right.ram_kb, right.nvm_kb
    )


def acoustics(scene: Scene) -> dict[str, float]:
    """SNR in dB at each reference microphone, where there is noise, and the measured T60 in s."""
    ears = zip(EARS, scene.snr_db, strict=True)
    numbers = {f"snr_input_db_{ear}": ratio for ear, ratio in ears if np.isfinite(ratio)}
    if scene.t60_s is not None:
        numbers["t60_measured_s"] = scene.t60_s
    return numbers


def split_scores(scores: Scores) -> tuple[dict[str, float], dict[str, str]]:
    """The numbers that exist, and the reasons of those that do not."""
    numbers = {name: float(s) for name, s in scores.items() if not isinstance(s, Unscored)}
    unscored = {name: s.reason for name, s in scores.items() if isinstance(s, Unscored)}
    return numbers, unscored
