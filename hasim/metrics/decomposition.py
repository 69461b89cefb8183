"""An estimate decomposed into target, interference and artefacts, at right angles to each other.

All signals are (sample) and are made zero-mean first. With the target s, the noise n and the
estimate e

    e_target       = projection of e on s
    e_interference = projection of e on the plane of s and n, less e_target
    e_artefacts    = e less its projection on the plane

Source: Vincent, Gribonval and Fevotte, "Performance measurement in blind audio source separation",
IEEE TASLP 14(4), 2006, with one coefficient per source instead of a filter; Le Roux et al., "SDR -
half-baked or well done?", ICASSP 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from hasim.metrics.power import BOUND, energy, is_silent
from hasim.metrics.signals import Unscored


@dataclass(frozen=True)
class Parts:
    """Energies of the three parts of an estimate; they add up to the energy of the estimate."""

    target: float
    interference: float
    artefacts: float


def decompose(target: ndarray, noise: ndarray, estimate: ndarray) -> Parts | Unscored:
    """Energies of target, interference and artefacts in `estimate`; all signals (sample)."""
    if silent := silent_signal(target, estimate):
        return silent
    if is_silent(noise):
        return Unscored("silent noise: there is no interference to measure")
    s = target - np.mean(target)
    e = estimate - np.mean(estimate)
    n = noise - np.mean(noise)
    # The part of the noise at right angles to the target.
    across = n - _coefficient(n, s) * s
    if energy(across) <= BOUND * energy(n):
        return Unscored("the noise is a copy of the target, so the two cannot be separated")
    e_target = _coefficient(e, s) * s
    e_interference = _coefficient(e, across) * across
    e_artefacts = e - e_target - e_interference
    return Parts(energy(e_target), energy(e_interference), energy(e_artefacts))


def silent_signal(target: ndarray, estimate: ndarray) -> Unscored | None:
    """The reason not to score when the reference or the output is silent."""
    if is_silent(target):
        return Unscored("silent reference: the talker does not speak here")
    if is_silent(estimate):
        return Unscored("silent output")
    return None


def _coefficient(signal: ndarray, base: ndarray) -> float:
    return float(np.vdot(base, signal)) / energy(base)
