"""Scale-invariant signal-to-interference ratio: target against noise. Signals (ear, sample)."""

from __future__ import annotations

from numpy import ndarray

from hasim.metrics.decomposition import decompose
from hasim.metrics.power import ratio_db
from hasim.metrics.signals import Scores, Signals, Unscored, by_ear


def si_sir(target: ndarray, noise: ndarray, estimate: ndarray) -> float | Unscored:
    """|e_target|^2 / |e_interference|^2 in dB; signals (sample). Parts and source: `decomposition`.

    Unscored where a signal is silent or where no noise, or no target, is left in the estimate.
    """
    parts = decompose(target, noise, estimate)
    if isinstance(parts, Unscored):
        return parts
    return ratio_db(
        parts.target,
        parts.interference,
        if_zero="nothing of the target in the signal",
        if_unbounded="nothing of the noise in the signal, so the ratio has no bound",
    )


def measure(signals: Signals) -> Scores:
    """`si_sir_db_left` and `_right` of the estimate."""
    ears = zip(signals.target, signals.noise, signals.estimate, strict=True)
    return by_ear("si_sir_db", (si_sir(s, n, e) for s, n, e in ears))
