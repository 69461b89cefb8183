"""MN-DNN: the multi-node mask network, which sees both ears (paper, section IV-B).

Magnitudes (batch, channel 2, frame, bin) in, masks (batch, frame, bin) out. Channel 0 is the ear's
own reference microphone, channel 1 the signal received from the other ear.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import gelu

from hasim.networks.level_norm import LevelNorm
from hasim.networks.mask_module import (
    InputSpec,
    LstmState,
    MaskModule,
    mixed,
    open_forget_gates,
    own_ear_mix,
)


class MnDnnSpec(InputSpec):
    """Sizes of the paper, and what it leaves open."""

    kind: Literal["mn_dnn"] = "mn_dnn"
    hidden: int = Field(128, ge=1)
    layers: int = Field(3, ge=1)


class MnDnn(MaskModule):
    """1x1 mix, GELU, LevelNorm, 3 x LSTM(128), 128 -> 257, sigmoid: 492 674 MACs per frame."""

    spec: MnDnnSpec

    def __init__(self, spec: MnDnnSpec | None = None) -> None:
        spec = spec or MnDnnSpec()
        super().__init__(spec)
        self.mix = own_ear_mix()
        self.norm = LevelNorm(spec.bins, spec.memory_frames)
        self.lstm = open_forget_gates(
            nn.LSTM(spec.bins, spec.hidden, spec.layers, batch_first=True)
        )
        self.dense = nn.Linear(spec.hidden, spec.bins)

    @torch.no_grad()
    def calibrate(self, magnitude: Tensor) -> None:
        """Start LevelNorm so that on a batch (batch, 2, frame, bin) its outputs are standardised.

        For a network not yet trained. Otherwise what changes from frame to frame is small beside
        the average spectrum, and the LSTM needs some hundred steps to find it.
        """
        x, _ = self.features(magnitude)
        self.norm.standardise(x)

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input of the LSTM, (batch, frame, bin), and the sums of LevelNorm after it."""
        x = mixed(self.mix, self.compressed(magnitude))
        normalised: tuple[Tensor, Tensor] = self.norm(gelu(x), sums)
        return normalised

    def _recur(self, x: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        result: tuple[Tensor, LstmState] = self.lstm(x, state)
        return result

    def _mask(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.dense(x))
