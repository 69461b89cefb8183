"""Numpy spectra through trained networks: axes, window scale, names."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hasim.config.spec import InputError
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.mask_estimator import estimator, networks
from hasim.networks.mn_dnn import MnDnn
from hasim.networks.precision import PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.weights_file import save


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
    # sqrt(hann): energy 512 / 2 instead of 512 * 3 / 8
    louder, gain = FrontEndSpec(shape="sqrt_hann"), np.sqrt(256 / 192)
    found = estimator({"mn_dnn": network}, louder)("mn_dnn", gain * spectra(0), gain * spectra(1))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(
        estimator({"mn_dnn": network})("mn_dnn", gain * spectra(0), gain * spectra(1)),
        expected,
        atol=1e-6,
    )


def test_a_network_that_was_not_given() -> None:
    with pytest.raises(ValueError, match="no trained network sn_dnn; there are mn_dnn"):
        estimator({"mn_dnn": MnDnn()})("sn_dnn", spectra(0))


def test_float_weights_are_rounded_as_the_scenario_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "mn_dnn.safetensors"
    save(MnDnn(), file)

    def masks(**precision: object) -> np.ndarray:
        spec = PrecisionSpec(**precision)  # type: ignore[arg-type]
        found = networks(file, groups=0, bins=257, precision=spec)
        return estimator(found)("mn_dnn", spectra(0), spectra(1))

    exact = masks(weights=32, activations=32)
    plain = estimator(networks(file, groups=0, bins=257))("mn_dnn", spectra(0), spectra(1))
    np.testing.assert_array_equal(exact, plain)
    for scheme in ("dynamic", "static"):
        errors = [
            np.abs(masks(scheme=scheme, weights=b, activations=8) - exact).mean() for b in (8, 4, 2)
        ]
        assert 0 < errors[0] < errors[1] < errors[2]
    # Static ranges are those of the scene, so rounding with many bits clips nothing.
    fine = masks(scheme="static", weights=16, activations=16)
    np.testing.assert_allclose(fine, exact, atol=1e-3)


def test_networks_trained_for_a_precision_run_in_that_one_alone(tmp_path: Path) -> None:
    file = tmp_path / "mn_dnn.safetensors"
    network = quantised(MnDnn(), QuantisationSpec(weights=4, cell=16))
    network.observe(torch.rand(1, 2, 4, 257))
    save(network, file)
    right = PrecisionSpec(weights=4, cell=16, scheme="static")
    found = networks(file, groups=0, bins=257, precision=right)["mn_dnn"]
    assert isinstance(found, QuantisedNetwork)
    for change, said in [
        ({"weights": 8}, "trained for weights 4, but algorithm.precision.weights is 8"),
        ({"scheme": "dynamic", "cell": None}, "trained for cell 16, .* is None"),
    ]:
        wrong = PrecisionSpec(**(right.model_dump() | change))  # type: ignore[arg-type]
        with pytest.raises(InputError, match=said):
            networks(file, groups=0, bins=257, precision=wrong)
