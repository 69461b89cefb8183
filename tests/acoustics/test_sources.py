"""Sources: level, length, spectrum, seed. Speech has pauses, so levels are active levels."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from hasim.acoustics.sources import (
    TALKERS,
    Babble,
    BundledSource,
    FileSource,
    PinkNoise,
    Recording,
    SourceSpec,
    SpeechShapedNoise,
    WhiteNoise,
    active_level,
    render,
)
from hasim.config.spec import InputError

RATE_HZ = 16000
ASSETS = resources.files("hasim.acoustics")
EVERY_KIND = [
    BundledSource(name="speech_en_female"),
    BundledSource(name="noise_rain", start_s=3),
    SpeechShapedNoise(),
    Babble(talkers=5),
    WhiteNoise(),
    PinkNoise(),
]


def _render(spec: SourceSpec, samples: int = 3 * RATE_HZ, seed: int = 0) -> np.ndarray:
    return render(spec, samples, RATE_HZ, np.random.default_rng(seed))


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.kind)
def test_every_source_has_the_length_and_the_level_asked_for(spec):
    signal = _render(spec)
    assert signal.shape == (3 * RATE_HZ,)
    assert signal.dtype == np.float64
    assert active_level(signal, RATE_HZ) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.kind)
def test_same_seed_same_bytes_other_seed_other_sound(spec):
    assert _render(spec, seed=3).tobytes() == _render(spec, seed=3).tobytes()
    if getattr(spec, "start_s", None) is None:
        assert not np.array_equal(_render(spec, seed=3), _render(spec, seed=4))


def test_level_of_a_stationary_signal_is_its_root_mean_square():
    noise = np.random.default_rng(0).standard_normal(RATE_HZ + 77)
    assert active_level(noise, RATE_HZ) == pytest.approx(np.sqrt(np.mean(noise**2)), rel=1e-12)
    assert active_level(np.zeros(100), RATE_HZ) == 0


def test_pauses_do_not_count():
    # 1 s of noise in 4 s: the level counts the second and the 200 ms during which speech is held
    # to go on, so it lies 10 log10(1.2) = 0.8 dB below the noise's own.
    noise = np.random.default_rng(0).standard_normal(RATE_HZ)
    with_pauses = np.concatenate([np.zeros(RATE_HZ), noise, np.zeros(2 * RATE_HZ)])
    level = active_level(with_pauses, RATE_HZ) / active_level(noise, RATE_HZ)
    assert level == pytest.approx(1 / np.sqrt(1.2), rel=1e-9)


def test_level_scales_with_the_signal():
    speech = _render(BundledSource())
    assert active_level(0.01 * speech, RATE_HZ) == pytest.approx(0.01, rel=1e-12)


@pytest.mark.parametrize("name", get_args(Recording))
def test_bundled_recordings_are_there_with_their_origin(name):
    with resources.as_file(ASSETS / "recordings" / f"{name}.flac") as path:
        info = soundfile.info(path)
    assert (info.samplerate, info.channels) == (RATE_HZ, 1)
    assert info.duration >= 20
    attribution = (ASSETS / "recordings" / "SOURCES.md").read_text(encoding="utf-8")
    (line,) = [line for line in attribution.splitlines() if f"`{name}.flac`" in line]
    assert "CC-BY" in line


def test_no_recording_is_without_attribution():
    bundled = {entry.name for entry in (ASSETS / "recordings").iterdir()}
    assert bundled == {"SOURCES.md", *(f"{name}.flac" for name in get_args(Recording))}


def test_start_chooses_the_excerpt():
    whole = soundfile.read(Path(str(ASSETS / "recordings" / "speech_it_male.flac")))[0]
    signal = _render(BundledSource(start_s=2.5), RATE_HZ)
    excerpt = whole[40000:56000]
    np.testing.assert_allclose(signal, excerpt / active_level(excerpt, RATE_HZ), rtol=1e-12)


def test_start_beyond_the_end_is_refused():
    with pytest.raises(ValueError, match=r"start_s: must be below 24, .* \(got 24\)"):
        _render(BundledSource(start_s=24))


def _file(tmp_path: Path, signal: np.ndarray, rate_hz: int = RATE_HZ) -> FileSource:
    soundfile.write(tmp_path / "source.wav", signal.T, rate_hz, subtype="DOUBLE")
    return FileSource(path=tmp_path / "source.wav")


def test_files_are_resampled(tmp_path):
    """A tone keeps its frequency, and what lies above half the new rate is gone."""
    time_s = np.arange(2 * 44100) / 44100
    tone, whistle = np.sin(2 * np.pi * 1000 * time_s), np.sin(2 * np.pi * 12000 * time_s)
    signal = _render(_file(tmp_path, tone + whistle, 44100), RATE_HZ)
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(RATE_HZ))) ** 2
    assert np.argmax(spectrum) == 1000
    # 60 dB: the stop band of SciPy's default Kaiser window (beta 5).
    assert spectrum[1100:].sum() < 1e-6 * spectrum.sum()


def test_only_the_first_channel_is_used(tmp_path):
    rng = np.random.default_rng(0)
    stereo = rng.standard_normal((2, RATE_HZ))
    signal = _render(_file(tmp_path, stereo), RATE_HZ)
    assert np.corrcoef(signal, stereo[0])[0, 1] == pytest.approx(1)


def test_short_files_go_round_without_a_click(tmp_path):
    """A ramp of half a second, which jumps at its seam, never jumps in the loop."""
    ramp = np.linspace(-1, 1, RATE_HZ // 2)
    signal = _render(_file(tmp_path, ramp), 4 * RATE_HZ)
    assert signal.shape == (4 * RATE_HZ,)
    # The cross-fade spreads the jump of 2 over 320 samples: below pi / 320 of the level per sample.
    assert np.abs(np.diff(signal)).max() < 1.1 * np.pi / 320 / np.std(ramp)
    period = RATE_HZ // 2 - 320
    np.testing.assert_array_equal(signal[period:], signal[:-period])


def test_the_seam_keeps_the_power(tmp_path):
    power = np.zeros(2040)  # three turns
    for seed in range(200):
        file = _file(tmp_path, np.random.default_rng(seed).standard_normal(1000))
        loop = _render(file.model_copy(update={"start_s": 0.0}), 2040)
        power += loop**2 / 200
    # Means of 20 samples of 200 loops: standard error 0.02. A linear fade would dip to 0.5.
    assert power.reshape(-1, 20).mean(axis=1) == pytest.approx(np.ones(102), abs=0.12)


def test_a_file_of_one_sample_is_enough(tmp_path):
    np.testing.assert_allclose(_render(_file(tmp_path, np.array([0.5])), 100), np.ones(100))


def test_silence_is_refused(tmp_path):
    silent = np.zeros(3 * RATE_HZ)
    with pytest.raises(InputError, match=r"found silence from .* s on for 1 s"):
        _render(_file(tmp_path, silent), RATE_HZ)
    path = tmp_path / "source.wav"
    with pytest.raises(InputError, match="expected speech, found silence"):
        _render(SpeechShapedNoise(path=path))


def _band_levels_db(signal: np.ndarray) -> np.ndarray:
    """Level in octaves from 125 Hz to 4 kHz."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    frequencies = np.fft.rfftfreq(len(signal), 1 / RATE_HZ)
    centres = 125 * 2.0 ** np.arange(6)
    inside = (frequencies >= centres[:, None] / 2**0.5) & (frequencies < centres[:, None] * 2**0.5)
    return 10 * np.log10(inside @ power)


def test_pink_noise_has_equal_octaves_and_white_noise_rises_by_3_db():
    # 10 s: the lowest octave has 880 bins, so its level is known to 0.15 dB (1 sigma).
    pink = _band_levels_db(_render(PinkNoise(), 10 * RATE_HZ))
    white = _band_levels_db(_render(WhiteNoise(), 10 * RATE_HZ))
    assert np.ptp(pink) < 1
    assert np.diff(white) == pytest.approx(np.full(5, 3.01), abs=0.7)


def test_speech_shaped_noise_has_the_spectrum_of_speech():
    speech = sum(
        10 ** (_band_levels_db(_render(BundledSource(name=name, start_s=0), 24 * RATE_HZ)) / 10)
        for name in TALKERS
    )
    expected = 10 * np.log10(speech)
    noise = _band_levels_db(_render(SpeechShapedNoise(), 24 * RATE_HZ))
    # Within 1 dB relative to the mean: Welch's bins of 16 Hz blur the steep lower edge.
    assert noise - noise.mean() == pytest.approx(expected - expected.mean(), abs=1)
    steady = _render(SpeechShapedNoise(), 24 * RATE_HZ).reshape(-1, RATE_HZ // 2).std(axis=1)
    assert np.ptp(20 * np.log10(steady)) < 3  # speech itself: pauses and stress, over 10 dB


def test_more_talkers_make_steadier_babble():
    def spread_db(talkers: int) -> float:
        babble = _render(Babble(talkers=talkers), 10 * RATE_HZ)
        return float(np.std(20 * np.log10(babble.reshape(-1, 1600).std(axis=1))))

    assert spread_db(32) < spread_db(8) < spread_db(2)


def test_babble_from_files(tmp_path):
    source = _file(tmp_path, np.random.default_rng(0).standard_normal(RATE_HZ))
    assert _render(Babble(talkers=2, paths=(source.path,))).shape == (3 * RATE_HZ,)
    with pytest.raises(InputError, match=r"none\.wav"):
        _render(Babble(talkers=2, paths=(tmp_path / "none.wav",)))
