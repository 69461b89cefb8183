"""Binaural cues: how far talker and residual noise seem to move. Signals (ear, sample).

The level difference between the ears is compared in third-octave bands, the time difference below
1.5 kHz, where listeners use it; both over the whole scored time, for the talker and the noise sent
alone through the filters of the run, against the same two at the reference microphones.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.config.ears import EARS
from hasim.metrics.power import is_silent
from hasim.metrics.signals import NOT_SENT_THROUGH, Score, Scores, Signals, Unscored

THIRD_OCTAVES_HZ = 1000.0 * 10 ** (np.arange(-9, 9) / 10)
"""Centres of the bands, 126 Hz to 6.3 kHz (base ten, IEC 61260-1); edges are 10**(+-1/20) away."""

ITD_BAND_HZ = (100.0, 1500.0)
ITD_LIMIT_S = 1e-3
"""Largest time difference looked for; a head makes about 0.7 ms."""

AUDIBLE_DB = -50.0
"""Bands of a source weaker than this against its strongest band do not count in its ILD."""


def band_powers(signal: ndarray, sample_rate_hz: int) -> ndarray:
    """Energy per third-octave band: (ear, sample) -> (ear, band)."""
    # Without padding, which would leak between bands.
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    frequencies_hz = np.fft.rfftfreq(signal.shape[-1], 1 / sample_rate_hz)
    edges = np.searchsorted(
        frequencies_hz, [THIRD_OCTAVES_HZ * 10**-0.05, THIRD_OCTAVES_HZ * 10**0.05]
    )
    total = np.concatenate([np.zeros((2, 1)), np.cumsum(spectrum, axis=-1)], axis=-1)
    return total[:, edges[1]] - total[:, edges[0]]


def ild_error_db(before: ndarray, after: ndarray, sample_rate_hz: int) -> Score:
    """Mean over bands of |ILD after - ILD before| in dB; signals (ear, sample).

    ILD is 10 lg(left power / right power) of a band. Every band counts alike that holds at least
    -50 dB of the source's strongest band before the filters, and anything at both ears after them.
    """
    if silent := _silent(before, after):
        return silent
    powers_before = band_powers(before, sample_rate_hz)
    powers_after = band_powers(after, sample_rate_hz)
    floor = 10 ** (AUDIBLE_DB / 10)
    counts = np.all(powers_before > floor * np.max(powers_before, axis=-1, keepdims=True), axis=0)
    counts &= np.all(powers_after > 1e-12 * np.max(powers_after), axis=0)
    if not np.any(counts):
        return Unscored("no band with sound at both ears")
    ilds_db = [
        10 * np.log10(powers[0, counts] / powers[1, counts])
        for powers in (powers_before, powers_after)
    ]
    return float(np.mean(np.abs(ilds_db[1] - ilds_db[0])))


def itd_s(signal: ndarray, sample_rate_hz: int) -> float:
    """Time in s by which the left ear leads (positive: sound from the left); signal (ear, sample).

    Lag of the largest cross-correlation between 100 and 1500 Hz within +-1 ms, refined by a
    parabola through three samples.
    """
    # Long enough for lags not to wrap round.
    size = 1 << (2 * signal.shape[-1] - 1).bit_length()
    left, right = np.fft.rfft(signal, size)
    frequencies_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    band = (frequencies_hz >= ITD_BAND_HZ[0]) & (frequencies_hz <= ITD_BAND_HZ[1])
    correlation = np.fft.irfft(np.where(band, right * left.conj(), 0), size)
    limit = round(ITD_LIMIT_S * sample_rate_hz)
    lags = np.arange(-limit, limit + 1)
    # Negative lags stand at the end of the array.
    peak = int(lags[np.argmax(correlation[lags])])
    below, at, above = correlation[peak - 1], correlation[peak], correlation[peak + 1]
    curvature = below - 2 * at + above
    shift = 0.5 * (below - above) / curvature if curvature < 0 else 0.0
    return float((peak + np.clip(shift, -0.5, 0.5)) / sample_rate_hz)


def itd_error_us(before: ndarray, after: ndarray, sample_rate_hz: int) -> Score:
    """|ITD after - ITD before| in microseconds; signals (ear, sample)."""
    if silent := _silent(before, after):
        return silent
    return abs(itd_s(after, sample_rate_hz) - itd_s(before, sample_rate_hz)) * 1e6


def measure(signals: Signals) -> Scores:
    """`ild_error_target_db`, `itd_error_target_us`, `ild_error_noise_db`, `itd_error_noise_us`."""
    # The whole image, also where the reference is a part of it.
    talker = signals.noisy - signals.noise
    pairs = {
        "target": (talker, signals.target_through),
        "noise": (signals.noise, signals.noise_through),
    }
    numbers: dict[str, Score] = {}
    for name, (before, after) in pairs.items():
        ild = itd = NOT_SENT_THROUGH
        if after is not None:
            ild = ild_error_db(before, after, signals.sample_rate_hz)
            itd = itd_error_us(before, after, signals.sample_rate_hz)
        numbers[f"ild_error_{name}_db"] = ild
        numbers[f"itd_error_{name}_us"] = itd
    return numbers


def _silent(before: ndarray, after: ndarray) -> Unscored | None:
    for signal, where in ((before, "at the microphones"), (after, "after the filters")):
        for ear, name in enumerate(EARS):
            if is_silent(signal[ear]):
                return Unscored(f"silent {where} of the {name} ear")
    return None
