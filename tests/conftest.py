"""Fixtures that several test files share: small synthetic scenes and hand-made timelines."""

from __future__ import annotations

import numpy as np
import pytest
from numpy import ndarray

from hasim.dsp.stft import FrontEndSpec, frames_for
from hasim.simulation.timeline import Deliveries, Status, Timeline


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def hand_made_timeline(
    front_end: FrontEndSpec,
    samples: int,
    lost: dict[str, ndarray] | None = None,
    lags: dict[str, int] | None = None,
    computed: ndarray | None = None,
) -> Timeline:
    """A timeline in which everything is in time except the packets (receiving ear, packet) in
    `lost`."""
    frames = frames_for(samples, front_end)
    hop_ns = front_end.hop * 62_500
    released = np.broadcast_to((np.arange(frames) + 1) * hop_ns, (2, frames))
    finished = released if computed is None else np.where(computed, released, -1)
    channels = {}
    for name in ("reference", "mics", "z", "frame"):
        status = np.full((2, frames), Status.ON_TIME)
        if lost and name in lost:
            status = np.where(lost[name], Status.LOST, status)
        channels[name] = Deliveries(released, released, status, (lags or {}).get(name, 0))
    return Timeline(
        hop_ns=hop_ns,
        released_ns=released,
        finished_ns=finished,
        deadline_ns=released,
        playout_delay_ns=0,
        wait_ns=0,
        channels=channels,
        busy_ns=np.zeros(2),
        airtime_ns=0,
        duration_ns=frames * hop_ns,
        steps=np.zeros(0),
        packets=np.zeros(0),
    )


def two_source_scene(rng: np.random.Generator, samples: int = 12_000) -> tuple[ndarray, ndarray]:
    """A target and a noise (ear, mic, sample), each a modulated noise through its own short
    responses.

    The microphones of an ear hear nearly the same, as on a head: it takes the partner to tell
    sources apart.
    """

    def source(response_length: int) -> ndarray:
        envelope = np.repeat(rng.random(samples // 800 + 1), 800)[:samples] ** 2
        dry = rng.standard_normal(samples) * (0.02 + envelope)
        ears = rng.standard_normal((2, 1, response_length))
        responses = ears + 0.2 * rng.standard_normal((2, 2, response_length))
        responses *= 0.6 ** np.arange(response_length)
        return np.apply_along_axis(lambda h: np.convolve(dry, h)[:samples], -1, responses)

    sensor = 0.05 * rng.standard_normal((2, 2, samples))
    return 0.02 * source(8), 0.02 * source(8) + 0.02 * sensor
