"""The ERB filter bank of the compact networks: low bins unchanged, high bins combined into bands.

A bank is (band, high bin), where the high bins are those from `linear` to the last. Analysis is
`bank @ high`, synthesis its transpose. Every bin's weights add up to 1, so a band mask of ones
becomes a bin mask of ones and a mask in [0, 1] stays there.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.dsp.stft import SAMPLE_RATE_HZ


def erb_bank(
    linear: int = 64, bands: int = 64, bins: int = 257, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> ndarray:
    """Triangles with centres equally spaced on the ERB-rate scale, (band, high bin).

    The first centre is the first high bin, the last one the Nyquist frequency, all are rounded to
    bins (the layout of GTCRN, Rong et al., ICASSP 2024). A bin lies on a centre or between two, so
    it touches at most two bands. ValueError where two centres would fall on one bin.

    >>> bank = erb_bank()
    >>> bank.shape, bool(np.all(bank.sum(axis=0) == 1))
    ((64, 193), True)
    """
    if not (bands >= 2 and 1 <= linear < bins - 1):
        raise ValueError(
            "erb_bank: needs bands >= 2 and 1 <= linear < bins - 1 "
            f"(got {bands} bands and {linear} linear of {bins} bins)"
        )
    hz_per_bin = sample_rate_hz / 2 / (bins - 1)
    low, high = erb_rate(np.array([linear, bins - 1]) * hz_per_bin)
    centres = np.rint(erb_frequency_hz(np.linspace(low, high, bands)) / hz_per_bin)
    if np.any(np.diff(centres) < 1):
        raise ValueError(
            f"erb_bank: {bands} bands are too many for bins {linear} to {bins - 1}: "
            "two centres fall on one bin"
        )
    # Interpolation weights between neighbouring centres are the triangles, half ones at both ends.
    return np.stack([np.interp(np.arange(linear, bins), centres, hat) for hat in np.eye(bands)])


def row_normalised(bank: ndarray) -> ndarray:
    """The bank with rows that add up to 1, so that a band feature is a weighted mean of its bins.

    For analysis only: synthesis needs the columns to add up to 1.
    """
    return bank / bank.sum(axis=1, keepdims=True)


def erb_rate(frequency_hz: ndarray) -> ndarray:
    """Number of equivalent rectangular bandwidths below a frequency (Glasberg and Moore 1990)."""
    return 21.4 * np.log10(0.00437 * frequency_hz + 1)


def erb_frequency_hz(rate: ndarray) -> ndarray:
    """Frequency of an ERB rate, the inverse of `erb_rate`."""
    return (10 ** (rate / 21.4) - 1) / 0.00437
