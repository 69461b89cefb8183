"""Rounding noise against its closed forms, and what every codec promises."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.codecs import BlockFloat, Float32, MuLaw, Pcm

CODECS = [Pcm(), MuLaw(), BlockFloat(), Float32()]


def sqnr_db(codec, values, full_scale=1.0):
    error = codec.encode_decode(values, full_scale) - values
    return 10 * np.log10(np.mean(np.abs(values) ** 2) / np.mean(np.abs(error) ** 2))


def test_case_31_uniform_full_scale_8_bits(rng):
    """6.02 dB a bit: 48.16 dB. 4e5 samples keep the estimate within 0.05 dB."""
    assert sqnr_db(Pcm(bits=8), rng.uniform(-1, 1, 400_000)) == pytest.approx(48.16, abs=0.05)


def test_case_31_gaussian_loading_4_at_6_bits(rng):
    """6.02 b + 4.77 - 20 log10 k = 28.85 dB without overload; 28.8 with it."""
    assert sqnr_db(Pcm(bits=6), rng.standard_normal(400_000), 4.0) == pytest.approx(28.8, abs=0.1)


@pytest.mark.parametrize(("level_db", "expected"), [(-10, 38.8), (-30, 36.7)])
def test_mulaw_is_flat_over_level(level_db, expected):
    """Published check values for mu = 255, 8 bits and a sine; +-1 dB for the phase of the
    rounding."""
    sine = 10 ** (level_db / 20) * np.sin(2 * np.pi * 0.0123456 * np.arange(100_000))
    assert sqnr_db(MuLaw(), sine) == pytest.approx(expected, abs=1.0)


def test_block_float_does_not_care_for_level(rng):
    block = rng.standard_normal((40, 256))
    codec = BlockFloat(bits=8)
    for power in (-20, 0, 9):
        scaled = codec.encode_decode(block * 2.0**power, 1.0)
        np.testing.assert_allclose(scaled, codec.encode_decode(block, 1.0) * 2.0**power)


def test_block_float_error_is_within_half_a_step_of_its_block(rng):
    block = rng.standard_normal((100, 16))
    error = np.abs(BlockFloat(bits=8).encode_decode(block, 1.0) - block)
    exponent = np.ceil(np.log2(np.abs(block).max(axis=-1, keepdims=True)))
    assert (error <= 2.0**exponent / 2**8 + 1e-15).all()


def test_a_block_of_complex_bins_shares_its_exponent(rng):
    spectra = rng.standard_normal((3, 257)) + 1j * rng.standard_normal((3, 257))
    assert sqnr_db(BlockFloat(bits=8), spectra) > 35


@pytest.mark.parametrize("codec", [Pcm(bits=1), MuLaw(bits=1), BlockFloat(bits=1)])
def test_one_bit_keeps_the_sign(codec, rng):
    values = rng.standard_normal((4, 32))
    decoded = codec.encode_decode(values, 4.0)
    np.testing.assert_array_equal(np.sign(decoded), np.sign(values))


@pytest.mark.parametrize("codec", [Pcm, MuLaw, BlockFloat])
def test_more_bits_never_hurt(codec, rng):
    values = rng.standard_normal((50, 256))
    ratios = [sqnr_db(codec(bits=bits), values, 4.0) for bits in range(1, 11)]
    assert ratios == sorted(ratios)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_shape_survives_and_silence_stays_quiet(codec, kind):
    silence = np.zeros((2, 3, 257), dtype=float if kind == "real" else complex)
    decoded = codec.encode_decode(silence, np.zeros((2, 1, 1)))
    assert decoded.shape == silence.shape
    assert np.abs(decoded).max() < 1e-30


def test_case_9_payload_bits():
    """STFT at 8 bits: 514 octets a frame; samples 2048 bits a hop; block exponents on top."""
    assert Pcm(bits=8).bits_for(257, parts=2) == 514 * 8
    assert Pcm(bits=8).bits_for(256) == 2048
    assert BlockFloat(bits=8).bits_for(257, parts=2) == 514 * 8 + 17 * 8
    assert Float32().bits_for(256) == 8192
