"""What a metric is given, and what it answers. Signals are (ear, sample)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy import ndarray

from hasim.config.ears import EARS


@dataclass(frozen=True)
class Unscored:
    """A number that does not exist, and why."""

    reason: str


Score = float | Unscored
Scores = Mapping[str, float | Unscored]

NOT_SENT_THROUGH: Score = Unscored(
    "the algorithm cannot send talker and noise alone through its filters"
)


@dataclass(frozen=True)
class Signals:
    """The signals of a run, time-aligned, each (ear, sample).

    Raises ValueError for shapes that differ from that of `noisy`, and for NaN and infinity.
    """

    sample_rate_hz: int
    target: ndarray
    """The reference: the talker at the reference microphone."""
    noise: ndarray
    """All noises and the sensor noise at the reference microphone."""
    noisy: ndarray
    """The reference microphone."""
    estimate: ndarray
    """What is scored: the output of the run, the reference microphone, or a stage in between."""
    target_through: ndarray | None = None
    """The talker alone sent through the filters of the run; None where that is impossible."""
    noise_through: ndarray | None = None
    """The noise alone sent through the filters of the run; None where that is impossible."""
    sar: Literal["bss", "le_roux"] = "bss"
    """The form of SI-SAR, see `hasim.metrics.si_sar`."""

    def __post_init__(self) -> None:
        for field in fields(self):
            signal = getattr(self, field.name)
            if isinstance(signal, ndarray):
                _check(field.name, signal, self.noisy.shape)


def by_ear(name: str, scores: Iterable[Score]) -> dict[str, Score]:
    """Scores of the left and the right ear under their names, `<name>_left` and `<name>_right`."""
    return {f"{name}_{ear}": score for ear, score in zip(EARS, scores, strict=True)}


def _check(name: str, signal: ndarray, shape: tuple[int, ...]) -> None:
    if signal.ndim != 2 or len(signal) != 2 or signal.shape != shape:
        raise ValueError(
            f"{name}: must be (2 ears, sample) like noisy {shape} (got {signal.shape})"
        )
    if not np.all(np.isfinite(signal)):
        ear, sample = np.argwhere(~np.isfinite(signal))[0]
        raise ValueError(
            f"{name}: must be finite (got {signal[ear, sample]} at ear {ear}, sample {sample})"
        )
