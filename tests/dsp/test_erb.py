"""The ERB bank: triangles that add up to one, and against a literal construction."""

import numpy as np
import pytest

from hasim.dsp.erb import erb_bank, erb_frequency_hz, erb_rate, row_normalised


@pytest.mark.parametrize("bands", [62, 64, 66])
def test_columns_add_up_to_one_and_no_band_is_empty(bands: int) -> None:
    bank = erb_bank(64, bands)
    assert bank.shape == (bands, 193)
    np.testing.assert_array_equal(bank.sum(axis=0), 1.0)  # interpolation weights: exact halves etc.
    assert np.all(bank >= 0)
    assert np.all((bank > 0).sum(axis=1) >= 1)
    assert np.all((bank > 0).sum(axis=0) <= 2)
    assert bank.sum(axis=1).min() >= 1.0
    assert bank.sum(axis=1).max() <= 5.5


def test_a_mask_comes_back_within_its_bounds() -> None:
    bank = erb_bank()
    np.testing.assert_array_equal(bank.T @ np.ones(64), 1.0)
    mask = np.random.default_rng(0).random(64)
    bins = bank.T @ mask
    assert bins.min() >= mask.min()
    assert bins.max() <= mask.max()


def test_against_the_literal_triangles() -> None:
    bands, linear, nyquist = 64, 64, 256
    points = [erb_frequency_hz(r) for r in np.linspace(erb_rate(2000.0), erb_rate(8000.0), bands)]
    centre = [round(float(p) / 31.25) for p in points]
    literal = np.zeros((bands, nyquist + 1))
    for band in range(bands):
        literal[band, centre[band]] = 1
        for f in range(nyquist + 1):
            if band > 0 and centre[band - 1] < f < centre[band]:
                literal[band, f] = (f - centre[band - 1]) / (centre[band] - centre[band - 1])
            if band < bands - 1 and centre[band] < f < centre[band + 1]:
                literal[band, f] = (centre[band + 1] - f) / (centre[band + 1] - centre[band])
    np.testing.assert_allclose(erb_bank(linear, bands), literal[:, linear:], atol=1e-12)


def test_row_normalised_bands_of_a_flat_spectrum_are_flat() -> None:
    np.testing.assert_allclose(row_normalised(erb_bank()) @ np.full(193, 3.0), 3.0, rtol=1e-12)


def test_scale_and_its_inverse() -> None:
    hz = np.array([0.0, 100.0, 1000.0, 8000.0])
    np.testing.assert_allclose(erb_frequency_hz(erb_rate(hz)), hz, atol=1e-9)
    assert erb_rate(np.array(1000.0)) == pytest.approx(15.62, abs=0.01)  # 21.4 log10(5.37)


def test_too_many_bands() -> None:
    with pytest.raises(ValueError, match="160 bands are too many"):
        erb_bank(64, 160)
