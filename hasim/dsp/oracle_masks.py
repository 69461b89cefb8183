"""Oracle masks: the mask of a perfect network, from the separate speech and noise.

Spectra and masks are (..., bin, frame); a mask is real, between 0 (noise) and 1 (speech).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray

OracleMask = Literal["irm1", "irm2", "ibm", "iam1", "iam2", "psm"]


def oracle_mask(kind: OracleMask, speech: ndarray, noise: ndarray) -> ndarray:
    """The mask of `kind` from `speech` and `noise` at one microphone, each (..., bin, frame).

    irm1, irm2  ideal ratio mask |S|^p / (|S|^p + |N|^p), p = 1 or 2
    ibm         ideal binary mask: 1 where the speech is stronger
    iam1, iam2  ideal amplitude mask (|S| / |S + N|)^p, at most 1
    psm         phase-sensitive mask Re(S / (S + N)), between 0 and 1

    Silent bins (neither speech nor noise) are 0.
    """
    if kind == "ibm":
        return (np.abs(speech) > np.abs(noise)).astype(float)
    if kind == "psm":
        mixture = speech + noise
        return np.clip(_ratio((speech * mixture.conj()).real, np.abs(mixture) ** 2), 0.0, 1.0)
    power = int(kind[-1])
    if kind.startswith("iam"):
        return np.minimum(_ratio(np.abs(speech), np.abs(speech + noise)), 1.0) ** power
    return _ratio(np.abs(speech) ** power, np.abs(speech) ** power + np.abs(noise) ** power)


def _ratio(numerator: ndarray, denominator: ndarray) -> ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)
