"""Shelf: how a run is judged. One file per metric, each a pure kernel and `measure(judged) -> scores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from numpy import ndarray
from pydantic import Field

from hasim.spec import Spec

MetricName = Literal["si_sdr", "si_sir", "si_sar", "stoi", "estoi", "pesq", "snr", "cues"]


class ScoringSpec(Spec):
    """What the scores compare with."""

    reference: Literal["image", "early", "direct"] = "image"
    """The talker at the reference microphone: with the whole room, its first 50 ms, or the direct sound."""
    sar: Literal["bss", "le_roux"] = "bss"
    """Artefacts against target plus interference (BSS eval), or against the target alone (Le Roux et al. 2019)."""
    skip_s: float = Field(0.0, ge=0, le=60)
    """Time at the beginning that is not scored."""


@dataclass(frozen=True)
class Judged:
    """What a metric may look at: time-aligned signals, each (ear, sample)."""

    sample_rate_hz: int
    target: ndarray  # the reference: the talker at the reference microphone
    noise: ndarray  # noises and sensor noise at the reference microphone
    noisy: ndarray  # the reference microphone
    enhanced: ndarray
    target_through: ndarray  # the talker alone through the filters of the run
    noise_through: ndarray  # the noise alone through the filters of the run
    sar: Literal["bss", "le_roux"] = "bss"


@dataclass(frozen=True)
class Unscored:
    """A number that could not be had, and why."""

    reason: str


Scores = Mapping[str, "float | Unscored"]
