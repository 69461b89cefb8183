"""The paper's training objectives, equations 1 to 8, on torch tensors with the ear as axis 1.

Masks are real, (batch, ear, bin, frame); STFTs complex, of the same shape. Errors are averaged
over everything, which is the paper's mean over the two ears. L_mask, L_STFT, ... are named as
there.
"""

from __future__ import annotations

from torch import Tensor


def mask_loss(estimated: Tensor, target: Tensor) -> Tensor:
    """L_mask: mean squared error of the masks, averaged over the ears (equation 1)."""
    return _mse(estimated, target)


def stft_loss(enhanced: Tensor, clean: Tensor, beta: float = 0.3) -> Tensor:
    """L_STFT: (1 - beta) magnitude error + beta (real + imaginary error) (equations 2 and 3)."""
    magnitude = _mse(enhanced.abs(), clean.abs())
    real, imaginary = _mse(enhanced.real, clean.real), _mse(enhanced.imag, clean.imag)
    return (1 - beta) * magnitude + beta * (real + imaginary)


def task_loss(mask: Tensor, stft: Tensor, alpha: float = 0.3) -> Tensor:
    """L_task = alpha L_mask + (1 - alpha) L_STFT (equation 4)."""
    return alpha * mask + (1 - alpha) * stft


def distillation_loss(mask: Tensor, stft: Tensor, weight_kd: float = 0.3) -> Tensor:
    """L_distill = lambda_KD L_KD_mask + (1 - lambda_KD) L_KD_STFT (equations 5 to 7).

    `mask` and `stft` are `mask_loss` and `stft_loss` of the student against the teacher.
    """
    return weight_kd * mask + (1 - weight_kd) * stft


def total_loss(task: Tensor, distillation: Tensor, weight_task: float = 0.7) -> Tensor:
    """L_total = lambda_task L_task + (1 - lambda_task) L_distill (equation 8)."""
    return weight_task * task + (1 - weight_task) * distillation


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean()
