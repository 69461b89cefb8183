"""Delays by fractions of a sample."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

# Length of the interpolation filter and of its window.
TAPS = 32


def delayed(hops: ndarray, skew: ndarray) -> ndarray:
    """Hops (ear, stream, frame, sample) delayed by `skew` (ear, frame, 2), linear within a hop.

    Interpolated with a sinc under a Blackman window, 32 samples long; silent outside.
    """
    frames, hop = hops.shape[-2:]
    way = np.arange(hop) / hop
    # (ear, frame, sample)
    lag = skew[..., :1] + way * (skew[..., 1:] - skew[..., :1])
    lag = np.broadcast_to(lag, (len(hops), frames, hop)).reshape(len(hops), -1)
    result = np.zeros((*hops.shape[:2], frames * hop))
    reach = int(np.ceil(np.abs(lag).max())) + TAPS // 2
    padded = np.pad(hops.reshape(*hops.shape[:2], -1), ((0, 0), (0, 0), (reach, reach)))
    for ear in range(len(hops)):
        whole = np.round(lag[ear]).astype(int)
        # At most half a sample.
        rest = lag[ear] - whole
        first = np.arange(frames * hop) - whole + reach
        for tap in range(1 - TAPS // 2, TAPS // 2):
            distance = tap + rest
            turn = 2 * np.pi * distance / TAPS
            window = 0.42 + 0.5 * np.cos(turn) + 0.08 * np.cos(2 * turn)
            weight = np.sinc(distance) * window
            result[ear] += weight * padded[ear][:, first + tap]
    return result.reshape(hops.shape)


def turned(frames: ndarray, skew: ndarray, window: int) -> ndarray:
    """Spectra (ear, stream, frame, bin) of a signal delayed by the mean of each hop's `skew`."""
    lag = skew.mean(axis=-1)[:, None, :, None]
    bins = np.arange(frames.shape[-1])
    return frames * np.exp(-2j * np.pi * bins * lag / window)
