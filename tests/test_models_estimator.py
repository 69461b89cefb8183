"""Numpy spectra through trained networks: axes, window scale, names."""

import numpy as np
import pytest
import torch

from hasim.models.estimator import estimator
from hasim.models.mn_dnn import MnDnn


def spectra(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, 257, 6)) + 1j * rng.standard_normal((2, 257, 6))


def test_axes_are_those_of_the_nodes() -> None:
    network = MnDnn().eval()
    own, other = spectra(0), spectra(1)
    masks = estimator({"mn_dnn": network})("mn_dnn", own, other)
    assert masks.shape == (2, 257, 6)
    right = torch.tensor(np.abs(np.stack([own[1].T, other[1].T]))[None]).float()
    with torch.no_grad():
        np.testing.assert_allclose(masks[1], network(right)[0].numpy().T, atol=1e-6)


def test_another_window_is_scaled_to_the_one_of_the_training() -> None:
    network = MnDnn().eval()
    expected = estimator({"mn_dnn": network})("mn_dnn", spectra(0), spectra(1))
    louder = estimator({"mn_dnn": network}, window_energy=4 * 192.0)
    np.testing.assert_allclose(
        louder("mn_dnn", 2 * spectra(0), 2 * spectra(1)), expected, atol=1e-6
    )


def test_a_network_that_was_not_given() -> None:
    with pytest.raises(ValueError, match="no trained network sn_dnn; there are mn_dnn"):
        estimator({"mn_dnn": MnDnn()})("sn_dnn", spectra(0))
