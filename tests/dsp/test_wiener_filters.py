"""Filters against slow literal versions (SciPy's general eigensolver, bin by bin) and against
their limits."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from hasim.dsp import wiener_filters

BINS = 60


def covariance(rng, channels, rank):
    """Random covariances of the given rank, levels spread over 60 dB from bin to bin."""
    x = rng.standard_normal((BINS, channels, rank)) + 1j * rng.standard_normal(
        (BINS, channels, rank)
    )
    x *= 10 ** rng.uniform(-2, 1, (BINS, 1, 1))
    return x @ np.swapaxes(x.conj(), -1, -2)


def literal_gevd(speech, noise, mu, rank):
    """w = Q diag(l / (l + mu) for the `rank` largest, else 0) Q^-1 e, one bin at a time."""
    weights = []
    for r_s, r_n in zip(speech, wiener_filters.loaded(noise), strict=True):
        values, vectors = scipy.linalg.eigh(r_s, r_n)
        gain = np.where(np.arange(len(values)) >= len(values) - rank, values / (values + mu), 0.0)
        weights.append((vectors * gain) @ np.linalg.inv(vectors)[:, 0])
    return np.array(weights)


def relative_error(got, want):
    return np.max(np.abs(got - want).max(axis=-1) / np.abs(want).max(axis=-1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("speech_rank", [1, 6])
@pytest.mark.parametrize("mu", [0.2, 1.0, 5.0])
def test_gevd_equals_the_general_eigensolver(channels, speech_rank, mu, rng):
    speech, noise = covariance(rng, channels, speech_rank), covariance(rng, channels, 8)
    ranks = [1] if speech_rank == 1 else range(1, channels + 1)
    for rank in ranks:
        got = wiener_filters.weights("gevd", speech, noise, mu=mu, rank=rank)
        assert relative_error(got, literal_gevd(speech, noise, mu, rank)) < 1e-8


@pytest.mark.parametrize("channels", [2, 3])
def test_closed_form_equals_the_general_path(channels, rng):
    speech, noise = (
        covariance(rng, channels, 6),
        wiener_filters.loaded(covariance(rng, channels, 8)),
    )
    fast = wiener_filters._gevd_rank_1(speech, noise, 1.0)
    assert relative_error(fast, wiener_filters._gevd(speech, noise, 1.0, 1)) < 1e-10


@pytest.mark.parametrize("channels", [2, 3])
def test_closed_form_survives_equal_eigenvalues(channels):
    """With R_s a multiple of R_n every direction is an eigenvector; the gain is what remains
    defined."""
    speech = np.broadcast_to(2.0 * np.eye(channels, dtype=complex), (4, channels, channels))
    noise = np.broadcast_to(np.eye(channels, dtype=complex), (4, channels, channels))
    weights = wiener_filters.weights("gevd", speech, noise, mu=1.0)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(
        np.linalg.norm(weights, axis=-1) ** 2, weights[..., 0].real * 2 / 3, atol=1e-5
    )


def test_sdw_mwf_equals_the_literal_solution(rng):
    speech, noise = covariance(rng, 3, 6), covariance(rng, 3, 8)
    got = wiener_filters.weights("sdw_mwf", speech, noise, mu=2.0)
    for b in range(BINS):
        r_n = wiener_filters.loaded(noise)[b]
        want = np.linalg.inv(speech[b] + 2.0 * r_n) @ speech[b][:, 0]
        np.testing.assert_allclose(got[b], want, rtol=1e-8)


@pytest.mark.parametrize(("name", "mu"), [("rank1_mwf", 0.7), ("mvdr", 0.0)])
def test_rank_1_forms_equal_the_literal_solution(name, mu, rng):
    speech, noise = covariance(rng, 3, 6), covariance(rng, 3, 8)
    got = wiener_filters.weights(name, speech, noise, mu=0.7)
    for b in range(BINS):
        ratio = np.linalg.inv(wiener_filters.loaded(noise)[b]) @ speech[b]
        np.testing.assert_allclose(got[b], ratio[:, 0] / (mu + np.trace(ratio).real), rtol=1e-8)


def test_all_filters_agree_on_rank_1_speech(rng):
    """For one talker the GEVD filter, the SDW-MWF and its rank-1 form are one and the same."""
    speech, noise = covariance(rng, 3, 1), covariance(rng, 3, 8)
    want = wiener_filters.weights("rank1_mwf", speech, noise, mu=1.3)
    for name in ("gevd", "sdw_mwf"):
        assert relative_error(wiener_filters.weights(name, speech, noise, mu=1.3), want) < 1e-8


@pytest.mark.parametrize("name", ["gevd", "sdw_mwf", "rank1_mwf", "mvdr"])
def test_a_common_scale_changes_nothing(name, rng):
    speech, noise = covariance(rng, 3, 6), covariance(rng, 3, 8)
    want = wiener_filters.weights(name, speech, noise)
    assert relative_error(wiener_filters.weights(name, 1e4 * speech, 1e4 * noise), want) < 1e-8


def test_mvdr_does_not_distort_one_talker(rng):
    direction = rng.standard_normal((BINS, 3)) + 1j * rng.standard_normal((BINS, 3))
    speech = direction[:, :, None] * direction[:, None, :].conj()
    weights = wiener_filters.weights("mvdr", speech, covariance(rng, 3, 8))
    through = np.einsum("bc,bc->b", weights.conj(), direction)
    np.testing.assert_allclose(through, direction[:, 0], rtol=1e-8)


def test_mu_trades_speech_for_noise(rng):
    speech, noise = covariance(rng, 3, 6), covariance(rng, 3, 8)
    left = []
    for mu in (0.1, 1.0, 10.0):
        w = wiener_filters.weights("sdw_mwf", speech, noise, mu=mu)
        left.append(np.einsum("bi,bij,bj->b", w.conj(), noise, w).real)
    assert (left[0] >= left[1]).all()
    assert (left[1] >= left[2]).all()


@pytest.mark.parametrize("name", ["gevd", "sdw_mwf", "rank1_mwf", "mvdr"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_silent_bins_are_safe(name, channels):
    silence = np.zeros((2, channels, channels), dtype=complex)
    weights = wiener_filters.weights(name, silence, silence)
    np.testing.assert_array_equal(weights, 0.0)


@pytest.mark.parametrize("name", ["gevd", "sdw_mwf", "rank1_mwf", "mvdr"])
def test_one_frame_of_history_is_safe(name, rng):
    """Both covariances of rank 1 from the very same frame: the first frame of a recursion."""
    y = rng.standard_normal((BINS, 3)) + 1j * rng.standard_normal((BINS, 3))
    outer = y[:, :, None] * y[:, None, :].conj()
    weights = wiener_filters.weights(name, 0.3 * outer, 0.7 * outer)
    assert np.isfinite(weights).all()
    assert np.abs(np.einsum("bc,bc->b", weights.conj(), y)).max() < 3 * np.abs(y).max()


def test_apply_is_w_hermitian_y(rng):
    weights = rng.standard_normal((2, 7, 5, 3)) + 1j * rng.standard_normal((2, 7, 5, 3))
    channels = rng.standard_normal((2, 3, 5, 7)) + 1j * rng.standard_normal((2, 3, 5, 7))
    want = np.einsum("enbc,ecbn->ebn", weights.conj(), channels)
    np.testing.assert_allclose(wiener_filters.apply(weights, channels), want, atol=1e-12)


def test_cost_grows_with_channels():
    costs = [wiener_filters.filter_macs("gevd", channels, 257) for channels in (2, 3, 4)]
    assert costs == sorted(costs)
    assert wiener_filters.apply_macs(3, 257) == 3084
