"""Normalisation of features by their level over the last seconds, causal and frame by frame.

LayerNorm brings every frame to the same mean and variance over its bins, which removes the level
difference between speech and pause. Here mean and variance are averages over past frames with
exponential forgetting, so a frame keeps its level relative to the frames before it. Features are
(batch, frame, bin), sums (batch, 3): of weights, means and mean squares.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Frames whose averages are computed at once.
BLOCK_FRAMES = 64
# As in LayerNorm.
EPSILON = 1e-5


class LevelNorm(nn.Module):
    """(x - mean) / deviation * weight + bias; mean and deviation over bins and the past.

    `memory_frames` is the time constant of forgetting; 0 is LayerNorm, each frame by itself.
    Without `affine` there is no weight and no bias.
    """

    def __init__(self, bins: int, memory_frames: float, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(bins)) if affine else None
        self.bias = nn.Parameter(torch.zeros(bins)) if affine else None
        self.keep = math.exp(-1 / memory_frames) if memory_frames > 0 else 0.0

    def forward(self, x: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised features, and the sums after the last frame for the next call."""
        mean, square = x.mean(-1), x.square().mean(-1)
        # (batch, frame, 3)
        frames = torch.stack([torch.ones_like(mean), mean, square], dim=-1)
        if sums is None:
            sums = torch.zeros_like(frames[:, 0])
        number = torch.arange(BLOCK_FRAMES, device=x.device, dtype=x.dtype)
        # Age of the frame in the column at the time of the frame in the row.
        age = number[:, None] - number
        kernel = torch.where(age >= 0, self.keep ** age.clamp_min(0), 0.0)
        fading = self.keep ** (number + 1)
        averaged = []
        for block in frames.split(BLOCK_FRAMES, dim=1):
            n = block.shape[1]
            # A sum, not a matrix product, which may run in reduced precision.
            past = (kernel[:n, :n, None] * block[:, None]).sum(2)
            averaged.append(past + fading[:n, None] * sums[:, None])
            sums = averaged[-1][:, -1]
        weight, mean, square = torch.cat(averaged, dim=1).unbind(-1)
        mean, square = (mean / weight)[..., None], (square / weight)[..., None]
        y = (x - mean) * torch.rsqrt((square - mean.square()).clamp_min(0) + EPSILON)
        if self.weight is not None and self.bias is not None:
            y = y * self.weight + self.bias
        return y, sums

    @torch.no_grad()
    def standardise(self, y: Tensor) -> None:
        """Set gains and offsets so that each bin of the outputs `y` (batch, frame, bin), made with
        gains 1 and offsets 0, gets mean 0 and deviation 1."""
        assert self.weight is not None
        assert self.bias is not None
        self.weight.copy_(1 / y.std((0, 1)).clamp_min(1e-3))
        self.bias.copy_(-y.mean((0, 1)) * self.weight)
