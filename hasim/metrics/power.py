"""Powers of signals, their ratios in decibels, and when such a ratio is not a score.

Signals are (sample). A ratio that does not exist is `Unscored` with the reason, never NaN or
infinity.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.metrics.signals import Score, Unscored

BOUND = 1e-12
"""Ratios beyond 120 dB are rounding, not sound: single precision rounds at about -140 dB."""

SILENCE = 1e-20
"""Mean square of what counts as silence: -200 dB against full scale."""


def energy(signal: ndarray) -> float:
    """Sum of squares of a real signal of any shape."""
    return float(np.vdot(signal, signal))


def is_silent(signal: ndarray) -> bool:
    """True where nothing varies: an empty signal, zeros, or a constant.

    >>> is_silent(np.full(100, 0.5)), is_silent(np.array([0.0, 1e-3]))
    (True, False)
    """
    return signal.size == 0 or energy(signal - np.mean(signal)) <= SILENCE * signal.size


def ratio_db(numerator: float, denominator: float, *, if_zero: str, if_unbounded: str) -> Score:
    """10 lg (numerator / denominator) of two energies; beyond +-120 dB the reason why it is
    not a score.

    >>> ratio_db(100.0, 1.0, if_zero="no target", if_unbounded="no noise")
    20.0
    >>> ratio_db(1.0, 1e-13, if_zero="no target", if_unbounded="no noise")
    Unscored(reason='no noise')
    """
    if numerator <= BOUND * denominator:
        return Unscored(if_zero)
    if denominator <= BOUND * numerator:
        return Unscored(if_unbounded)
    return float(10 * np.log10(numerator / denominator))
