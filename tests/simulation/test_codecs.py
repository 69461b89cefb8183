"""Rounding noise against its closed forms, and what every codec promises."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from hasim.dsp.stft import FrontEndSpec
from hasim.nodes.packets import packet_bits
from hasim.simulation.link.codecs import (
    Adpcm,
    Allocated,
    BlockFloat,
    ErbBands,
    Float32,
    Lc3,
    MuLaw,
    Pcm,
)
from hasim.simulation.link.codecs.adpcm import GROWTH, PREDICTOR
from hasim.simulation.link.codecs.allocated import band_edges

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


def speech_like(rng, packets=60, hop=256, pole=0.9):
    """A first-order recursion whose loudness changes 40 dB, (packet, sample)."""
    white = rng.standard_normal(packets * hop)
    signal = np.empty_like(white)
    last = 0.0
    for i, x in enumerate(white):
        last = signal[i] = pole * last + x
    loudness = 10 ** (-np.abs(np.linspace(-2, 2, signal.size)))
    return (signal * loudness).reshape(packets, hop)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_adpcm_beats_pcm_by_the_prediction_and_the_adaptation(bits, rng):
    """The prediction of this signal is worth 7 dB and the level changes by 40 dB; 10 dB is the
    least of it."""
    signal = speech_like(rng)
    scale = 10 ** (24 / 20) * np.sqrt(np.mean(signal**2))
    adpcm = sqnr_db(Adpcm(bits=bits), signal, scale)
    assert adpcm > sqnr_db(Pcm(bits=bits), signal, scale / 2) + 10


def literal_adpcm(packets, bits, scale, lost):
    """Encoder and decoder apart, with codes and headers between them; lost packets are skipped."""
    growth = [round(16 * np.log2(f)) for f in GROWTH[bits]]

    def moved(index, code):
        step = 2.0 ** ((index + 1) / 16 - 16)
        size = (code >> 1) + 0.5
        return size * step * (1 if code & 1 else -1), min(max(index + growth[code >> 1], 0), 255)

    def predicted(state):
        return PREDICTOR[0] * state[0] + PREDICTOR[1] * state[1]

    sent, state, index = [], (0.0, 0.0), 127
    for packet in packets / scale:
        state = tuple(round(x * 2**15) / 2**15 for x in state)
        header, codes = (state, index), []
        for sample in packet:
            guess = predicted(state)
            size = int(
                min(abs(sample - guess) // 2.0 ** ((index + 1) / 16 - 16), 2 ** (bits - 1) - 1)
            )
            code = 2 * size + int(sample >= guess)
            codes.append(code)
            change, index = moved(index, code)
            state = (min(max(guess + change, -1.0), 1.0), state[0])
        sent.append((header, codes))
    decoded = np.full(packets.shape, np.nan)
    for number, ((state, index), codes) in enumerate(sent):
        if number in lost:
            continue
        for i, code in enumerate(codes):
            guess = predicted(state)
            change, index = moved(index, code)
            state = (min(max(guess + change, -1.0), 1.0), state[0])
            decoded[number, i] = state[0] * scale
    return decoded


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_adpcm_packets_can_be_decoded_without_the_ones_before(bits, rng):
    """A literal encoder and decoder, five packets lost between them: the others are the same."""
    signal = speech_like(rng, packets=20, hop=64)
    lost = {0, 5, 6, 7, 12}
    want = literal_adpcm(signal, bits, 40.0, lost)
    got = Adpcm(bits=bits).encode_decode(signal, 40.0)
    kept = [n for n in range(20) if n not in lost]
    np.testing.assert_allclose(got[kept], want[kept], rtol=0, atol=1e-12)


def test_adpcm_follows_the_level(rng):
    """20 dB quieter with the same full scale: the step follows, the ratio stays within 1 dB."""
    signal = speech_like(rng, packets=30)
    loud, quiet = (sqnr_db(Adpcm(), signal * gain, 20.0) for gain in (1.0, 0.1))
    assert loud == pytest.approx(quiet, abs=1.0)


def spectra(rng, packets=50, bins=257):
    """(packet, bin): complex noise with a spectrum that falls by 40 dB."""
    level = 10 ** (-np.linspace(0, 2, bins))
    noise = rng.standard_normal((packets, bins, 2)) @ np.array([1, 1j])
    return noise * level, level


def test_erb_bands_are_a_projection(rng):
    """Low bins whole; high ones lose what is orthogonal to what stays; once is enough."""
    codec = ErbBands()
    values, _ = spectra(rng)
    kept = codec.linear(values)
    np.testing.assert_array_equal(kept[:, :64], values[:, :64])
    np.testing.assert_allclose(codec.linear(kept), kept, atol=1e-12)
    assert np.abs(np.vdot(values - kept, codec.linear(spectra(rng)[0]))) < 1e-10


def test_erb_bands_keep_a_click_in_the_middle_and_little_of_a_noise(rng):
    """A click in the middle of the window has a straight spectrum; of white noise, the share of
    dimensions remains: 32 of 193, within 3 %."""
    codec = ErbBands()
    click = np.zeros(512)
    click[256] = 1.0
    spectrum = np.fft.rfft(click)
    np.testing.assert_allclose(codec.linear(spectrum), spectrum, atol=1e-12)
    noise = rng.standard_normal((2000, 257, 2)) @ np.array([1, 1j])
    share = np.sum(np.abs(codec.linear(noise)[:, 64:]) ** 2) / np.sum(np.abs(noise[:, 64:]) ** 2)
    assert share == pytest.approx(32 / 193, rel=0.03)


def test_erb_bands_round_what_they_keep(rng):
    values, level = spectra(rng)
    codec = ErbBands(bits=12)
    error = np.abs(codec.encode_decode(values, 8 * level) - codec.linear(values)) ** 2
    assert 10 * np.log10(np.sum(np.abs(values) ** 2) / np.sum(error)) > 50


def test_erb_bands_refuse_bands_that_do_not_fit():
    with pytest.raises(ValueError, match="too many"):
        ErbBands(bands=120).bits_for(129, parts=2)


def test_allocation_follows_the_level():
    """Equal levels share equally; 6 dB more are one bit more; what is silent gets nothing."""
    edges = band_edges(257)
    level = np.ones(257)
    assert set(Allocated(bits=4).allocation(level)) <= {4, 5}
    level[edges[10] : edges[11]] = 4.0
    bits = Allocated(bits=4).allocation(level)
    assert bits[10] - np.median(bits) == 2
    level[edges[3] : edges[4]] = 0.0
    assert Allocated(bits=4).allocation(level)[3] == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_allocation_spends_what_it_has_where_it_helps_most(bits, rng):
    """Reverse water-filling in whole bits: the last bit of a band took away more error, per bit
    spent, than it would have in any other band that could have had it instead."""
    level = 10 ** rng.uniform(-2, 2, 257)
    edges = band_edges(257)
    widths = np.diff(edges)
    allocated = Allocated(bits=bits).allocation(level)
    spent = int(allocated @ widths)
    assert bits * 257 - widths.max() < spent <= bits * 257
    power = np.add.reduceat(level**2, edges[:-1]) / widths
    error = power / 4.0**allocated
    for band in np.flatnonzero(allocated):
        assert 4 * error[band] >= error[widths <= widths[band]].max() * (1 - 1e-12)


def test_allocated_noise_power_is_what_it_says(rng):
    """From three bits on the error is uniform within a step: within 0.5 dB in every band."""
    values, level = spectra(rng, packets=400)
    codec = Allocated(bits=6)
    error = np.abs(codec.encode_decode(values, level) - values) ** 2
    told = codec.noise_power(values, level)
    starts = band_edges(257)[:-1]
    ratio = np.add.reduceat(error.mean(axis=0), starts) / np.add.reduceat(told.mean(axis=0), starts)
    fine = codec.allocation(level) >= 3
    assert fine.sum() > 10
    np.testing.assert_allclose(10 * np.log10(ratio[fine]), 0.0, atol=0.5)


def test_importance_puts_bits_where_they_count(rng):
    """The error weighted by importance is smaller if the codec has seen the weights: by 3 dB and
    more where they differ by 40 dB."""
    values, level = spectra(rng)
    edges = band_edges(257)
    weight = np.repeat(np.where(np.arange(len(edges) - 1) % 2, 0.01, 1.0), np.diff(edges))
    codec = Allocated(bits=2)
    aware = codec.encode_decode(values * weight, level * weight) - values * weight
    unaware = (codec.encode_decode(values, level) - values) * weight
    assert 10 * np.log10(np.sum(np.abs(unaware) ** 2) / np.sum(np.abs(aware) ** 2)) > 3


@pytest.mark.parametrize("codec", [ErbBands, Allocated])
def test_more_bits_never_hurt_spectra(codec, rng):
    values, level = spectra(rng)
    values = codec().linear(values)
    ratios = [sqnr_db(codec(bits=bits), values, 4 * level) for bits in range(1, 13)]
    assert ratios == sorted(ratios)


def test_copies_are_paid_for_and_must_be_codecs():
    assert packet_bits(Pcm(bits=16, fec_bits=4), FrontEndSpec()) == 256 * 20
    assert packet_bits(Adpcm(bits=4, fec_bits=2), FrontEndSpec()) == 256 * 6 + 80
    assert Pcm().copy_codec is None
    assert Pcm(bits=8, fec_bits=3).copy_codec == Pcm(bits=3)
    with pytest.raises(ValueError, match=r"fec_bits.*got 1"):
        Adpcm(fec_bits=1)


def test_lc3_waits_for_the_codec_frames_that_a_hop_needs():
    """Frames of 160 and a look-ahead of 40: hops of 160 wait for one more frame. Hops of 256 end
    at most 160 - 32 + 32 samples before a frame that covers their last 40."""

    def delay(frame_us, hop):
        return Lc3.model_construct(frame_us=frame_us).delay_samples(hop)

    assert delay(10_000, 160) == 160
    assert delay(7_500, 120) == 120
    assert delay(2_500, 40) == 40
    assert delay(10_000, 256) == max(
        next(end for end in range(0, 10**6, 160) if end >= 256 * n + 40) - 256 * n
        for n in range(1, 6)
    )
    assert Lc3.model_construct(frame_us=10_000, octets=40).bits_for(256) == 512  # 32 kbit/s


def test_lc3_without_the_package_says_what_to_install():
    if find_spec("lc3") is not None:
        pytest.skip("lc3py is installed")
    with pytest.raises(ValueError, match=r"hasim\[lc3\]"):
        Lc3()


@pytest.mark.parametrize("frame_us", [2_500, 7_500, 10_000])
def test_lc3_comes_back_aligned(frame_us, rng):
    """At a generous rate the decoded signal is the signal, not shifted: 15 dB, which a shift of one
    sample would not leave of this signal."""
    pytest.importorskip("lc3")
    signal = speech_like(rng, pole=0.5)
    codec = Lc3(frame_us=frame_us, octets=60 * frame_us // 2_500)
    assert sqnr_db(codec, signal, 30.0) > 15
    shifted = np.roll(signal.ravel(), 1).reshape(signal.shape)
    assert sqnr_db(codec, signal, 30.0) > 10 + 10 * np.log10(
        np.mean(signal**2) / np.mean((shifted - signal) ** 2)
    )


def test_lc3_more_octets_help(rng):
    pytest.importorskip("lc3")
    signal = speech_like(rng)
    ratios = [sqnr_db(Lc3(octets=octets), signal, 40.0) for octets in (20, 40, 80, 160)]
    assert ratios == sorted(ratios)
