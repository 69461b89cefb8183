"""Two clocks: drift and slips in closed form, synchronisation, and both in the sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hasim.dsp.fractional_delay import delayed
from hasim.dsp.stft import FrontEndSpec, analyse, frames_for
from hasim.nodes.exchange import Exchange
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.oscillator import OscillatorSpec, skew_samples
from hasim.simulation.link.codecs import Float32, Pcm
from hasim.simulation.link.traffic import IdealLink
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Timeline
from tests.conftest import hand_made_timeline

HOP, HOP_NS = 256, 16_000_000
HOP_S = 0.016


def streams(seed: int) -> Callable[[str], np.random.Generator]:
    return lambda name: np.random.default_rng([seed, *name.encode()])


def skew(left: OscillatorSpec, right: OscillatorSpec, seconds: float, seed: int = 1) -> np.ndarray:
    return skew_samples((left, right), round(seconds / HOP_S), HOP_NS, streams(seed))


def played(left: float, right: float, seconds: float) -> Timeline:
    device = [DeviceSpec(oscillator=OscillatorSpec(ppm=ppm)) for ppm in (left, right)]
    program = (Send("x", 8), Receive("x"))
    return simulate(
        (program, program),
        frames=round(seconds / HOP_S),
        hop_ns=HOP_NS,
        devices=(device[0], device[1]),
        link=IdealLink(),
        playout=PlayoutSpec(),
        stream=streams(1),
    )


def test_case_26_a_sample_slips_every_3_seconds() -> None:
    """20 ppm are 20 us/s: one sample of 16 kHz per 3.125 s, one hop of 256 per 800 s."""
    timeline = played(0, 20, 1600)
    assert timeline.slips.tolist() == [1600 // 3.125] * 2
    start = timeline.skew_samples[0, :, 0]
    jumps = np.flatnonzero(np.abs(start[1:] - timeline.skew_samples[0, :-1, 1]) > 0.5)
    np.testing.assert_allclose(np.diff(jumps) * HOP_S, 3.125, atol=HOP_S)
    assert timeline.slips[0] / 256 == 1600 / 800
    # Between slips it drifts by 20 us in a second, and never by more than half a sample.
    drift_us = (timeline.skew_samples[0, :, 1] - timeline.skew_samples[0, :, 0]) * 62.5
    np.testing.assert_allclose(drift_us / HOP_S, 20, rtol=1e-6)
    assert np.abs(start).max() <= 0.5
    # What lags on one ear leads on the other.
    np.testing.assert_allclose(timeline.skew_samples[1], -timeline.skew_samples[0], atol=1e-9)


def test_case_26_twice_the_difference_halves_the_times() -> None:
    assert played(-20, 20, 800).slips.tolist() == [512, 512]


def test_case_26_phase_of_4_khz_after_a_second() -> None:
    """2 pi 4000 Hz 20e-6 = 0.503 rad, heard through the exchange."""
    front_end = FrontEndSpec()
    samples = 2 * 16_000
    frames = frames_for(samples, front_end)
    tone = np.sin(2 * np.pi * 4000 / 16_000 * np.arange(samples))
    sound = np.tile(tone, (2, 2, 1))
    mics = analyse(sound, front_end)
    none = OscillatorSpec()
    lag = skew_samples((none, OscillatorSpec(ppm=20)), frames, HOP_NS, streams(1))
    for codec in (Float32(), Pcm(domain="spectrum")):
        timeline = replace(hand_made_timeline(front_end, samples), skew_samples=lag)
        exchange = Exchange(timeline, codec, front_end, mics, sound)
        received = exchange("reference", mics[:, :1]).signal[:, 0]
        centre_s = 80 * HOP_S  # frame n is centred where its last hop begins
        turn = np.angle(received[:, 128, 80] / mics[:, 0, 128, 80])
        expected = 2 * np.pi * 4000 * 20e-6 * centre_s
        assert 0.503 * centre_s == pytest.approx(expected, rel=1e-3)
        # The spectrum is turned by its newest hop, half a window early.
        np.testing.assert_allclose(turn, [-expected, expected], rtol=0.02)


def test_equal_clocks_change_nothing() -> None:
    assert not skew(OscillatorSpec(ppm=30), OscillatorSpec(ppm=30), 10).any()
    assert not played(30, 30, 1).slips.any()


def test_beacons_leave_the_drift_between_them_and_their_error() -> None:
    """40 ppm for a second are 40 us; each time known to 8 us."""
    follows = OscillatorSpec(sync="beacon", correction="resample", every_ms=1000)
    lag_us = 62.5 * skew(follows, OscillatorSpec(ppm=40), 600)[0]
    hops = 62  # 0.992 s
    at_beacons = lag_us[::hops, 0]
    assert at_beacons.std() == pytest.approx(8, rel=0.15)
    rise = lag_us[hops - 1 :: hops, 1][:600] - at_beacons[: len(lag_us) // hops][:600]
    np.testing.assert_allclose(rise, 40 * 0.992, rtol=1e-6)


def test_a_loop_follows_the_drift_and_leaves_its_own_noise() -> None:
    follows = OscillatorSpec(sync="pll", correction="resample", every_ms=100, sync_error_us=8)
    lag_us = 62.5 * skew(follows, OscillatorSpec(ppm=40, wander_ppm=1), 600)[0, :, 0]
    assert lag_us.std() == pytest.approx(8, rel=0.1)
    assert abs(lag_us.mean()) < 1
    correlation = np.corrcoef(lag_us[6:], lag_us[:-6])[0, 1]  # 96 ms
    assert correlation == pytest.approx(np.exp(-1), abs=0.05)


def test_whole_samples_are_corrected_by_what_is_known() -> None:
    follows = OscillatorSpec(sync="pll", sync_error_us=0)
    lag = skew(follows, OscillatorSpec(ppm=40), 100)[0]
    assert np.abs(lag[:, 0]).max() <= 0.5
    with pytest.raises(ValueError, match="correction: must be insert_drop with sync none"):
        OscillatorSpec(correction="resample")


def test_wander_is_a_random_walk_of_the_frequency() -> None:
    """After 4 s the frequency is off by 2 ppm on average."""
    drifts = []
    for seed in range(200):
        lag = skew(OscillatorSpec(sync="none"), OscillatorSpec(wander_ppm=1), 4, seed)[0]
        drifts.append((lag[-1, 1] - lag[-1, 0]) * 62.5 / HOP_S)
    assert np.std(drifts) == pytest.approx(2, rel=0.2)  # 4 sigma of 200 draws


def test_interpolation_delays_by_fractions_of_a_sample() -> None:
    """Against the tone itself, up to 6 kHz: better than 60 dB."""
    n = np.arange(64 * 128)
    lag = np.linspace(-0.5, 0.5, 65)
    ramp = np.stack([lag[:-1], lag[1:]], axis=-1)[None]
    at = n - np.concatenate([np.linspace(a, b, 128, endpoint=False) for a, b in ramp[0]])
    for frequency in (0.01, 0.1, 0.375):
        tone = np.sin(2 * np.pi * frequency * n).reshape(1, 1, 64, 128)
        expected = np.sin(2 * np.pi * frequency * at)
        found = delayed(tone, ramp).ravel()
        assert np.abs(found - expected)[100:-100].max() < 1e-3


def test_a_slip_leaves_out_a_sample() -> None:
    """A lag that falls from 1 to 0 between two hops skips the sample between them."""
    hops = np.arange(40.0).reshape(1, 1, 2, 20)
    jump = np.array([[[1.0, 1.0], [0.0, 0.0]]])
    result = delayed(hops, jump).ravel()
    np.testing.assert_allclose(result, [0, *range(19), *range(20, 40)], atol=1e-9)
