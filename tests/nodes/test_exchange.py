"""What arrives at the other ear: whole, rounded, or with holes where packets are missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hasim.dsp.stft import FrontEndSpec, analyse, frames_for, synthesise
from hasim.nodes.arrivals import NEVER
from hasim.nodes.exchange import Exchange
from hasim.nodes.packets import filtered_lag_frames, packet_bits, raw_lag_frames
from hasim.nodes.reception import Reception
from hasim.simulation.link.codecs import Allocated, Float32, Lc3, Pcm
from hasim.simulation.timeline import Status
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
    signal = exchange("reference", mics[:, :1], Reception("repeat")).signal
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
    for fill in ("zero", "repeat", "repeat_phase"):
        parts = [
            exchange("reference", part, Reception(fill), rounded=False).signal
            for part in (0.25 * mics[:, :1], 0.75 * mics[:, :1], mics[:, :1])
        ]
        np.testing.assert_allclose(parts[0] + parts[1], parts[2], atol=1e-12)


def test_payloads():
    front_end = FrontEndSpec()
    assert packet_bits(Pcm(bits=16), front_end) == 4096
    assert packet_bits(Pcm(bits=16), front_end, streams=2) == 8192
    assert packet_bits(Pcm(bits=8, domain="spectrum"), front_end) == 4112
    assert filtered_lag_frames(Pcm(domain="spectrum"), front_end) == 0
    assert filtered_lag_frames(Pcm(), FrontEndSpec(window=512, hop=64)) == 7


def lost_at_the_right_ear(front_end, *packets):
    lost = np.zeros((2, frames_for(SAMPLES, front_end)), dtype=bool)
    lost[1, list(packets)] = True
    return {"reference": lost}


@pytest.mark.parametrize("domain", ["samples", "spectrum"])
def test_a_repeated_packet_fades(waveform, domain):
    front_end = FrontEndSpec()
    lost = lost_at_the_right_ear(front_end, 6, 7)
    exchange, mics = exchange_of(waveform, Float32(domain=domain), front_end, lost)
    signal = exchange("reference", mics[:, :1], Reception("repeat", fade=0.5)).signal[1, 0]
    if domain == "spectrum":
        np.testing.assert_allclose(signal[:, [6, 7]], np.outer(mics[0, 0, :, 5], [0.5, 0.25]))
    else:
        heard = synthesise(signal, front_end, SAMPLES).reshape(-1)[: 8 * 256].reshape(8, 256)
        np.testing.assert_allclose(heard[6], 0.5 * heard[5], atol=1e-11)
        np.testing.assert_allclose(heard[7], 0.25 * heard[5], atol=1e-11)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("domain", ["samples", "spectrum"])
def test_repeat_phase_continues_the_tones_of_the_bins(front_end, domain):
    """Tones that fit the window whole are continued exactly, over any gap; `repeat` breaks their
    phase."""
    tones = sum(np.cos(2 * np.pi * k * np.arange(SAMPLES) / 512 + k) for k in (3, 20, 21, 90))
    waveform = np.broadcast_to(tones, (2, 2, SAMPLES))
    first = 2048 // front_end.hop
    lost = lost_at_the_right_ear(front_end, first, *range(first + 5, first + 10))
    exchange, mics = exchange_of(waveform, Float32(domain=domain), front_end, lost)
    frames = slice(0, SAMPLES // front_end.hop)
    for fill, exact in (("repeat_phase", True), ("repeat", False)):
        signal = exchange("reference", mics[:, :1], Reception(fill)).signal[..., frames]
        if domain == "spectrum":
            # a spectrum sees the tone that long ago only where the window lay inside the sound
            signal, want = signal[1, 0, :, 8:], mics[0, 0, :, frames][:, 8:]
        else:
            signal, want = signal[1, 0], mics[0, 0, :, frames]
        assert (np.abs(signal - want).max() < 1e-9) == exact


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_copy_makes_a_single_loss_good_one_frame_later(waveform, front_end):
    """Only the first frame that needs hop 8 lacks it: not two, or eight, as without the copy."""
    lost = lost_at_the_right_ear(front_end, 8)
    exchange, mics = exchange_of(waveform, Pcm(fec_bits=4), front_end, lost)
    received = exchange("reference", mics[:, :1], rounded=False)
    assert np.flatnonzero(~received.arrived[1]).tolist() == [8]
    later = np.arange(received.signal.shape[-1]) != 8
    np.testing.assert_allclose(received.signal[1, 0][:, later], mics[0, 0][:, later], atol=1e-11)
    # in frame 8 itself hop 8 is silent
    silenced = waveform.copy()
    silenced[0, 0, 8 * front_end.hop : 9 * front_end.hop] = 0.0
    want = analyse(silenced, front_end)[0, 0, :, 8]
    np.testing.assert_allclose(received.signal[1, 0, :, 8], want, atol=1e-11)


def test_a_copy_is_as_coarse_as_its_bits(waveform):
    front_end = FrontEndSpec()
    lost = lost_at_the_right_ear(front_end, 8)
    exchange, mics = exchange_of(waveform, Pcm(bits=16, fec_bits=4), front_end, lost)
    signal = exchange("reference", mics[:, :1]).signal[1, 0]
    # frames that hop 8 and its copy do not meet keep their 16 bits
    error = np.mean(np.abs(signal - mics[0, 0]) ** 2, axis=0) / np.mean(np.abs(mics[0, 0]) ** 2)
    assert np.all(10 * np.log10(np.delete(error, [8, 9])) < -70)
    assert -30 < 10 * np.log10(error[9]) < -5


def test_the_copy_of_a_burst_brings_back_its_last_packet(waveform):
    front_end = FrontEndSpec()
    lost = lost_at_the_right_ear(front_end, 8, 9, 10)
    exchange, mics = exchange_of(waveform, Pcm(fec_bits=4), front_end, lost)
    received = exchange("reference", mics[:, :1], Reception(late_updates=True))
    # hops 8 and 9 are gone for good; frame 10 learns hop 10 with packet 11, but still lacks hop 9
    assert np.flatnonzero(~received.arrived[1]).tolist() == [8, 9, 10]
    assert received.available_from[1, 7:13].tolist() == [7, NEVER, NEVER, NEVER, 11, 12]


def test_a_copy_of_a_spectrum_comes_too_late_to_be_filtered_but_teaches(waveform):
    front_end = FrontEndSpec()
    lost = lost_at_the_right_ear(front_end, 3)
    codec = Pcm(domain="spectrum", fec_bits=8)
    exchange, mics = exchange_of(waveform, codec, front_end, lost)
    received = exchange("reference", mics[:, :1], Reception(late_updates=True), rounded=False)
    assert not received.arrived[1, 3]
    assert not received.signal[1, :, :, 3].any()
    assert received.available_from[1, 2:5].tolist() == [2, 4, 4]
    np.testing.assert_array_equal(received.update_signal[1, 0, :, 3], mics[0, 0, :, 3])


@pytest.mark.parametrize("domain", ["samples", "spectrum"])
def test_late_data_are_known_from_the_next_release_on(waveform, domain):
    """Packet 5 comes just before frame 7 is released, packet 9 just after frame 10 is."""
    front_end = FrontEndSpec()
    exchange, mics = exchange_of(waveform, Float32(domain=domain), front_end)
    deliveries = exchange.timeline.channels["reference"]
    status, arrived_ns = deliveries.status.copy(), deliveries.arrived_ns.copy()
    status[1, [5, 9]] = Status.LATE
    hop_ns = exchange.timeline.hop_ns
    arrived_ns[1, 5], arrived_ns[1, 9] = 8 * hop_ns, 11 * hop_ns + 1
    late = replace(deliveries, status=status, arrived_ns=arrived_ns)
    exchange.timeline.channels["reference"] = late
    received = exchange("reference", mics[:, :1], Reception(late_updates=True))
    np.testing.assert_allclose(received.update_signal, mics[::-1, :1], atol=1e-11)
    after = [7, 7, 7, 8, 11, 11] if domain == "samples" else [7, 6, 7, 8, 11, 10]
    assert received.available_from[1, 5:11].tolist() == after
    missing = [5, 6, 9, 10] if domain == "samples" else [5, 9]
    assert np.flatnonzero(~received.arrived[1]).tolist() == missing
    assert not received.signal[1, :, :, 5].any() or domain == "samples"
    in_time = exchange("reference", mics[:, :1])
    assert np.flatnonzero(in_time.available_from[1] == NEVER).tolist() == missing


def test_an_older_frame_of_the_partner_needs_an_older_packet(waveform):
    """With a lag of -2 frame n needs packet n - 2: losing packet 6 is felt in frame 8 and after."""
    front_end = FrontEndSpec()
    lost = lost_at_the_right_ear(front_end, 6)
    exchange, mics = exchange_of(waveform, Float32(), front_end, lost, {"reference": -2})
    received = exchange("reference", mics[:, :1], Reception(age_frames=2))
    assert np.flatnonzero(~received.arrived[1]).tolist() == [6, 7]
    assert received.available_from[0, :4].tolist() == [2, 3, 4, 5]
    older = received.older(2)
    assert np.flatnonzero(~older.arrived[1]).tolist() == [0, 1, 8, 9]
    assert np.flatnonzero(~older.arrived[0]).tolist() == [0, 1]
    np.testing.assert_allclose(older.signal[0, :, :, 2:], mics[1, :1, :, :-2], atol=1e-11)
    assert older.available_from[0, :5].tolist() == [NEVER, NEVER, 2, 3, 4]


def test_a_codec_with_a_delay_spreads_a_hop_over_two_packets(waveform):
    """LC3 frames do not end where hops do: packet 9 holds parts of hops 8 and 9."""
    front_end = FrontEndSpec()
    codec = Lc3.model_construct(frame_us=10_000, octets=40, headroom_db=24.0)
    lag = raw_lag_frames(codec, front_end)
    assert lag == 1
    assert filtered_lag_frames(codec, front_end) == 2
    lost = lost_at_the_right_ear(front_end, 9)
    exchange, mics = exchange_of(waveform, codec, front_end, lost, {"reference": lag})
    received = exchange("reference", mics[:, :1], rounded=False)
    assert np.flatnonzero(~received.arrived[1]).tolist() == [8, 9, 10]
    heard = synthesise(received.signal[1, 0], front_end, SAMPLES).reshape(-1)[: 12 * 256]
    assert not np.abs(heard.reshape(12, 256)[[8, 9]]).max() > 1e-11


def test_what_matters_gets_the_bits(waveform):
    """Importance of 1 in the lower and 0.001 in the upper half: the lower half is coded better."""
    front_end = FrontEndSpec()
    exchange, mics = exchange_of(waveform, Allocated(bits=2), front_end)
    importance = np.where(np.arange(257) < 128, 1.0, 1e-3)
    weighted = exchange.weighted({"reference": np.broadcast_to(importance, (2, 1, 257))})
    errors = [
        np.mean(np.abs(x("reference", mics[:, :1]).signal - mics[::-1, :1])[..., :128, :] ** 2)
        for x in (exchange, weighted)
    ]
    assert 10 * np.log10(errors[0] / errors[1]) > 6  # twice the bits: 12 dB if all were ideal
    noise = weighted("reference", mics[:, :1]).rounding_noise
    assert noise.shape == mics[:, :1].shape
    assert 10 * np.log10(noise[..., :128, :].mean() / errors[1]) == pytest.approx(0, abs=1.0)
