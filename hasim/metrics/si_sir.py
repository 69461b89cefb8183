"""Scale-invariant signal-to-interference ratio: target against noise. Signals (ear, sample)."""

from __future__ import annotations

from numpy import ndarray

from hasim.metrics import Judged, Score, Scores, Unscored, compared
from hasim.metrics.decomposition import decompose
from hasim.metrics.power import ratio_db


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


def scores(judged: Judged, waveform: ndarray) -> tuple[Score, Score]:
    """SI-SIR of `waveform` (ear, sample) at the left and the right ear."""
    left, right = (
        si_sir(s, n, e) for s, n, e in zip(judged.target, judged.noise, waveform, strict=True)
    )
    return left, right


def measure(judged: Judged) -> Scores:
    """`si_sir_noisy_db_left`, `..._enhanced_db_...`, `..._improvement_db_...`, and `_right`."""
    return compared("si_sir", "_db", scores(judged, judged.noisy), scores(judged, judged.enhanced))
