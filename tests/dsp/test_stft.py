"""Windows that give back what went in, and frames that end where they say."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.dsp.stft import (
    FrontEndSpec,
    analyse,
    analysis_window,
    frames_for,
    synthesise,
    transform_macs,
)

FRONT_ENDS = [
    FrontEndSpec(),
    FrontEndSpec(shape="sqrt_hann"),
    FrontEndSpec(window=256, hop=64),
    FrontEndSpec(window=512, synthesis_window=128, hop=64),
    FrontEndSpec(window=512, synthesis_window=128, hop=32),
]


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("samples", [16_000, 4_001, 100])
def test_reconstruction_is_below_minus_120_db(front_end, samples, rng):
    waveform = rng.standard_normal((2, 2, samples))
    again = synthesise(analyse(waveform, front_end), front_end, samples)
    error_db = 10 * np.log10(np.sum((again - waveform) ** 2) / np.sum(waveform**2))
    assert error_db < -250  # double precision: far below the -120 dB that the front end promises


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_frame_n_ends_with_hop_n_and_sees_nothing_later(front_end):
    waveform = np.zeros(4_000)
    waveform[1_500:] = 1.0
    spectra = analyse(waveform, front_end)
    silent = np.flatnonzero(np.abs(spectra).max(axis=0) == 0)
    # the last silent frame ends at or before sample 1500: (n + 1) hop <= 1500
    assert silent[-1] == 1_500 // front_end.hop - 1


def test_frame_equals_the_literal_transform(rng):
    front_end = FrontEndSpec()
    waveform = rng.standard_normal(3_000)
    spectra = analyse(waveform, front_end)
    frame = 5
    piece = waveform[(frame + 1) * 256 - 512 : (frame + 1) * 256]
    expected = np.fft.rfft(piece * analysis_window(front_end))
    np.testing.assert_allclose(spectra[:, frame], expected, atol=1e-12)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_output_is_final_one_synthesis_window_after_capture(front_end, rng):
    """Changing the last frame must not change samples before (n + 1) hop - synthesis_window."""
    samples = 4_000
    spectra = analyse(rng.standard_normal(samples), front_end)
    changed = spectra.copy()
    frame = spectra.shape[-1] // 2
    changed[:, frame:] = 0
    a, b = (synthesise(x, front_end, samples) for x in (spectra, changed))
    first_different = np.flatnonzero(np.abs(a - b) > 1e-9)[0]
    assert first_different >= (frame + 1) * front_end.hop - front_end.synthesis_samples
    assert first_different < (frame + 1) * front_end.hop - front_end.synthesis_samples + 8


def test_short_synthesis_window_is_the_latency():
    assert FrontEndSpec(window=512, synthesis_window=128, hop=64).synthesis_samples == 128  # 8 ms


def test_frames_reach_the_last_sample():
    assert frames_for(128_000, FrontEndSpec()) == 501


def test_transform_cost_is_the_textbook_fft_and_the_window():
    assert transform_macs(FrontEndSpec()) == 5_760 + 512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 512, "hop": 200}, "2, 3, ... hops long"),
        ({"window": 256, "synthesis_window": 512}, "at most window = 256"),
        ({"window": 511, "hop": 73}, "must be even"),
    ],
)
def test_impossible_windows_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FrontEndSpec(**arguments)
