"""Broken, hostile and unusual audio files: each is refused in one line that says what was found."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hasim.acoustics.audio_file import MAX_DURATION_S, read_audio, resample, wav_bytes
from hasim.config.spec import InputError, LimitError


@pytest.fixture
def tone() -> np.ndarray:
    return 0.5 * np.sin(np.arange(1600) * 0.1)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("tone.wav", "PCM_16", 2**-15),  # one step of the coding
        ("tone.wav", "PCM_24", 2**-23),
        ("tone.wav", "PCM_32", 2**-31),
        ("tone.wav", "FLOAT", 2**-24),
        ("tone.wav", "DOUBLE", 0),
        ("tone.flac", "PCM_16", 2**-15),
        ("tone.flac", "PCM_24", 2**-23),
    ],
)
def test_what_was_written_is_read(tmp_path, tone, name, subtype, tolerance):
    stereo = np.stack([tone, -tone / 2])
    soundfile.write(tmp_path / name, stereo.T, 44100, subtype=subtype)
    signal, rate_hz = read_audio(tmp_path / name)
    assert rate_hz == 44100
    assert signal.dtype == np.float64
    np.testing.assert_allclose(signal, stereo, rtol=0, atol=tolerance)
    first, _ = read_audio(tmp_path / name, channels=1)
    np.testing.assert_array_equal(first, signal[:1])


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_ogg_files_are_read(tmp_path, tone, subtype):
    soundfile.write(tmp_path / "tone.ogg", tone, 16000, format="OGG", subtype=subtype)
    signal, rate_hz = read_audio(tmp_path / "tone.ogg")
    assert (signal.shape, rate_hz) == ((1, 1600), 16000)


def test_files_longer_than_a_block_come_out_whole(tmp_path):
    long = np.random.default_rng(0).uniform(-1, 1, 200_001)
    soundfile.write(tmp_path / "long.wav", long, 48000, subtype="DOUBLE")
    np.testing.assert_array_equal(read_audio(tmp_path / "long.wav")[0][0], long)


def _wav(rate_hz: int = 16000, channels: int = 1, data: bytes = b"", claimed: int | None = None):
    """A WAV file byte by byte, so that its header can lie."""
    size = len(data) if claimed is None else claimed
    header = struct.pack(
        "<HHIIHH", 1, channels, rate_hz, 2 * rate_hz * channels, 2 * channels % 2**16, 16
    )
    body = b"WAVEfmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b"this is no sound", "expected an audio file"),
        (_wav()[:20], "expected an audio file"),
        (_wav(rate_hz=0, data=bytes(200)), "bad.wav: expected"),
        (_wav(channels=0, data=bytes(200)), "bad.wav: expected"),
        (_wav(channels=65535, data=bytes(2 * 65535)), "bad.wav: expected"),
        (_wav(rate_hz=1000, data=bytes(200)), "expected a sample rate of 4000 to 192000 Hz, found"),
        (_wav(channels=65, data=bytes(1300)), "expected 1 to 64 channels, found 65"),
        (_wav(), "found no samples"),
        (
            _wav(data=bytes(3000), claimed=4_000_000_000),
            "header says 4000000000 bytes .* found 3000",
        ),
        (np.random.default_rng(1).bytes(4096), "expected an audio file"),
    ],
)
def test_broken_files_are_refused(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_audio(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(InputError, match="found a folder"):
        read_audio(tmp_path)


def test_truncated_flac_is_refused(tmp_path):
    path = tmp_path / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 100_000), 16000)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"cut\.flac: "):
        read_audio(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_number_that_is_not_finite_is_named(tmp_path, tone, bad):
    stereo = np.stack([tone, tone])
    stereo[1, 700:] = bad
    soundfile.write(tmp_path / "bad.wav", stereo.T, 16000, subtype="FLOAT")
    with pytest.raises(InputError, match="sample 700 of channel 1"):
        read_audio(tmp_path / "bad.wav", channels=1)


def test_rare_codings_stay_closed(tmp_path, tone):
    soundfile.write(tmp_path / "rare.wav", tone, 16000, subtype="MS_ADPCM")
    with pytest.raises(InputError, match=r"found WAV \(MS_ADPCM\)"):
        read_audio(tmp_path / "rare.wav")
    soundfile.write(tmp_path / "rare.aiff", tone, 16000)
    with pytest.raises(InputError, match=r"found AIFF"):
        read_audio(tmp_path / "rare.aiff")


def test_endless_silence_is_refused_by_its_header(tmp_path):
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(12):
            file.write(np.zeros(8000 * 300))
    with pytest.raises(LimitError, match=f"3600 s of sound, the limit is {MAX_DURATION_S} s"):
        read_audio(path)


def test_too_few_channels_are_refused(tmp_path, tone):
    soundfile.write(tmp_path / "mono.wav", tone, 16000)
    with pytest.raises(InputError, match="expected at least 4 channels, found 1"):
        read_audio(tmp_path / "mono.wav", channels=4)


def test_a_tone_keeps_its_level_and_frequency_at_another_rate():
    time_s = np.arange(48000) / 48000
    tones = np.stack([np.sin(2 * np.pi * f * time_s) for f in (440.0, 3000.0)])
    for to_hz in (16000, 44100):
        resampled = resample(tones, 48000, to_hz)
        expected = np.stack(
            [np.sin(2 * np.pi * f * np.arange(to_hz) / to_hz) for f in (440.0, 3000.0)]
        )
        assert resampled.shape == expected.shape
        # the ends see half of the filter
        np.testing.assert_allclose(resampled[:, 100:-100], expected[:, 100:-100], atol=2e-3)


def test_a_tone_beyond_the_new_band_is_removed():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48000) / 48000)
    assert np.abs(resample(tone, 48000, 16000)[100:-100]).max() < 2e-3
    assert resample(tone, 48000, 48000) is tone


@pytest.mark.parametrize(("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23)])
def test_written_bytes_are_read_back_and_clipped_at_full_scale(tmp_path, tone, subtype, step):
    stereo = np.stack([tone, 4 * tone])
    content = wav_bytes(stereo, 16000, subtype)
    assert content == wav_bytes(stereo.copy(), 16000, subtype)
    (tmp_path / "tone.wav").write_bytes(content)
    signal, rate_hz = read_audio(tmp_path / "tone.wav")
    assert rate_hz == 16000
    np.testing.assert_allclose(signal, np.clip(stereo, -1, 1), rtol=0, atol=1.5 * step)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 400))
def test_damaged_files_raise_nothing_but_our_errors(tmp_path, tone, place, byte, cut):
    path = tmp_path / "damaged.wav"
    content = bytearray(_wav(data=(tone[:180] * 2**14).astype("<i2").tobytes()))
    content[place % len(content)] = byte
    path.write_bytes(content[: len(content) - cut % len(content)])
    try:
        signal, _ = read_audio(path)
    except (InputError, LimitError):
        return
    assert np.isfinite(signal).all()


def test_the_name_of_the_file_may_be_anything(tmp_path, tone):
    path = tmp_path / "Gespräch mit Leerzeichen.wav"
    soundfile.write(path, tone, 16000)
    assert read_audio(Path(path))[0].shape == (1, 1600)
