"""The differentiable filters: gradients against differences, values against the numpy filter."""

import numpy as np
import pytest
import torch

from hasim.dsp import covariance, wiener_filters
from hasim.networks.training.filters import (
    TrainingFilter,
    apply,
    covariances,
    enhance,
    gevd,
    sdw_mwf,
)


def signals(seed: int = 0, frames: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    channels = torch.randn(2, 3, 4, frames, dtype=torch.complex128, generator=rng)
    mask = 0.05 + 0.9 * torch.rand(2, 4, frames, dtype=torch.float64, generator=rng)
    return channels, mask


@pytest.mark.parametrize("name", ["sdw_mwf", "gevd"])
@pytest.mark.parametrize("mask_power", [1, 2])
def test_gradients_of_mask_and_channels(name: TrainingFilter, mask_power: int) -> None:
    channels, mask = signals(frames=5)
    channels = channels[:1, :, :2].requires_grad_()
    mask = mask[:1, :2].requires_grad_()

    def parts(c: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(enhance(c, m, mu=1.5, mask_power=mask_power, name=name))

    assert torch.autograd.gradcheck(parts, (channels, mask))


def test_real_channels_pass_too() -> None:
    channels, mask = signals()
    real = enhance(channels.real, mask)
    np.testing.assert_allclose(real, enhance(channels.real + 0j, mask).real, atol=1e-12)


@pytest.mark.parametrize("mask_power", [1, 2])
def test_equal_to_the_filter_of_the_nodes(mask_power: int) -> None:
    channels, mask = signals(frames=40)
    speech, noise = covariances(channels, mask, mask_power)
    heard = np.ones((2, 40), bool)
    expected = covariance.utterance(channels.numpy(), mask.numpy(), heard, mask_power)
    np.testing.assert_allclose(speech, expected[0][:, 0], atol=1e-12)
    np.testing.assert_allclose(noise, expected[1][:, 0], atol=1e-12)
    weights = wiener_filters.weights("sdw_mwf", *expected, mu=2.0)
    np.testing.assert_allclose(sdw_mwf(speech, noise, 2.0), weights[:, 0], atol=1e-10)
    np.testing.assert_allclose(
        apply(sdw_mwf(speech, noise, 2.0), channels),
        wiener_filters.apply(weights, channels.numpy()),
        atol=1e-10,
    )


def test_power_iterations_find_the_gevd_filter_of_the_nodes() -> None:
    """As closely as 16 steps can: the error shrinks with the ratio of the eigenvalues."""
    channels, mask = signals(frames=400)
    generator = torch.Generator().manual_seed(1)
    talker = torch.randn(2, 1, 4, 400, dtype=torch.complex128, generator=generator)
    head = torch.randn(2, 3, 4, 1, dtype=torch.complex128, generator=generator)
    loudness = torch.tensor([0.5, 1, 2, 4])[:, None]
    channels += loudness * head * talker * (mask[:, None] > 0.5)
    speech, noise = covariances(channels, mask)
    expected = wiener_filters.weights("gevd", speech.numpy(), noise.numpy(), mu=2.0)
    error = np.abs(gevd(speech, noise, 2.0).numpy() - expected).max(-1)
    values = np.linalg.eigvals(np.linalg.solve(noise.numpy(), speech.numpy())).real
    values.sort(-1)
    left = (values[..., -2] / values[..., -1]) ** 16
    assert left.min() < 1e-9
    assert left.max() > 1e-4
    # R_n is loaded with 1e-6 of its trace
    assert (error < 3 * left + 1e-6).all()


@pytest.mark.parametrize("name", ["sdw_mwf", "gevd"])
def test_silence_and_extreme_masks_have_finite_gradients(name: TrainingFilter) -> None:
    channels, mask = signals()
    # a bin where nothing is
    channels[:, :, 0] = 0
    mask[:, 1], mask[:, 2] = 0.0, 1.0
    mask.requires_grad_()
    output = enhance(channels.to(torch.complex64), mask.float(), name=name)
    output.abs().square().sum().backward()
    assert torch.isfinite(torch.view_as_real(output)).all()
    assert torch.isfinite(mask.grad).all()  # type: ignore[arg-type]
