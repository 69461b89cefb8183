"""The rate bound against its closed forms, and the laws that any bound obeys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hasim.dsp import rate_distortion


def random_covariances(rng, bins=40, channels=3):
    """Speech of rank one and noise of full rank, (bin, channel, channel)."""
    steering = rng.standard_normal((bins, channels)) + 1j * rng.standard_normal((bins, channels))
    power = rng.exponential(size=bins)[:, None, None]
    speech = power * steering[:, :, None] * steering[:, None].conj()
    mixing = rng.standard_normal((bins, channels, channels, 2)) @ np.array([1, 1j])
    noise = mixing @ np.swapaxes(mixing.conj(), 1, 2) + 0.1 * np.eye(channels)
    return speech, noise


def test_case_32_two_complex_components():
    """Variances 4 and 1: by hand theta = 2, 1 and 1 / sqrt 2."""
    errors = rate_distortion.distortion_rate(np.array([4.0, 1.0]), np.zeros(2), [1.0, 2.0, 3.0])
    np.testing.assert_allclose(errors, [3.0, 2.0, np.sqrt(2)], rtol=1e-12)


@pytest.fixture
def scalar():
    """One real component: speech of variance 1 at both ears, noise of 0.5 at each."""
    return np.ones((1, 2, 2)), 0.5 * np.eye(2)[None]


def test_case_33_errors_with_one_ear_and_with_two(scalar):
    assert rate_distortion.mmse(*scalar, [0])[0] == pytest.approx(1 / 3, rel=1e-12)
    assert rate_distortion.mmse(*scalar, [0, 1])[0] == pytest.approx(0.2, rel=1e-12)


def test_case_33_scalar_collaborative_estimation(scalar):
    local, joint = rate_distortion.mmse(*scalar, [0]), rate_distortion.mmse(*scalar, [0, 1])
    errors = rate_distortion.distortion_rate(local, joint, [0, 0.5, 1, 2, np.inf], parts=1)
    # u = 2 / 15, halved by each half bit
    want = [1 / 3, 0.2 + 2 / 30, 0.2 + 2 / 60, 0.2 + 2 / 240, 0.2]
    np.testing.assert_allclose(errors, want, rtol=1e-12)
    gains_db = 10 * np.log10(errors[0] / errors[1:])
    np.testing.assert_allclose(gains_db, [0.97, 1.55, 2.04, 2.22], atol=0.005)


def test_case_33_unaware_by_hand(scalar):
    """The remote signal has variance 1.5; at one bit its error is a quarter of that, which is noise
    of 1.5 * 0.375 / 1.125 = 0.5 on top: as if the partner's noise were 1."""
    (error,) = rate_distortion.unaware_distortion_rate(*scalar, [0], 1, 1.0, parts=1)
    assert error == pytest.approx(1 / (1 + 1 / 0.5 + 1 / 1.0), rel=1e-12)


def test_unaware_of_a_complex_component_by_hand(scalar):
    """One bit halves the error of a complex signal's power: 0.75 of 1.5, noise of 1.5 on top."""
    (error,) = rate_distortion.unaware_distortion_rate(*scalar, [0], 1, 1.0, parts=2)
    assert error == pytest.approx(1 / (1 + 1 / 0.5 + 1 / 2.0), rel=1e-12)


def test_at_the_ends_the_errors_are_those_without_and_with_the_partner(rng):
    speech, noise = random_covariances(rng)
    local, joint = (rate_distortion.mmse(speech, noise, c).sum() for c in ([0, 1], [0, 1, 2]))
    d1, d12 = (rate_distortion.mmse(speech, noise, c) for c in ([0, 1], [0, 1, 2]))
    rates = np.array([0.0, np.inf])
    np.testing.assert_allclose(rate_distortion.distortion_rate(d1, d12, rates), [local, joint])
    unaware = rate_distortion.unaware_distortion_rate(speech, noise, [0, 1], 2, rates)
    np.testing.assert_allclose(unaware, [local, joint])


@pytest.mark.parametrize("seed", range(5))
def test_bits_help_less_and_less_and_awareness_helps(seed):
    speech, noise = random_covariances(np.random.default_rng(seed))
    d1, d12 = (rate_distortion.mmse(speech, noise, c) for c in ([0, 1], [0, 1, 2]))
    rates = np.linspace(0, 400, 60)
    aware = rate_distortion.distortion_rate(d1, d12, rates)
    unaware = rate_distortion.unaware_distortion_rate(speech, noise, [0, 1], 2, rates)
    assert (np.diff(aware) < 0).all()
    assert (np.diff(aware, 2) > -1e-9).all()
    assert (aware <= unaware + 1e-9).all()


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12),
    st.floats(0.01, 60),
    st.data(),
)
def test_the_water_level_gives_back_the_rate(variances, rate, data):
    variances = np.array(variances)
    parts = np.array(
        data.draw(
            st.lists(st.sampled_from([1, 2]), min_size=len(variances), max_size=len(variances))
        )
    )
    level = rate_distortion.water_level(variances, rate, parts)
    got = np.sum(parts / 2 * np.maximum(0, np.log2(variances / level)))
    assert got == pytest.approx(rate, rel=1e-9)


def test_a_complex_component_is_two_real_ones():
    whole = rate_distortion.distortion_rate(np.array([3.0, 0.5]), np.zeros(2), [2.0], parts=2)
    halves = rate_distortion.distortion_rate(
        np.array([1.5, 1.5, 0.25, 0.25]), np.zeros(4), [2.0], parts=1
    )
    np.testing.assert_allclose(whole, halves)


def test_si_sdr_of_a_wiener_estimate(rng):
    """A million samples: the SI-SDR measured on them, to 0.02 dB."""
    target = rng.standard_normal(1_000_000)
    noisy = target + 0.7 * rng.standard_normal(target.size)
    estimate = noisy / (1 + 0.49)
    wanted = (estimate @ target) / (target @ target) * target
    measured = 10 * np.log10((wanted @ wanted) / ((estimate - wanted) @ (estimate - wanted)))
    assert rate_distortion.si_sdr_db(1.0, np.array(0.49 / 1.49)) == pytest.approx(
        measured, abs=0.02
    )


def test_covariance_and_rate_units(rng):
    spectra = rng.standard_normal((3, 5, 700)) + 1j * rng.standard_normal((3, 5, 700))
    want = np.mean([np.outer(x, x.conj()) for x in spectra[:, 2].T], axis=0)
    np.testing.assert_allclose(rate_distortion.covariance(spectra)[2], want)
    assert rate_distortion.block_kbps(np.array(512.0), 512, 16_000) == 16.0  # one bit per sample


def test_a_partner_who_hurts_is_refused():
    with pytest.raises(ValueError, match="joint_error"):
        rate_distortion.distortion_rate(np.array([1.0]), np.array([2.0]), 1.0)
