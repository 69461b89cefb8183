"""SN-DNN: the single-node mask network, which sees one ear (paper, section IV-B).

Magnitudes (batch, channel 1, frame, bin) in, masks (batch, frame, bin) out.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hasim.networks.level_norm import LevelNorm
from hasim.networks.mask_module import InputSpec, LstmState, MaskModule, open_forget_gates


class SnDnnSpec(InputSpec):
    """Sizes of the paper, and what it leaves open."""

    kind: Literal["sn_dnn"] = "sn_dnn"
    hidden: int = Field(128, ge=1)
    layers: int = Field(3, ge=1)
    head: int = Field(256, ge=1)
    head_activation: Literal["relu", "gelu"] = "relu"
    """Between the two dense layers; not stated in the paper."""


class SnDnn(MaskModule):
    """3 x LSTM(128), 128 -> 256 -> 257, sigmoid: 557 824 MACs per frame.

    LevelNorm has nothing to train here. `mean` and `scale` standardise the features of each bin
    instead; fixed before training, they merge with the first layer's weights and biases and count
    neither as MACs nor as parameters. So the parameter count is the paper's.
    """

    spec: SnDnnSpec
    mean: Tensor
    scale: Tensor

    def __init__(self, spec: SnDnnSpec | None = None) -> None:
        spec = spec or SnDnnSpec()
        super().__init__(spec)
        self.register_buffer("mean", torch.zeros(spec.bins))
        self.register_buffer("scale", torch.ones(spec.bins))
        self.norm = LevelNorm(spec.bins, spec.memory_frames, affine=False)
        self.lstm = open_forget_gates(
            nn.LSTM(spec.bins, spec.hidden, spec.layers, batch_first=True)
        )
        self.head = nn.Sequential(
            nn.Linear(spec.hidden, spec.head),
            nn.ReLU() if spec.head_activation == "relu" else nn.GELU(),
            nn.Linear(spec.head, spec.bins),
        )

    @torch.no_grad()
    def calibrate(self, magnitude: Tensor) -> None:
        """Fix the standardisation on a batch (batch, 1, frame, bin), before training."""
        features, _ = self.norm(self.compressed(magnitude[:, 0]))
        self.mean.copy_(features.mean((0, 1)))
        self.scale.copy_(1 / features.std((0, 1)).clamp_min(1e-3))

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input of the LSTM, (batch, frame, bin), and the sums of LevelNorm after it."""
        x, sums = self.norm(self.compressed(magnitude[:, 0]), sums)
        return (x - self.mean) * self.scale, sums

    def _recur(self, x: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        result: tuple[Tensor, LstmState] = self.lstm(x, state)
        return result

    def _mask(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(x))
