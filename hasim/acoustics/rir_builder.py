"""Impulse responses as sums of waves: what each microphone receives of each image source.

Axes: (mic, wave), (filter, tap), (mic, tap). The pulses of all waves that take the same filter are
summed first, and every sum is filtered once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy import ndarray

SPEED_OF_SOUND_M_PER_S = 343.0


@dataclass(frozen=True)
class Waves:
    """Filters and delays of the waves that arrive at a head.

    Wave w travels `path_m[p, w]` metres with the free-field gain `gain[p, w]` and is filtered by
    the sum over k of `share[p, w, k]` times filter `choice[p, w, k]`. Each microphone has its own
    path p (and `firs` one output), or all have one path in common and an output each.
    """

    firs: ndarray
    """(filter, output, tap)"""
    lead: int
    """The tap of `firs` that is time zero."""
    choice: ndarray
    """(path, wave, k): numbers of filters."""
    share: ndarray
    """(path, wave, k): weights of these filters."""
    path_m: ndarray
    """(path, wave)"""
    gain: ndarray
    """(path, wave), in 1 / m."""


KERNEL_TAPS = 81
"""Length of the fractional delay: a sinc under a Hann window."""
_FINER = 2
_SPREAD = 6
_SHAPE = 2.3 * _SPREAD
_FILTERS_AT_ONCE = 16
"""Filters that are processed at a time: few enough for the processor's cache."""


def sum_waves(waves: Waves, gains: ndarray, taps: int, sample_rate_hz: int) -> ndarray:
    """Response (mic, tap) to an impulse of all waves at tap 0 of their sources.

    `gains` (wave) or (path, wave) multiply the waves' own; waves with gain 0 take no time. What
    would come before tap 0 or after the last one is cut off.

    Pulses fall between samples. Adding 81 taps of a windowed sinc for each would take most of the
    time; so a pulse is spread over 6 points of a twice finer grid with a smooth bump, and the sum
    is divided by the spectrum of the bump and multiplied by that of the windowed sinc
    (a non-uniform FFT; the bump is exp(b sqrt(1 - x^2)) of A. H. Barnett et al.,
    SIAM J. Sci. Comput. 41 (2019) C479-C504). The error is below -90 dB.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    gains = np.broadcast_to(gains, waves.path_m.shape)
    outputs = waves.firs.shape[1]
    result = np.zeros((len(gains), outputs, taps))
    if not gains.any():
        return result.reshape(-1, taps)
    samples = waves.path_m / SPEED_OF_SOUND_M_PER_S * sample_rate_hz
    first = int(samples[gains != 0].min())
    last = int(samples[gains != 0].max()) + 1
    margin = KERNEL_TAPS // 2 + _SPREAD
    size = next_fast_len(last - first + waves.firs.shape[-1] + 2 * margin, real=True)
    size += size % 2
    half = size // 2
    shaping = _kernel_spectrum(size)
    # the tap of the result at which the computed piece begins
    start = first - margin - waves.lead
    skip, stop = max(0, -start), min(taps, start + size)
    for path in range(len(gains)):
        heard = np.flatnonzero(gains[path])
        amplitudes = (gains[path, heard] * waves.gain[path, heard])[:, None]
        places = (samples[path, heard] - first + margin) * _FINER
        spectrum = np.zeros((outputs, half + 1), complex)
        for filters, trains in _trains(
            waves.choice[path, heard], waves.share[path, heard] * amplitudes, places, size * _FINER
        ):
            fine = rfft(trains) * shaping
            # Every second sample of the fine grid: the upper half of the spectrum folds back.
            fine = fine[:, : half + 1] + np.conj(fine[:, : half - 1 : -1])
            spectrum += np.einsum("fb,fob->ob", fine, rfft(waves.firs[filters], size))
        result[path, :, start + skip : stop] = irfft(spectrum, size)[:, skip : stop - start]
    return result.reshape(-1, taps)


def _trains(
    choice: ndarray, share: ndarray, places: ndarray, length: int
) -> Iterator[tuple[ndarray, ndarray]]:
    """Filters, and for each the pulses of all waves that take it, (filter, point).

    `choice` and `share` are (wave, k), `places` (wave) on the grid of `length` points.
    """
    counts = np.bincount(choice.ravel())
    used = np.flatnonzero(counts)
    ends = np.cumsum(counts[used])
    # Sorting 16-bit numbers takes linear time.
    narrow = choice.astype(np.uint16 if len(counts) < 2**16 else np.uint32)
    order = np.argsort(narrow.ravel(), kind="stable")
    row_of = np.zeros(len(counts), int)
    row_of[used] = np.arange(len(used))
    for begin in range(0, len(used), _FILTERS_AT_ONCE):
        filters = used[begin : begin + _FILTERS_AT_ONCE]
        pulses = order[ends[begin] - counts[filters[0]] : ends[begin + len(filters) - 1]]
        place = places[pulses // choice.shape[1]]
        points = np.ceil(place - _SPREAD / 2)[:, None] + np.arange(_SPREAD)
        weights = _bump((points - place[:, None]) / (_SPREAD / 2))
        weights *= share.ravel()[pulses][:, None]
        points += ((row_of[choice.ravel()[pulses]] - begin) * length)[:, None]
        trains = np.bincount(points.ravel().astype(int), weights.ravel(), len(filters) * length)
        yield filters, trains.reshape(len(filters), length)


def _bump(offset: ndarray) -> ndarray:
    return np.exp(_SHAPE * (np.sqrt(np.maximum(1 - offset**2, 0)) - 1))


@cache
def _kernel_spectrum(size: int) -> ndarray:
    """Spectrum of the windowed sinc divided by that of the bump, for an rfft of `size` samples on
    the finer grid."""
    length = size * _FINER
    half = KERNEL_TAPS // 2 * _FINER
    at = np.arange(-half, half + 1)
    kernel = np.zeros(length)
    kernel[at] = np.sinc(at / _FINER) * (0.5 + 0.5 * np.cos(np.pi * at / (half + _FINER)))
    bins = np.arange(size + 1)
    # The transform of the bump as an integral over its support, by a sum over a fine grid.
    comb = (np.arange(100) + 0.5) / 50 - 1
    waves = np.cos(np.pi * np.outer(bins / size, comb * _SPREAD / 2))
    bump = np.sum(waves * _bump(comb), axis=1) * _SPREAD / 100
    spectrum = np.fft.rfft(kernel).real / bump / _FINER
    # there the windowed sinc has nothing, but the bump has images
    spectrum[bins > 0.6 * size] = 0
    spectrum.setflags(write=False)
    return spectrum
