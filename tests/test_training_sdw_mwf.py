"""The differentiable filter: gradients against differences, values against the numpy filter."""

import numpy as np
import pytest
import torch

from hasim import covariance, filters
from hasim.training.sdw_mwf import apply, covariances, enhance, sdw_mwf


def signals(seed: int = 0, frames: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    channels = torch.randn(2, 3, 4, frames, dtype=torch.complex128, generator=rng)
    mask = 0.05 + 0.9 * torch.rand(2, 4, frames, dtype=torch.float64, generator=rng)
    return channels, mask


@pytest.mark.parametrize("mask_power", [1, 2])
def test_gradients_of_mask_and_channels(mask_power: int) -> None:
    channels, mask = signals(frames=5)
    channels = channels[:1, :, :2].requires_grad_()
    mask = mask[:1, :2].requires_grad_()

    def parts(c: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(enhance(c, m, mu=1.5, mask_power=mask_power))

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
    weights = filters.weights("sdw_mwf", *expected, mu=2.0)
    np.testing.assert_allclose(sdw_mwf(speech, noise, 2.0), weights[:, 0], atol=1e-10)
    np.testing.assert_allclose(
        apply(sdw_mwf(speech, noise, 2.0), channels),
        filters.apply(weights, channels.numpy()),
        atol=1e-10,
    )


def test_silence_and_extreme_masks_have_finite_gradients() -> None:
    channels, mask = signals()
    channels[:, :, 0] = 0  # a bin where nothing is
    mask[:, 1], mask[:, 2] = 0.0, 1.0
    mask.requires_grad_()
    output = enhance(channels.to(torch.complex64), mask.float())
    output.abs().square().sum().backward()
    assert torch.isfinite(torch.view_as_real(output)).all()
    assert torch.isfinite(mask.grad).all()  # type: ignore[arg-type]
