"""Two ears, two sampling clocks: by how much the partner's samples lag behind the ear's own.

Crystals are off by some ppm. 20 ppm are 20 us per second, a sample at 16 kHz every 3.125 s. The
received signal was sampled by the partner's clock; used with the ear's own clock, it lags by the
difference of the clocks, less what the ear corrects. Corrections are made once per hop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.config.ears import EARS
from hasim.config.spec import Spec
from hasim.dsp.stft import SAMPLE_RATE_HZ

SAMPLE_NS = 10**9 // SAMPLE_RATE_HZ


class OscillatorSpec(Spec):
    """An ear's sampling clock, and how the ear corrects the difference to the partner's."""

    ppm: float = Field(0.0, ge=-1000, le=1000)
    """Frequency error; positive: too fast."""
    wander_ppm: float = Field(0.0, ge=0, le=100)
    """Standard deviation of its change within a second, as a random walk."""
    sync: Literal["none", "beacon", "pll"] = "none"
    """What the ear knows of the partner's clock: nothing, so that its buffer overflows or runs
    empty; the offset at every beacon; or the offset at any time, tracked by a phase-locked loop."""
    every_ms: float = Field(1000.0, ge=1, le=1e5)
    """Interval of the beacons, or time constant of the loop."""
    sync_error_us: float = Field(8.0, ge=0, le=1000)
    """Standard deviation of the known offset."""
    correction: Literal["insert_drop", "resample"] = "insert_drop"
    """Whole samples are dropped or doubled, or the signal is interpolated."""

    @model_validator(mode="after")
    def _known_before_corrected(self) -> Self:
        if self.sync == "none" and self.correction == "resample":
            raise ValueError(
                "correction: must be insert_drop with sync none, which knows no offset to resample "
                "by (got resample)"
            )
        return self


def skew_samples(
    oscillators: tuple[OscillatorSpec, OscillatorSpec],
    frames: int,
    hop_ns: int,
    stream: Callable[[str], np.random.Generator],
) -> ndarray:
    """(ear, frame, 2): samples by which the received signal lags, at the beginning and at the end
    of every hop.

    Random streams: "clock/left" and "clock/right" for the wander, "sync/left" and "sync/right" for
    the errors of the known offsets.
    """
    ahead = [
        _ahead(spec, frames, hop_ns, stream(f"clock/{ear}"))
        for spec, ear in zip(oscillators, EARS, strict=True)
    ]
    result = np.empty((2, frames, 2))
    for ear, (spec, name) in enumerate(zip(oscillators, EARS, strict=True)):
        # A partner whose clock is ahead took the sample with this number earlier.
        lag = ahead[1 - ear] - ahead[ear]
        corrected = _corrected(spec, lag[:-1], hop_ns, stream(f"sync/{name}"))
        result[ear] = np.stack([lag[:-1] - corrected, lag[1:] - corrected], axis=-1)
    return result


def _ahead(spec: OscillatorSpec, frames: int, hop_ns: int, rng: np.random.Generator) -> ndarray:
    """(frames + 1,): samples by which a clock is ahead of the true one, from hop to hop."""
    steps = spec.wander_ppm * np.sqrt(hop_ns / 1e9) * rng.standard_normal(frames)
    ppm = spec.ppm + np.cumsum(steps) - steps
    return np.concatenate([[0.0], np.cumsum(ppm * 1e-6 * hop_ns / SAMPLE_NS)])


def _corrected(
    spec: OscillatorSpec, lag: ndarray, hop_ns: int, rng: np.random.Generator
) -> ndarray:
    """(frame,): samples that the ear skips in each hop to catch up."""
    if spec.sync == "none":
        return np.round(lag)
    hops = max(1, round(spec.every_ms * 1e6 / hop_ns))
    error = spec.sync_error_us * 1e3 / SAMPLE_NS
    noise = error * rng.standard_normal(len(lag))
    if spec.sync == "beacon":
        known = (lag + noise)[np.arange(len(lag)) // hops * hops]
    else:
        keep = np.exp(-1 / hops)
        for hop in range(1, len(lag)):
            noise[hop] = keep * noise[hop - 1] + np.sqrt(1 - keep**2) * noise[hop]
        known = lag + noise
    return np.round(known) if spec.correction == "insert_drop" else known
