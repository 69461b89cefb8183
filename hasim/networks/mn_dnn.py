"""MN-DNN: the mask network that hears both ears (paper, section IV-B). Two channels in, a mask out.

Channel 0 is the ear's own reference, channel 1 what came from the other ear. `forward` takes
whole sequences of STFT magnitudes (batch, channel 2, frame, bin), `step` one frame (batch,
channel 2, bin) and the state of the frame before; both give masks (batch, [frame,] bin) in [0, 1]
and agree. Nothing looks ahead.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import gelu

from hasim.config.spec import Spec
from hasim.networks.level_norm import LevelNorm

State = tuple[Tensor, Tensor, Tensor]  # h, c (layer, batch, hidden), sums of LevelNorm (batch, 3)


class MnDnnSpec(Spec):
    """Sizes of the paper, and what it leaves open."""

    kind: Literal["mn_dnn"] = "mn_dnn"
    bins: int = Field(257, ge=2)
    hidden: int = Field(128, ge=1)
    layers: int = Field(3, ge=1)
    level_dbfs: float = Field(-35.0, ge=-120, le=20)
    """Level (root mean square, full scale 1) at which white noise has features of about 1."""
    compression: float = Field(0.3, gt=0, le=1)
    """Exponent on the scaled magnitudes; 1 is the paper's plain magnitude."""
    memory_frames: float = Field(125.0, ge=0)
    """Time constant over which features are normalised; 0 is LayerNorm, each frame by itself."""
    standardise: bool = True
    """Bring the features of every bin to mean 0 and deviation 1 before training, on one batch."""


class MnDnn(nn.Module):
    """1x1 mix, GELU, LevelNorm, 3 x LSTM(128), 128 -> 257, sigmoid: 492 674 MACs per frame."""

    def __init__(self, spec: MnDnnSpec | None = None) -> None:
        super().__init__()
        self.spec = spec = spec or MnDnnSpec()
        # A periodic Hann window of 512 samples has the energy 192: white noise of unit level has
        # magnitudes of sqrt(192). One multiplication per bin that a device merges with its gain.
        self.gain = 10 ** (-spec.level_dbfs / 20) / math.sqrt(192)
        self.mix = nn.Linear(2, 1)  # over channels, the same in every bin
        self.norm = LevelNorm(spec.bins, spec.memory_frames)
        self.lstm = nn.LSTM(spec.bins, spec.hidden, spec.layers, batch_first=True)
        # Forget gates begin open, so that the LSTM remembers from its first steps on (Jozefowicz,
        # Zaremba and Sutskever 2015).
        for layer in range(spec.layers):
            bias = getattr(self.lstm, f"bias_ih_l{layer}")
            nn.init.ones_(bias.data[spec.hidden : 2 * spec.hidden])
        self.dense = nn.Linear(spec.hidden, spec.bins)
        # Start from the own ear alone: two random weights may both be negative, and GELU then
        # passes next to nothing.
        nn.init.zeros_(self.mix.bias)
        with torch.no_grad():
            self.mix.weight.copy_(torch.tensor([[1.0, 0.0]]))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Masks (batch, frame, bin) from magnitudes (batch, 2, frame, bin)."""
        return self._run(magnitude, None)[0]

    def step(self, magnitude: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Mask (batch, bin) of one frame (batch, 2, bin), and the state for the next."""
        mask, state = self._run(magnitude[:, :, None], state)
        return mask[:, 0], state

    @torch.no_grad()
    def calibrate(self, magnitude: Tensor) -> None:
        """Start LevelNorm so that on a batch (batch, 2, frame, bin) its outputs are standardised.

        For a network not yet trained. Otherwise what changes from frame to frame is small beside
        the average spectrum, and the LSTM needs some hundred steps to find it.
        """
        x, _ = self.norm(self._mixed(magnitude))
        self.norm.standardise(x)

    def _mixed(self, magnitude: Tensor) -> Tensor:
        """Compressed, mixed and through GELU, (batch, frame, bin)."""
        # The small constant keeps the slope finite in silence (-60 dB below the nominal level).
        x = (self.gain * magnitude + 1e-3) ** self.spec.compression  # (batch, 2, frame, bin)
        # Written out: a matrix product over so few channels would first copy everything.
        own, other = self.mix.weight[0]
        return gelu(own * x[:, 0] + other * x[:, 1] + self.mix.bias)

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What enters the LSTM, (batch, frame, bin), and the sums of LevelNorm after it."""
        normalised: tuple[Tensor, Tensor] = self.norm(self._mixed(magnitude), sums)
        return normalised

    def _run(self, magnitude: Tensor, state: State | None) -> tuple[Tensor, State]:
        before, sums = (None, None) if state is None else (state[:2], state[2])
        x, sums = self.features(magnitude, sums)
        x, (h, c) = self.lstm(x, before)  # (batch, frame, hidden)
        return torch.sigmoid(self.dense(x)), (h, c, sums)  # (batch, frame, bin)
