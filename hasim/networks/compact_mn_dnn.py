"""Compact MN-DNN: ERB bands and grouped LSTM layers instead of full ones (paper, section III-D).

Magnitudes (batch, channel 2, frame, bin) in, masks (batch, frame, bin) out. Channel 0 is the ear's
own reference microphone, channel 1 the signal received from the other ear.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from hasim.dsp.erb import erb_bank, row_normalised
from hasim.networks.cost import LINEAR_BINS, WIDTH
from hasim.networks.level_norm import LevelNorm
from hasim.networks.mask_module import (
    InputSpec,
    LstmState,
    MaskModule,
    mixed,
    open_forget_gates,
    own_ear_mix,
)


class CompactMnDnnSpec(InputSpec):
    """Sizes of the paper, and what it leaves open."""

    kind: Literal["compact_mn_dnn"] = "compact_mn_dnn"
    groups: Literal[1, 2, 4, 6, 8, 10] = 2
    """LSTM groups; 6 and 10 change the width to 126 and 130, as the paper's costs show."""
    norm: Literal["before_erb", "after_erb"] = "before_erb"
    """Where GELU and the normalisation stand; the paper says "after the point-wise layer"."""
    bands: Literal["sum", "mean"] = "sum"
    """Band features as sums over their bins (they grow with the width) or weighted means."""
    sigmoid: Literal["before_inverse", "after_inverse"] = "before_inverse"
    """Bound the mask in bands or in bins; as columns add up to 1, both stay in [0, 1]."""
    interleave: bool = True
    """Feed every group of layer 2 from every group of layer 1 (paper; Gao et al. 2018)."""


class CompactMnDnn(MaskModule):
    """Mix, GELU, LevelNorm, ERB, 2 x grouped LSTM, dense, sigmoid, inverse ERB.

    172 674, 107 138, 82 658, 74 370, 69 930 MACs per frame with 2, 4, 6, 8, 10 groups.
    """

    spec: CompactMnDnnSpec
    bank: Tensor
    synthesis: Tensor

    def __init__(self, spec: CompactMnDnnSpec | None = None) -> None:
        spec = spec or CompactMnDnnSpec()
        super().__init__(spec)
        width = WIDTH[spec.groups]
        # (band, high bin)
        bank = erb_bank(LINEAR_BINS, width - LINEAR_BINS, spec.bins)
        analysis = row_normalised(bank) if spec.bands == "mean" else bank
        # Fixed and known from the sizes, so not part of the weights file.
        self.register_buffer("bank", torch.tensor(analysis.T).float(), persistent=False)
        self.register_buffer("synthesis", torch.tensor(bank).float(), persistent=False)
        self.mix = own_ear_mix()
        size = spec.bins if spec.norm == "before_erb" else width
        self.norm = LevelNorm(size, spec.memory_frames)
        self.layers = nn.ModuleList(GroupedLstm(width, spec.groups) for _ in range(2))
        self.dense = nn.Linear(width, width)

    @torch.no_grad()
    def calibrate(self, magnitude: Tensor) -> None:
        """Start LevelNorm so that on a batch (batch, 2, frame, bin) its outputs are standardised.

        For a network not yet trained, as `MnDnn.calibrate`.
        """
        x, _ = self._normalised(magnitude, None)
        self.norm.standardise(x)

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input of the LSTMs, (batch, frame, width), and the sums of LevelNorm after it."""
        x, sums = self._normalised(magnitude, sums)
        return (self.analyse(x) if self.spec.norm == "before_erb" else x), sums

    def analyse(self, x: Tensor) -> Tensor:
        """Bins (..., bin) to linear bins and ERB bands (..., width)."""
        return torch.cat([x[..., :LINEAR_BINS], x[..., LINEAR_BINS:] @ self.bank], dim=-1)

    def synthesise(self, x: Tensor) -> Tensor:
        """Linear bins and ERB bands (..., width) back to bins (..., bin)."""
        return torch.cat([x[..., :LINEAR_BINS], x[..., LINEAR_BINS:] @ self.synthesis], dim=-1)

    def _normalised(self, magnitude: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compressed, mixed, through GELU and LevelNorm, in bins or in bands as `norm` says."""
        x = mixed(self.mix, self.compressed(magnitude))
        if self.spec.norm == "after_erb":
            x = self.analyse(x)
        normalised: tuple[Tensor, Tensor] = self.norm(gelu(x), sums)
        return normalised

    def _recur(self, x: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        """Two grouped layers; between them, not after the second, the groups are interleaved."""
        hidden, cells = [], []
        for index, layer in enumerate(self.layers):
            if index and self.spec.interleave:
                x = interleave(x, self.spec.groups)
            before = None if state is None else (state[0][index, None], state[1][index, None])
            # (batch, frame, width), (1, batch, width) twice
            x, (h, c) = layer(x, before)
            hidden.append(h)
            cells.append(c)
        return x, (torch.cat(hidden), torch.cat(cells))

    def _mask(self, x: Tensor) -> Tensor:
        x = self.dense(x)
        if self.spec.sigmoid == "before_inverse":
            return self.synthesise(torch.sigmoid(x))
        return torch.sigmoid(self.synthesise(x))


class GroupedLstm(nn.ModuleList):
    """A layer of LSTMs side by side, each with its share of the features; called as `nn.LSTM`."""

    def __init__(self, width: int, groups: int) -> None:
        size = width // groups
        super().__init__(
            open_forget_gates(nn.LSTM(size, size, batch_first=True)) for _ in range(groups)
        )

    def forward(self, x: Tensor, state: LstmState | None = None) -> tuple[Tensor, LstmState]:
        """Outputs (batch, frame, width) and state, each (1, batch, width)."""
        befores: list[LstmState | None] = [None] * len(self)
        if state is not None:
            h, c = (s.chunk(len(self), dim=-1) for s in state)
            befores = [(a.contiguous(), b.contiguous()) for a, b in zip(h, c, strict=True)]
        # (batch, frame, width / groups) each
        parts = x.chunk(len(self), dim=-1)
        results = [lstm(*inputs) for lstm, *inputs in zip(self, parts, befores, strict=True)]
        outputs, afters = zip(*results, strict=True)
        hidden, cells = (torch.cat(values, dim=-1) for values in zip(*afters, strict=True))
        return torch.cat(outputs, dim=-1), (hidden, cells)


def interleave(x: Tensor, groups: int) -> Tensor:
    """Features (..., width) reordered so that every stretch mixes all groups.

    Feature i of group g goes to place i groups + g, so a stretch of width / groups >= groups places
    holds features of every group.
    """
    return x.unflatten(-1, (groups, -1)).transpose(-1, -2).flatten(-2)
