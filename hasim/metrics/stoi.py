"""Short-time objective intelligibility, 0 to 1, by pystoi. Signals are (ear, sample)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy import ndarray

from hasim.metrics.decomposition import silent_signal
from hasim.metrics.remembered import remembered
from hasim.metrics.signals import Scores, Signals, Unscored, by_ear


def stoi(
    target: ndarray, estimate: ndarray, sample_rate_hz: int, *, extended: bool = False
) -> float | Unscored:
    """STOI, or with `extended` ESTOI, of one ear's signals (sample); works at 10 kHz internally.

    Unscored where a signal is silent or where less than 0.4 s of speech remains after the pauses
    are taken out. Sources: Taal et al., IEEE TASLP 19(7), 2011; Jensen and Taal, IEEE/ACM TASLP
    24(11), 2016.
    """
    if silent := silent_signal(target, estimate):
        return silent
    # 30 frames of 256 samples every 128 at 10 kHz.
    if len(target) < 0.4 * sample_rate_hz:
        return Unscored(f"too short: {len(target) / sample_rate_hz:.3g} s of sound, 0.4 s needed")
    name = f"stoi {sample_rate_hz} {extended}"
    return remembered(
        name, (target, estimate), lambda: _of_library(target, estimate, sample_rate_hz, extended)
    )


def _of_library(
    target: ndarray, estimate: ndarray, sample_rate_hz: int, extended: bool
) -> float | Unscored:
    import pystoi

    # pystoi's ESTOI adds noise of 1e-16 from numpy's global generator: without a seed the last
    # digits of the score would differ from run to run.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            return float(pystoi.stoi(target, estimate, sample_rate_hz, extended=extended))
    except RuntimeWarning as warning:
        if "Not enough STFT frames" not in str(warning):
            raise
        return Unscored("too short: less than 0.4 s of speech without the pauses")
    finally:
        np.random.set_state(state)  # noqa: NPY002


def measure(signals: Signals) -> Scores:
    """`stoi_left` and `stoi_right` of the estimate."""
    ears = zip(signals.target, signals.estimate, strict=True)
    return by_ear("stoi", (stoi(s, e, signals.sample_rate_hz) for s, e in ears))


def measure_extended(signals: Signals) -> Scores:
    """`estoi_left` and `estoi_right` of the estimate: STOI for noise that is itself modulated."""
    ears = zip(signals.target, signals.estimate, strict=True)
    return by_ear("estoi", (stoi(s, e, signals.sample_rate_hz, extended=True) for s, e in ears))
