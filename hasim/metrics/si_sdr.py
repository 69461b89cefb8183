"""Scale-invariant signal-to-distortion ratio: target against all else. Signals (ear, sample)."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.metrics.decomposition import silent_signal
from hasim.metrics.power import energy, ratio_db
from hasim.metrics.signals import Scores, Signals, Unscored, by_ear


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


def measure(signals: Signals) -> Scores:
    """`si_sdr_db_left` and `_right` of the estimate."""
    pairs = zip(signals.target, signals.estimate, strict=True)
    return by_ear("si_sdr_db", (si_sdr(s, e) for s, e in pairs))
