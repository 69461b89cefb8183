"""SN-DNN: the mask network that hears one ear (paper, section IV-B). One channel in, one mask out.

`forward` takes whole sequences of STFT magnitudes (batch, channel 1, frame, bin), `step` one frame
(batch, channel 1, bin) and the state of the frame before; both give masks (batch, [frame,] bin) in
[0, 1] and agree. Nothing looks ahead.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hasim.config.spec import Spec
from hasim.networks.level_norm import LevelNorm

State = tuple[Tensor, Tensor, Tensor]  # h, c (layer, batch, hidden), sums of LevelNorm (batch, 3)


class SnDnnSpec(Spec):
    """Sizes of the paper, and what it leaves open."""

    kind: Literal["sn_dnn"] = "sn_dnn"
    bins: int = Field(257, ge=2)
    hidden: int = Field(128, ge=1)
    layers: int = Field(3, ge=1)
    head: int = Field(256, ge=1)
    head_activation: Literal["relu", "gelu"] = "relu"
    """Between the two dense layers; not stated in the paper."""
    memory_frames: float = Field(125.0, ge=0)
    """Time constant over which features are normalised; 0 normalises each frame by itself. There is
    nothing to train in it: the parameter count is the paper's."""
    level_dbfs: float = Field(-35.0, ge=-120, le=20)
    """Level (root mean square, full scale 1) at which white noise has features of about 1."""
    compression: float = Field(0.3, gt=0, le=1)
    """Exponent on the scaled magnitudes; 1 is the paper's plain magnitude."""
    standardise: bool = True
    """Bring the features of every bin to mean 0 and deviation 1 before training, on one batch."""


class SnDnn(nn.Module):
    """3 x LSTM(128), 128 -> 256 -> 257, sigmoid: 557 824 MACs per frame.

    `mean` and `scale` standardise the features of each bin. Fixed before training, they merge
    with the first layer's weights and biases and count neither as MACs nor as parameters.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: SnDnnSpec | None = None) -> None:
        super().__init__()
        self.spec = spec = spec or SnDnnSpec()
        # A periodic Hann window of 512 samples has the energy 192: white noise of unit level has
        # magnitudes of sqrt(192). One multiplication per bin that a device merges with its gain.
        self.gain = 10 ** (-spec.level_dbfs / 20) / math.sqrt(192)
        self.register_buffer("mean", torch.zeros(spec.bins))
        self.register_buffer("scale", torch.ones(spec.bins))
        self.norm = LevelNorm(spec.bins, spec.memory_frames, affine=False)
        self.lstm = nn.LSTM(spec.bins, spec.hidden, spec.layers, batch_first=True)
        # Forget gates begin open, so that the LSTM remembers from its first steps on (Jozefowicz,
        # Zaremba and Sutskever 2015).
        for layer in range(spec.layers):
            bias = getattr(self.lstm, f"bias_ih_l{layer}")
            nn.init.ones_(bias.data[spec.hidden : 2 * spec.hidden])
        self.head = nn.Sequential(
            nn.Linear(spec.hidden, spec.head),
            nn.ReLU() if spec.head_activation == "relu" else nn.GELU(),
            nn.Linear(spec.head, spec.bins),
        )

    def forward(self, magnitude: Tensor) -> Tensor:
        """Masks (batch, frame, bin) from magnitudes (batch, 1, frame, bin)."""
        return self._run(magnitude, None)[0]

    def step(self, magnitude: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Mask (batch, bin) of one frame (batch, 1, bin), and the state for the next."""
        mask, state = self._run(magnitude[:, :, None], state)
        return mask[:, 0], state

    @torch.no_grad()
    def calibrate(self, magnitude: Tensor) -> None:
        """Fix the standardisation to a batch (batch, 1, frame, bin), before training."""
        features, _ = self.norm(self._compressed(magnitude[:, 0]))
        self.mean.copy_(features.mean((0, 1)))
        self.scale.copy_(1 / features.std((0, 1)).clamp_min(1e-3))

    def _compressed(self, x: Tensor) -> Tensor:
        # The small constant keeps the slope finite in silence (-60 dB below the nominal level).
        return (self.gain * x + 1e-3) ** self.spec.compression

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What enters the LSTM, (batch, frame, bin), and the sums of LevelNorm after it."""
        x, sums = self.norm(self._compressed(magnitude[:, 0]), sums)
        return (x - self.mean) * self.scale, sums

    def _run(self, magnitude: Tensor, state: State | None) -> tuple[Tensor, State]:
        before, sums = (None, None) if state is None else (state[:2], state[2])
        x, sums = self.features(magnitude, sums)
        x, (h, c) = self.lstm(x, before)  # (batch, frame, hidden)
        return torch.sigmoid(self.head(x)), (h, c, sums)  # (batch, frame, bin)
