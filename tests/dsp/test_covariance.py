"""Covariances against the literal loops they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.dsp.covariance import covariance_macs, recursive, utterance


@pytest.fixture
def signals(rng):
    shape = (2, 3, 5, 40)
    channels = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    mask = rng.random((2, 5, 40))
    update = rng.random((2, 40)) < 0.7
    return channels, mask, update


def literal(channels, mask, forgetting, update, power):
    ears, count, bins, frames = channels.shape
    speech = np.zeros((ears, frames, bins, count, count), dtype=complex)
    noise = np.zeros_like(speech)
    for ear in range(ears):
        for b in range(bins):
            r_s = np.zeros((count, count), dtype=complex)
            r_n = np.zeros((count, count), dtype=complex)
            for n in range(frames):
                y, m = channels[ear, :, b, n], mask[ear, b, n]
                if update[ear, n]:
                    outer = np.outer(y, y.conj())
                    r_s = forgetting * r_s + (1 - forgetting) * m**power * outer
                    r_n = forgetting * r_n + (1 - forgetting) * (1 - m) ** power * outer
                speech[ear, n, b], noise[ear, n, b] = r_s, r_n
    return speech, noise


@pytest.mark.parametrize("power", [1, 2])
def test_recursive_equals_the_loop(signals, power):
    channels, mask, update = signals
    expected = literal(channels, mask, 0.9, update, power)
    for got, want in zip(recursive(channels, mask, 0.9, update, power), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-13)


def test_recursive_goes_on_where_it_stopped(signals):
    channels, mask, update = signals
    whole = recursive(channels, mask, 0.9, update, 2)
    first = recursive(channels[..., :17], mask[..., :17], 0.9, update[:, :17], 2)
    state = (first[0][:, -1], first[1][:, -1])
    second = recursive(channels[..., 17:], mask[..., 17:], 0.9, update[:, 17:], 2, state)
    for kind in range(2):
        joined = np.concatenate([first[kind], second[kind]], axis=1)
        np.testing.assert_array_equal(joined, whole[kind])


def test_utterance_is_the_mean_over_the_frames_that_count(signals):
    channels, mask, update = signals
    speech, noise = utterance(channels, mask, update, 2)
    ear, b = 1, 3
    y, m = channels[ear, :, b, update[ear]], mask[ear, b, update[ear]]  # y: (frame, channel)
    expected = np.mean([mm**2 * np.outer(v, v.conj()) for v, mm in zip(y, m, strict=True)], axis=0)
    np.testing.assert_allclose(speech[ear, 0, b], expected, atol=1e-13)
    assert noise.shape == (2, 1, 5, 3, 3)


def test_a_recursion_forgets_with_its_time_constant():
    """After one time constant of silence 1/e of a covariance is left."""
    hop_s, tau_s = 0.016, 0.8
    frames = round(tau_s / hop_s)
    channels = np.zeros((2, 1, 1, frames + 1), dtype=complex)
    channels[..., 0] = 1.0
    update = np.ones((2, frames + 1), dtype=bool)
    speech, _ = recursive(channels, np.ones((2, 1, frames + 1)), np.exp(-hop_s / tau_s), update, 2)
    assert speech[0, -1, 0, 0, 0] / speech[0, 0, 0, 0, 0] == pytest.approx(np.exp(-1))


def test_nothing_to_learn_from_gives_zero(signals):
    channels, mask, _ = signals
    never = np.zeros((2, 40), dtype=bool)
    assert not utterance(channels, mask, never, 2)[0].any()
    assert not recursive(channels, mask, 0.9, never, 2)[0].any()


def test_cost_of_three_channels():
    assert covariance_macs(3, 257) == 6 * 9 * 257
