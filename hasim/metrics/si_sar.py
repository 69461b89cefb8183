"""Scale-invariant signal-to-artefacts ratio, in dB, in its two forms. Signals are (ear, sample).

An unprocessed microphone is target plus noise and nothing else, so against the whole image of the
talker it has no artefacts and no SI-SAR; against the early or direct part the late reverberation
counts as artefact.
"""

from __future__ import annotations

from typing import Literal

from numpy import ndarray

from hasim.metrics.decomposition import decompose
from hasim.metrics.power import ratio_db
from hasim.metrics.signals import Scores, Signals, Unscored, by_ear


def si_sar(
    target: ndarray, noise: ndarray, estimate: ndarray, form: Literal["bss", "le_roux"] = "bss"
) -> float | Unscored:
    """What is not artefact against what is, in dB; signals (sample). Parts: `decomposition`.

    "bss" (Vincent et al. 2006): |e_target + e_interference|^2 / |e_artefacts|^2. "le_roux" (Le Roux
    et al. 2019): |e_target|^2 / |e_artefacts|^2, never larger than the first. Unscored where a
    signal is silent or where the estimate is a mixture of target and noise without artefacts.
    """
    parts = decompose(target, noise, estimate)
    if isinstance(parts, Unscored):
        return parts
    return ratio_db(
        parts.target + (parts.interference if form == "bss" else 0.0),
        parts.artefacts,
        if_zero="nothing but artefacts in the signal",
        if_unbounded="no artefacts: the signal is target plus noise, so the ratio has no bound",
    )


def measure(signals: Signals) -> Scores:
    """`si_sar_db_left` and `_right` of the estimate, in the form `signals.sar`."""
    ears = zip(signals.target, signals.noise, signals.estimate, strict=True)
    return by_ear("si_sar_db", (si_sar(s, n, e, signals.sar) for s, n, e in ears))
