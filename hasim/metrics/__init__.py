"""Shelf: how a run is judged. One file per metric: a pure kernel and `measure(judged) -> scores`.

Signals are (ear, sample), ear 0 = left, 1 = right. A number that cannot be had is `Unscored` with
the reason; nothing is clamped, and no NaN or infinity ever leaves this shelf.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.config.spec import Spec

MetricName = Literal["si_sdr", "si_sir", "si_sar", "stoi", "estoi", "pesq", "snr", "cues"]


class ScoringSpec(Spec):
    """What the scores compare with."""

    reference: Literal["image", "early", "direct"] = "image"
    """The talker at the reference microphone: with the whole room, its first 50 ms, or direct."""
    sar: Literal["bss", "le_roux"] = "bss"
    """Artefacts against target plus interference (BSS eval), or the target alone (Le Roux)."""
    skip_s: float = Field(0.0, ge=0, le=60)
    """Time at the beginning that is not scored."""
    stage_pesq: bool = False
    """Also PESQ of every intermediate stage, if it is among the metrics: for 8 s of sound half a
    second each."""


@dataclass(frozen=True)
class Judged:
    """What a metric may look at: time-aligned signals, each (ear, sample)."""

    sample_rate_hz: int
    target: ndarray  # the reference: the talker at the reference microphone
    noise: ndarray  # noises and sensor noise at the reference microphone
    noisy: ndarray  # the reference microphone
    enhanced: ndarray
    target_through: ndarray | None  # the talker alone through the run; None where it cannot be had
    noise_through: ndarray | None  # the noise alone through the run
    sar: Literal["bss", "le_roux"] = "bss"


@dataclass(frozen=True)
class Unscored:
    """A number that could not be had, and why."""

    reason: str


Score = float | Unscored
NOT_SENT_THROUGH: Score = Unscored(
    "the algorithm cannot send talker and noise alone through its filters"
)
Scores = Mapping[str, "float | Unscored"]


def measure_all(names: Collection[MetricName], judged: Judged) -> dict[str, Score]:
    """Every number of the metrics `names`, in their order.

    Raises ValueError where the signals do not fit together or hold NaN or infinity, or for an
    unknown name.
    """
    _check(judged)
    numbers: dict[str, Score] = {}
    for name in names:
        numbers.update(_shelf(name).measure(judged))
    return numbers


def measure_stage(
    names: Collection[MetricName], judged: Judged, waveform: ndarray
) -> dict[str, Score]:
    """Scores of one more waveform (ear, sample), say an intermediate tap, against the same signals.

    Of `names` those count that judge a single waveform (SI-SDR, SI-SIR, SI-SAR, STOI, ESTOI, PESQ);
    the rest needs target and noise sent through filters. Numbers are called `si_sdr_db_left`,
    `stoi_left` and so on.
    """
    _check(judged)
    _check_signal("waveform", waveform, judged.noisy.shape)
    numbers: dict[str, Score] = {}
    for name in names:
        if name in _OF_ONE_WAVEFORM:
            left, right = _shelf(name).scores(judged, waveform)
            unit = _OF_ONE_WAVEFORM[name]
            numbers |= {f"{name}{unit}_left": left, f"{name}{unit}_right": right}
    return numbers


def compared(
    name: str, unit: str, noisy: tuple[Score, Score], enhanced: tuple[Score, Score]
) -> dict[str, Score]:
    """Noisy, enhanced and improvement (their difference) at both ears, under their full names."""
    numbers: dict[str, Score] = {}
    for ear, before, after in zip(("left", "right"), noisy, enhanced, strict=True):
        numbers[f"{name}_noisy{unit}_{ear}"] = before
        numbers[f"{name}_enhanced{unit}_{ear}"] = after
        numbers[f"{name}_improvement{unit}_{ear}"] = _difference(before, after)
    return numbers


def _difference(before: Score, after: Score) -> Score:
    if isinstance(after, Unscored):
        return Unscored(f"enhanced: {after.reason}")
    if isinstance(before, Unscored):
        return Unscored(f"noisy: {before.reason}")
    return after - before


def _shelf(name: str) -> ModuleType:
    # The modules import this one, so they come late.
    from hasim.metrics import cues, estoi, pesq, si_sar, si_sdr, si_sir, snr, stoi

    modules = {
        "si_sdr": si_sdr,
        "si_sir": si_sir,
        "si_sar": si_sar,
        "stoi": stoi,
        "estoi": estoi,
        "pesq": pesq,
        "snr": snr,
        "cues": cues,
    }
    if name not in modules:
        raise ValueError(f"metrics: must be among {', '.join(modules)} (got {name!r})")
    return modules[name]


_OF_ONE_WAVEFORM = {
    "si_sdr": "_db",
    "si_sir": "_db",
    "si_sar": "_db",
    "stoi": "",
    "estoi": "",
    "pesq": "",
}


def _check(judged: Judged) -> None:
    for field in fields(judged):
        signal = getattr(judged, field.name)
        if isinstance(signal, ndarray):
            _check_signal(field.name, signal, judged.noisy.shape)


def _check_signal(name: str, signal: ndarray, shape: tuple[int, ...]) -> None:
    if signal.ndim != 2 or len(signal) != 2 or signal.shape != shape:
        raise ValueError(
            f"{name}: must be (2 ears, sample) like noisy {shape} (got {signal.shape})"
        )
    if not np.all(np.isfinite(signal)):
        ear, sample = np.argwhere(~np.isfinite(signal))[0]
        raise ValueError(
            f"{name}: must be finite (got {signal[ear, sample]} at ear {ear}, sample {sample})"
        )
