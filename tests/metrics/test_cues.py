"""Interaural level and time differences of signals whose differences are known."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.metrics.cues import band_powers, ild_error_db, itd_error_us, itd_s

RATE = 16000
RNG = np.random.default_rng(3)
NOISE = RNG.standard_normal(2 * RATE)


def delayed(signal: np.ndarray, seconds: float) -> np.ndarray:
    """A circular delay by any fraction of a sample."""
    spectrum = np.fft.rfft(signal)
    frequencies_hz = np.fft.rfftfreq(len(signal), 1 / RATE)
    return np.fft.irfft(spectrum * np.exp(-2j * np.pi * frequencies_hz * seconds), len(signal))


@pytest.mark.parametrize("lead_us", [-700.0, -31.25, 0.0, 10.0, 437.5, 650.0])
def test_time_difference_is_that_of_a_delayed_copy(lead_us):
    """Tolerance 1 us: what a parabola through three samples errs by below 1.5 kHz at 16 kHz."""
    ears = np.stack([NOISE, 0.3 * delayed(NOISE, lead_us * 1e-6)])
    assert itd_s(ears, RATE) * 1e6 == pytest.approx(lead_us, abs=1.0)


def test_time_difference_is_positive_for_the_left():
    assert itd_s(np.stack([NOISE, delayed(NOISE, 5e-4)]), RATE) > 0


def test_level_difference_of_a_broadband_gain():
    before = np.stack([NOISE, NOISE])
    after = np.stack([2.0 * NOISE, 0.5 * NOISE])
    assert ild_error_db(before, after, RATE) == pytest.approx(20 * np.log10(4), abs=1e-9)
    assert ild_error_db(before, 0.1 * before, RATE) == pytest.approx(0.0, abs=1e-9)


def test_level_difference_is_the_mean_over_bands_whatever_their_energy():
    """6 dB off in one of two bands makes 3 dB, though the band off is 30 dB weaker."""
    time = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 250 * time), 10**-1.5 * np.sin(2 * np.pi * 4000 * time)
    before = np.stack([low + high, low + high])
    after = np.stack([low + high, low + 2.0 * high])
    assert ild_error_db(before, after, RATE) == pytest.approx(10 * np.log10(4) / 2, abs=1e-6)


def test_bands_hold_the_energy_between_their_edges():
    time = np.arange(RATE) / RATE
    ears = np.stack([np.sin(2 * np.pi * 1000 * time), 0.1 * np.sin(2 * np.pi * 5000 * time)])
    assert np.argmax(band_powers(ears, RATE), axis=-1).tolist() == [9, 16]  # 1 kHz and 5 kHz


def test_one_output_for_both_ears_takes_the_cues_away():
    """Both ears hear the same after the filters: the error is the whole of the cue before them."""
    before = np.stack([NOISE, 0.5 * delayed(NOISE, 5e-4)])
    after = np.stack([NOISE, NOISE])
    assert itd_error_us(before, after, RATE) == pytest.approx(500, abs=1.0)
    assert ild_error_db(before, after, RATE) == pytest.approx(20 * np.log10(2), abs=0.01)


def test_silence_has_no_cues():
    sound = np.stack([NOISE, NOISE])
    one_ear = np.stack([NOISE, 0 * NOISE])
    assert "silent after the filters of the right" in ild_error_db(sound, one_ear, RATE).reason
    assert "silent at the microphones of the right" in itd_error_us(one_ear, sound, RATE).reason
