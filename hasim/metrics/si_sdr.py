"""Scale-invariant signal-to-distortion ratio: target against all else. Signals (ear, sample)."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.metrics import Judged, Score, Scores, Unscored, compared
from hasim.metrics.decomposition import silent_signal
from hasim.metrics.power import energy, ratio_db


def si_sdr(target: ndarray, estimate: ndarray) -> float | Unscored:
    """|a s|^2 / |e - a s|^2 in dB with a = <e, s> / <s, s>, all zero-mean; signals (sample).

    Unscored where a signal is silent, where the estimate equals the target up to a factor, and
    where it holds nothing of the target. Source: Le Roux et al., "SDR - half-baked or well done?",
    ICASSP 2019.

    >>> si_sdr(np.array([1.0, -1, 1, -1]), np.array([1.0, -1, 0, 0]))
    0.0
    """
    if silent := silent_signal(target, estimate):
        return silent
    s = target - np.mean(target)
    e = estimate - np.mean(estimate)
    scaled = float(np.vdot(s, e)) / energy(s) * s
    return ratio_db(
        energy(scaled),
        energy(e - scaled),
        if_zero="nothing of the target in the signal",
        if_unbounded="the signal equals the reference up to a factor, so the ratio has no bound",
    )


def scores(judged: Judged, waveform: ndarray) -> tuple[Score, Score]:
    """SI-SDR of `waveform` (ear, sample) at the left and the right ear."""
    left, right = (si_sdr(s, e) for s, e in zip(judged.target, waveform, strict=True))
    return left, right


def measure(judged: Judged) -> Scores:
    """`si_sdr_noisy_db_left`, `..._enhanced_db_...`, `..._improvement_db_...`, and `_right`."""
    return compared("si_sdr", "_db", scores(judged, judged.noisy), scores(judged, judged.enhanced))
