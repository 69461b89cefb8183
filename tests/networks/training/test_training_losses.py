"""Equations 1 to 8 on values worked out by hand."""

import pytest
import torch

from hasim.networks.training.losses import (
    distillation_loss,
    mask_loss,
    stft_loss,
    task_loss,
    total_loss,
)


def ears(left: list[complex], right: list[complex]) -> torch.Tensor:
    # (batch 1, ear, bin 1, frame)
    return torch.tensor([[left, right]])[..., None, :]


def test_mask_loss_is_the_mean_over_the_ears_of_the_mean_squared_error() -> None:
    estimated = ears([0.5, 0.0], [1.0, 0.25])
    target = ears([1.0, 0.0], [0.0, 0.75])
    # left (0.25 + 0) / 2 = 0.125, right (1 + 0.25) / 2 = 0.625; half their sum
    assert mask_loss(estimated, target).item() == pytest.approx(0.375)


def test_stft_loss_weighs_magnitude_against_real_and_imaginary_parts() -> None:
    enhanced = ears([3 + 4j], [0 + 2j])
    clean = ears([0 + 1j], [2 + 0j])
    # left:  |5 - 1|^2 = 16, re 3^2 = 9, im 3^2 = 9;  right: |2 - 2|^2 = 0, re 2^2 = 4, im 2^2 = 4
    left, right = 0.7 * 16 + 0.3 * (9 + 9), 0.7 * 0 + 0.3 * (4 + 4)
    assert stft_loss(enhanced, clean, beta=0.3).item() == pytest.approx((left + right) / 2)
    # magnitudes alone
    assert stft_loss(enhanced, clean, beta=0.0).item() == pytest.approx(8)


def test_weighted_sums() -> None:
    two, ten = torch.tensor(2.0), torch.tensor(10.0)
    assert task_loss(two, ten).item() == pytest.approx(0.3 * 2 + 0.7 * 10)
    assert task_loss(two, ten, alpha=1.0).item() == pytest.approx(2)
    assert distillation_loss(two, ten).item() == pytest.approx(0.3 * 2 + 0.7 * 10)
    assert total_loss(two, ten).item() == pytest.approx(0.7 * 2 + 0.3 * 10)


def test_the_gradient_is_finite_where_the_enhanced_signal_is_silent() -> None:
    enhanced = torch.zeros(1, 2, 3, 4, dtype=torch.complex64, requires_grad=True)
    stft_loss(enhanced, torch.ones_like(enhanced)).backward()
    assert enhanced.grad is not None
    assert torch.isfinite(torch.view_as_real(enhanced.grad)).all()
