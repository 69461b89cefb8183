"""What arrives at the other ear: whole, rounded, or with holes where packets are missing."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.codecs import Float32, Pcm
from hasim.exchange import Exchange, filtered_lag_frames, payload_bits
from hasim.stft import FrontEndSpec, analyse, frames_for, synthesise
from tests.conftest import hand_made_timeline

SAMPLES = 5_000
FRONT_ENDS = [FrontEndSpec(), FrontEndSpec(synthesis_window=128, hop=64)]


def exchange_of(waveform, codec, front_end, lost=None, lags=None):
    timeline = hand_made_timeline(front_end, SAMPLES, lost, lags)
    mics = analyse(waveform, front_end)
    return Exchange(timeline, codec, front_end, mics, waveform), mics


@pytest.fixture
def waveform(rng):
    return rng.standard_normal((2, 2, SAMPLES)) * np.array([1.0, 0.1])[:, None, None]


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("domain", ["samples", "spectrum"])
def test_without_loss_and_rounding_each_ear_gets_the_other_exactly(waveform, front_end, domain):
    exchange, mics = exchange_of(waveform, Float32(domain=domain), front_end)
    received = exchange("reference", mics[:, :1])
    np.testing.assert_allclose(received.signal, mics[::-1, :1], atol=1e-11)
    assert received.arrived.all()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_lost_packet_of_samples_touches_every_frame_that_overlaps_it(waveform, front_end):
    frames = frames_for(SAMPLES, front_end)
    lost = np.zeros((2, frames), dtype=bool)
    lost[1, 8] = True  # at the right ear
    exchange, mics = exchange_of(waveform, Float32(), front_end, {"reference": lost})
    received = exchange("reference", mics[:, :1])
    touched = front_end.window // front_end.hop
    assert received.arrived[0].all()
    assert np.flatnonzero(~received.arrived[1]).tolist() == list(range(8, 8 + touched))
    # the sound is silent exactly during hop 8
    heard = synthesise(received.signal[1, 0], front_end, SAMPLES)
    gap = slice(8 * front_end.hop, 9 * front_end.hop)
    assert np.abs(heard[gap]).max() < 1e-12
    rest = np.ones(SAMPLES, dtype=bool)
    rest[gap] = False
    np.testing.assert_allclose(heard[rest], waveform[0, 0][rest], atol=1e-11)


def test_a_lost_spectrum_touches_one_frame(waveform):
    front_end = FrontEndSpec()
    lost = np.zeros((2, frames_for(SAMPLES, front_end)), dtype=bool)
    lost[0, 3] = True
    exchange, mics = exchange_of(
        waveform, Float32(domain="spectrum"), front_end, {"reference": lost}
    )
    received = exchange("reference", mics[:, :1])
    assert np.flatnonzero(~received.arrived[0]).tolist() == [3]
    assert not received.signal[0, :, :, 3].any()


@pytest.mark.parametrize("domain", ["samples", "spectrum"])
def test_repeat_plays_the_last_good_packet_again(waveform, domain):
    front_end = FrontEndSpec()
    lost = np.zeros((2, frames_for(SAMPLES, front_end)), dtype=bool)
    lost[1, [0, 6, 7]] = True
    exchange, mics = exchange_of(waveform, Float32(domain=domain), front_end, {"reference": lost})
    signal = exchange("reference", mics[:, :1], "repeat").signal
    if domain == "spectrum":
        np.testing.assert_array_equal(signal[1, 0, :, 7], mics[0, 0, :, 5])
        assert not signal[1, 0, :, 0].any()  # nothing had come yet
    else:
        heard = synthesise(signal[1, 0], front_end, SAMPLES)
        np.testing.assert_allclose(heard[7 * 256 : 8 * 256], heard[5 * 256 : 6 * 256], atol=1e-11)
        assert np.abs(heard[:256]).max() < 1e-12


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_filter_output_as_samples_travels_in_later_packets(waveform, front_end):
    """Packet n holds hop n - lag: losing packet 9 silences hop 9 - lag."""
    lag = filtered_lag_frames(Float32(), front_end)
    assert lag == 1
    lost = np.zeros((2, frames_for(SAMPLES, front_end)), dtype=bool)
    lost[1, 9] = True
    exchange, mics = exchange_of(waveform, Float32(), front_end, {"z": lost}, {"z": lag})
    received = exchange("z", mics[:, :1])
    heard = synthesise(received.signal[1, 0], front_end, SAMPLES)
    assert np.abs(heard[8 * front_end.hop : 9 * front_end.hop]).max() < 1e-12
    assert np.flatnonzero(~received.arrived[1])[0] == 8


def test_full_scale_follows_each_ears_microphone(waveform):
    """The right ear is 20 dB quieter; at 8 bits both directions keep the same ratio to rounding
    noise."""
    front_end = FrontEndSpec()
    exchange, mics = exchange_of(waveform, Pcm(bits=8), front_end)
    signal = exchange("reference", mics[:, :1]).signal
    for ear in (0, 1):
        heard = synthesise(signal[ear, 0], front_end, SAMPLES)
        sent = waveform[1 - ear, 0]
        ratio_db = 10 * np.log10(np.mean(sent**2) / np.mean((heard - sent) ** 2))
        assert ratio_db == pytest.approx(6.02 * 8 + 4.77 - 18.0, abs=0.5)


def test_without_rounding_the_exchange_is_linear(waveform):
    front_end = FrontEndSpec()
    lost = np.zeros((2, frames_for(SAMPLES, front_end)), dtype=bool)
    lost[:, ::5] = True
    exchange, mics = exchange_of(waveform, Pcm(bits=4), front_end, {"reference": lost})
    for fill in ("zero", "repeat"):
        parts = [
            exchange("reference", part, fill, rounded=False).signal
            for part in (0.25 * mics[:, :1], 0.75 * mics[:, :1], mics[:, :1])
        ]
        np.testing.assert_allclose(parts[0] + parts[1], parts[2], atol=1e-12)


def test_payloads():
    front_end = FrontEndSpec()
    assert payload_bits(Pcm(bits=16), front_end) == 4096
    assert payload_bits(Pcm(bits=16), front_end, streams=2) == 8192
    assert payload_bits(Pcm(bits=8, domain="spectrum"), front_end) == 4112
    assert filtered_lag_frames(Pcm(domain="spectrum"), front_end) == 0
    assert filtered_lag_frames(Pcm(), FrontEndSpec(window=512, hop=64)) == 7
