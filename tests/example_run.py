"""A run made by hand, for the tests of what is kept and shown."""

from __future__ import annotations

import numpy as np

from hasim.acoustics.scene import Image, Scene
from hasim.experiment.result import RunResult
from hasim.experiment.scenario import Scenario
from hasim.simulation.feasibility import Verdict
from hasim.simulation.timeline import Deliveries, Status, Timeline

RATE_HZ = 16_000
HOP_NS = 16_000_000
STEPS = (
    ("stft", 0, 600_000),
    ("mn_dnn", 2_400_000, 7_300_000),
    ("covariance", 7_300_000, 8_100_000),
)
STEPS += (
    ("gevd", 8_100_000, 11_000_000),
    ("filter", 11_000_000, 11_200_000),
    ("istft", 11_200_000, 11_800_000),
)


def example_timeline(frames: int = 100, seed: int = 0) -> Timeline:
    """MN-TANGO at both ears: some packets lost, one late, one frame of the left ear too late."""
    rng = np.random.default_rng(seed)
    released = np.tile((np.arange(frames) + 1) * HOP_NS, (2, 1))
    finished = released + STEPS[-1][2]
    finished[0, 2] += 4_000_000
    status = np.full((2, frames), Status.ON_TIME)
    status[0, rng.random(frames) < 0.05] = Status.LOST
    status[1, 1] = status[1, 60:64] = Status.LOST
    status[1, 70 % frames] = Status.LATE
    sent = released.copy()
    arrived = np.where(status == Status.LOST, -1, released + 2_300_000)
    steps, packets = [], []
    for frame in range(frames):
        for ear in (0, 1):
            for name, start, end in STEPS:
                extra = 4_000_000 * (name == "gevd" and (ear, frame) == (0, 2))
                shift = 4_000_000 * (name in ("filter", "istft") and (ear, frame) == (0, 2))
                at = int(released[ear, frame])
                steps.append((ear, frame, name, at + start + shift, at + end + shift + extra))
            start = int(released[ear, frame]) - 7_000_000 * (1 - ear)
            lost = status[1 - ear, frame] == Status.LOST
            end = start + 1_100_000
            packets.append(
                ("reference", ear, frame, 0, 0, start, end, -1 if lost else end + 1_000_000, lost)
            )
    step_type = [
        ("ear", "i8"),
        ("frame", "i8"),
        ("name", "U32"),
        ("start_ns", "i8"),
        ("end_ns", "i8"),
    ]
    packet_type = [("channel", "U32"), ("sender", "i8"), ("frame", "i8"), ("piece", "i8")]
    packet_type += [("attempt", "i8"), ("start_ns", "i8"), ("end_ns", "i8"), ("arrived_ns", "i8")]
    packet_type += [("lost", "?")]
    return Timeline(
        hop_ns=HOP_NS,
        released_ns=released,
        finished_ns=finished,
        deadline_ns=released + 12_000_000,
        playout_delay_ns=12_000_000,
        wait_ns=2_500_000,
        channels={"reference": Deliveries(sent, arrived, status)},
        busy_ns=np.array([frames * 10_000_000] * 2),
        airtime_ns=frames * 2_200_000,
        duration_ns=frames * HOP_NS,
        steps=np.array(steps, dtype=step_type),
        packets=np.array(packets, dtype=packet_type),
    )


def example_result(frames: int = 100, loud: float = 1.0, seed: int = 0) -> RunResult:
    """A feasible run of `frames` hops, some packets lost, PESQ not scored."""
    rng = np.random.default_rng(seed)
    samples = frames * 256
    time = np.arange(samples) / RATE_HZ
    tone = np.sin(2 * np.pi * (300 + 200 * np.sin(2 * np.pi * 1.5 * time)) * time)
    target = 0.1 * loud * np.stack([tone, tone]) * (np.sin(2 * np.pi * 2 * time) > -0.3)
    noise = 0.05 * loud * rng.standard_normal((2, samples)) * [[0.6], [1.0]]
    images = [np.stack([x, x], axis=1) for x in (target, noise)]
    scene = Scene(
        sample_rate_hz=RATE_HZ,
        dry=target[0],
        target=Image(images[0], images[0], images[0]),
        noises=(Image(images[1], images[1], images[1]),),
        sensor_noise=0 * images[0],
        snr_db=(4.4, 0.0),
        t60_s=0.31,
        positions_m={
            "listener": (3.1, 2.2, 1.2),
            "target": (4.1, 2.2, 1.2),
            "noise_1": (3.1, 1.2, 1.2),
        },
    )
    numbers = {
        "latency_ms": 44.0,
        "latency_window_ms": 32.0,
        "latency_playout_ms": 12.0,
        "slowest_frame_ms": 11.8,
        "wait_ms": 2.5,
        "frames": frames,
        "frames_not_heard_left": 1,
        "frames_not_heard_right": 0,
        "packets_sent": 2 * frames,
        "packets_late": 1,
        "packets_lost": 9,
        "loss_asked": 0.05,
        "loss_realised": 0.045,
        "utilisation_left": 0.625,
        "utilisation_right": 0.625,
        "network_mmac_per_s": 30.792125,
        "total_mmac_per_s": 49.3,
        "ram_kb": 118.2,
        "nvm_kb": 497.0,
        "link_kbps": 523.0,
        "link_rate_kbps": 600.0,
        "airtime_share": 0.87,
        "snr_input_db_left": 4.4,
        "snr_input_db_right": 0.0,
        "t60_measured_s": 0.31,
        "ild_error_target_db": 0.42,
        "itd_error_target_us": 8.1,
        "ild_error_noise_db": 5.3,
        "itd_error_noise_us": 655.0,
    }
    unscored = {}
    for ear, gain in (("left", 6.5), ("right", 9.25)):
        for metric, unit, start in (("si_sdr", "_db", -1.0), ("stoi", "", 0.6)):
            step = gain if unit else gain / 50
            numbers[f"{metric}_noisy{unit}_{ear}"] = start
            numbers[f"{metric}_enhanced{unit}_{ear}"] = start + step
            numbers[f"{metric}_improvement{unit}_{ear}"] = step
        numbers[f"si_sar_enhanced_db_{ear}"] = 11.0
        numbers[f"speech_distortion_db_{ear}"] = -14.2
        for name in (f"si_sar_noisy_db_{ear}", f"si_sar_improvement_db_{ear}"):
            unscored[name] = "no artefacts"
    unscored["pesq_enhanced_left"] = unscored["pesq_enhanced_right"] = "the PESQ process died"
    return RunResult(
        scenario=Scenario(name="example", seed=3),
        numbers=numbers,
        unscored=unscored,
        stages={"mn_dnn": {"si_sdr_db_left": 2.0, "si_sdr_db_right": 1.0}},
        verdict=Verdict(reasons=()),
        timeline=example_timeline(frames, seed),
        audio={"noisy": target + noise, "enhanced": target + 0.2 * noise, "target": target},
        scene=scene,
        masks={"mn_dnn": rng.random((2, 257, frames)) ** 2},
        versions={"hasim": "0.1.0"},
        hashes={"scenario": "0123456789abcdef" * 4, "scene": "aa", "timeline": "bb", "audio": "cc"},
    )
