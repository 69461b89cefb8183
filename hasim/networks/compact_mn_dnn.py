"""Compact MN-DNN: ERB bands and grouped LSTM layers instead of full ones (paper, section III-D).

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
from hasim.dsp.erb import erb_bank, row_normalised
from hasim.networks.cost import LINEAR_BINS, WIDTH
from hasim.networks.level_norm import LevelNorm

Pair = tuple[Tensor, Tensor]  # h, c
State = tuple[Tensor, Tensor, Tensor]  # h, c (layer, batch, width), sums of LevelNorm (batch, 3)


class CompactMnDnnSpec(Spec):
    """Sizes of the paper, and what it leaves open."""

    kind: Literal["compact_mn_dnn"] = "compact_mn_dnn"
    groups: Literal[1, 2, 4, 6, 8, 10] = 2
    """LSTM groups; 6 and 10 change the width to 126 and 130, as the paper's costs show."""
    bins: int = Field(257, ge=2)
    norm: Literal["before_erb", "after_erb"] = "before_erb"
    """Where GELU and the normalisation stand; the paper says "after the point-wise layer"."""
    bands: Literal["sum", "mean"] = "sum"
    """Band features as sums over their bins (they grow with the width) or weighted means."""
    sigmoid: Literal["before_inverse", "after_inverse"] = "before_inverse"
    """Bound the mask in bands or in bins; as columns add up to 1, both stay in [0, 1]."""
    interleave: bool = True
    """Let every group of layer 2 hear every group of layer 1 (paper; Gao et al. 2018)."""
    level_dbfs: float = Field(-35.0, ge=-120, le=20)
    """Level (root mean square, full scale 1) at which white noise has features of about 1."""
    compression: float = Field(0.3, gt=0, le=1)
    """Exponent on the scaled magnitudes; 1 is the paper's plain magnitude."""
    memory_frames: float = Field(125.0, ge=0)
    """Time constant over which features are normalised; 0 is LayerNorm, each frame by itself."""
    standardise: bool = True
    """Bring the features of every bin to mean 0 and deviation 1 before training, on one batch."""


class CompactMnDnn(nn.Module):
    """Mix, GELU, LevelNorm, ERB, 2 x grouped LSTM, dense, sigmoid, inverse ERB.

    172 674, 107 138, 82 658, 74 370, 69 930 MACs per frame with 2, 4, 6, 8, 10 groups.
    """

    bank: Tensor
    synthesis: Tensor

    def __init__(self, spec: CompactMnDnnSpec | None = None) -> None:
        super().__init__()
        self.spec = spec = spec or CompactMnDnnSpec()
        width, groups = WIDTH[spec.groups], spec.groups
        # A periodic Hann window of 512 samples has the energy 192: white noise of unit level has
        # magnitudes of sqrt(192). One multiplication per bin that a device merges with its gain.
        self.gain = 10 ** (-spec.level_dbfs / 20) / math.sqrt(192)
        bank = erb_bank(LINEAR_BINS, width - LINEAR_BINS, spec.bins)  # (band, high bin)
        analysis = row_normalised(bank) if spec.bands == "mean" else bank
        # Fixed and known from the sizes, so not part of the weights' file.
        self.register_buffer("bank", torch.tensor(analysis.T).float(), persistent=False)
        self.register_buffer("synthesis", torch.tensor(bank).float(), persistent=False)
        self.mix = nn.Linear(2, 1)  # over channels, the same in every bin
        size = spec.bins if spec.norm == "before_erb" else width
        self.norm = LevelNorm(size, spec.memory_frames)
        self.layers = nn.ModuleList(GroupedLstm(width, groups) for _ in range(2))
        self.dense = nn.Linear(width, width)
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
        x, _ = self._normalised(magnitude, None)
        self.norm.standardise(x)

    def _normalised(self, magnitude: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compressed, mixed, through GELU and LevelNorm, in bins or in bands as `norm` says."""
        # The small constant keeps the slope finite in silence (-60 dB below the nominal level).
        x = (self.gain * magnitude + 1e-3) ** self.spec.compression  # (batch, 2, frame, bin)
        # Written out: a matrix product over so few channels would first copy everything.
        own, other = self.mix.weight[0]
        x = own * x[:, 0] + other * x[:, 1] + self.mix.bias  # (batch, frame, bin)
        return self.norm(gelu(x if self.spec.norm == "before_erb" else self.analyse(x)), sums)

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What enters the LSTMs, (batch, frame, width), and the sums of LevelNorm after it."""
        x, sums = self._normalised(magnitude, sums)
        return (self.analyse(x) if self.spec.norm == "before_erb" else x), sums

    def _run(self, magnitude: Tensor, state: State | None) -> tuple[Tensor, State]:
        before, sums = (None, None) if state is None else (state[:2], state[2])
        x, sums = self.features(magnitude, sums)
        x, (h, c) = self._recur(x, before)  # (batch, frame, width)
        x = self.dense(x)
        if self.spec.sigmoid == "before_inverse":
            return self.synthesise(torch.sigmoid(x)), (h, c, sums)  # (batch, frame, bin)
        return torch.sigmoid(self.synthesise(x)), (h, c, sums)

    def analyse(self, x: Tensor) -> Tensor:
        """Bins (..., bin) to linear bins and ERB bands (..., width)."""
        return torch.cat([x[..., :LINEAR_BINS], x[..., LINEAR_BINS:] @ self.bank], dim=-1)

    def synthesise(self, x: Tensor) -> Tensor:
        """Linear bins and ERB bands (..., width) back to bins (..., bin)."""
        return torch.cat([x[..., :LINEAR_BINS], x[..., LINEAR_BINS:] @ self.synthesis], dim=-1)

    def _recur(self, x: Tensor, state: Pair | None) -> tuple[Tensor, Pair]:
        """Two grouped layers; between them, not after the second, the groups are interleaved."""
        hidden, cells = [], []
        for index, layer in enumerate(self.layers):
            if index and self.spec.interleave:
                x = interleave(x, self.spec.groups)
            before = None if state is None else (state[0][index, None], state[1][index, None])
            x, (h, c) = layer(x, before)  # (batch, frame, width), (1, batch, width)
            hidden.append(h)
            cells.append(c)
        return x, (torch.cat(hidden), torch.cat(cells))


class GroupedLstm(nn.ModuleList):
    """A layer of LSTMs side by side, each with its share of the features; called as `nn.LSTM`."""

    def __init__(self, width: int, groups: int) -> None:
        size = width // groups
        super().__init__(nn.LSTM(size, size, batch_first=True) for _ in range(groups))
        # Forget gates begin open, so that the LSTM remembers from its first steps on (Jozefowicz,
        # Zaremba and Sutskever 2015).
        for lstm in self:
            nn.init.ones_(lstm.get_parameter("bias_ih_l0").data[size : 2 * size])

    def forward(self, x: Tensor, state: Pair | None = None) -> tuple[Tensor, Pair]:
        """Outputs (batch, frame, width) and state, each (1, batch, width)."""
        befores: list[Pair | None] = [None] * len(self)
        if state is not None:
            h, c = (s.chunk(len(self), dim=-1) for s in state)
            befores = [(a.contiguous(), b.contiguous()) for a, b in zip(h, c, strict=True)]
        parts = x.chunk(len(self), dim=-1)  # (batch, frame, width / groups) each
        found = [lstm(*one) for lstm, *one in zip(self, parts, befores, strict=True)]
        outputs, afters = zip(*found, strict=True)
        hidden, cells = (torch.cat(values, dim=-1) for values in zip(*afters, strict=True))
        return torch.cat(outputs, dim=-1), (hidden, cells)


def interleave(x: Tensor, groups: int) -> Tensor:
    """Deal the features (..., width) of all groups in turn, as cards to players.

    Feature i of group g goes to place i groups + g, so a stretch of width / groups >= groups places
    holds features of every group.
    """
    return x.unflatten(-1, (groups, -1)).transpose(-1, -2).flatten(-2)
