"""A mask network in integers alone: int8 weights and activations, int32 sums, int16 cell state.

Input: the features of the first LSTM layer as levels of that point's grid (int16), (batch, frame,
feature). Output: masks (uint16; the top level is 1), (batch, frame, bin). The stages before
(compression, mix, GELU, LevelNorm, ERB analysis) stay in floating point.

Results are the same to the last bit on every machine, in every batch, step by step or at once: all
rounding follows the integer rules of `fixed_point`. Matrix products run in float64, which is exact
here: every product and every partial sum is an integer below 2^31 (checked when a network is made),
and float64 holds all integers up to 2^53, so neither the order of a sum nor a fused multiplication
can change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.networks.quantization.fixed_point import Levels, Scale, shifted, sigmoid

# Fractional bits of a weight of the inverse ERB bank.
BANK_BITS = 14
# Input of the last sigmoid: up to 2048 in steps of 2^-16.
LOGITS = Levels(28, 0, 2.0**-16)

# h int8, c int16: (layer, batch, width)
State = tuple[ndarray, ndarray]


@dataclass(frozen=True)
class IntegerNetwork:
    """Layers in their order; `network` is the Spec of the float network."""

    network: dict[str, Any]
    features: Levels
    layers: tuple[LstmLayer, ...]
    # int16 (width,): the output of a layer that is each input of the next one
    order: ndarray | None
    # a dense layer before the last
    head: Matrix | None
    # int16 (2^bits,): its activation, zero at 0
    head_table: ndarray | None
    # to logits
    last: Matrix
    # uint16: the sigmoid at 0, 1/32, ... 16
    knots: ndarray
    bank: ErbBank | None
    # before the inverse ERB bank
    sigmoid_first: bool
    mask_bits: int
    mask_scale: Scale

    def __call__(self, features: ndarray, state: State | None = None) -> tuple[ndarray, State]:
        """Masks uint16 (batch, frame, bin) of features (batch, frame, feature), and the state.

        ValueError for features that are not levels of their grid.
        """
        low, high = self.features.lowest, self.features.highest
        if features.dtype.kind not in "iu" or features.ndim != 3:
            raise ValueError(
                "features must be integers (batch, frame, feature) "
                f"(got {features.dtype} {features.shape})"
            )
        if features.size and not (features.min() >= low and features.max() <= high):
            raise ValueError(
                f"features must be from {low} to {high} (got {features.min()} to {features.max()})"
            )
        x: ndarray = features
        hidden, cells = [], []
        for index, layer in enumerate(self.layers):
            if index and self.order is not None:
                x = x[..., self.order]
            before = None if state is None else (state[0][index], state[1][index])
            x, h, c = layer(x, before)
            hidden.append(h)
            cells.append(c)
        return self._masks(x), (np.stack(hidden), np.stack(cells))

    def step(self, features: ndarray, state: State | None = None) -> tuple[ndarray, State]:
        """Mask (batch, bin) of one frame (batch, feature), and the state for the next."""
        masks, state = self(features[:, None], state)
        return masks[:, 0], state

    def _masks(self, x: ndarray) -> ndarray:
        """Dense layers, sigmoid, inverse ERB: (batch, frame, bin) from (batch, frame, hidden)."""
        if self.head is not None and self.head_table is not None:
            x = self.head_table[self.head.all(x) - self.head.levels.lowest]
        x = self.last.all(x)
        if self.bank is None:
            x = sigmoid(x, self.knots)
        elif self.sigmoid_first:
            x = self.bank(sigmoid(x, self.knots))
        else:
            x = sigmoid(self.bank(x), self.knots)
        return self.mask_scale(x).astype(np.uint16)


@dataclass(frozen=True)
class Matrix:
    """Weights, the scale of their sums of products, and the levels of the result."""

    # int8 (group, output, input)
    weights: ndarray
    # int32 (group, output), in steps of the sums; has the input's zero in it
    bias: ndarray
    # (group, output)
    scale: Scale
    levels: Levels

    def __call__(self, x: ndarray) -> ndarray:
        """Levels (group, row, output) of levels (group, row, input)."""
        sums = np.matmul(x.astype(np.float64), np.swapaxes(self.weights, 1, 2).astype(np.float64))
        return self.levels.clip(self.scale.rows(sums.astype(np.int64) + self.bias[:, None]))

    def all(self, x: ndarray) -> ndarray:
        """Levels (..., group x output) of levels (..., group x input)."""
        groups, _, inputs = self.weights.shape
        rows = x.reshape(-1, groups, inputs).swapaxes(0, 1)
        return self(rows).swapaxes(0, 1).reshape(*x.shape[:-1], -1)


@dataclass(frozen=True)
class Sum:
    """Levels of a sum of two numbers of steps, each with its multiplier, rounded once."""

    # int32 (2,)
    multipliers: ndarray
    shift: int
    levels: Levels

    def __call__(self, a: ndarray, b: ndarray) -> ndarray:
        """Levels of a plus b."""
        first, second = self.multipliers.astype(np.int64)
        return self.levels.clip(shifted(a * first + b * second, self.shift))


@dataclass(frozen=True)
class Product:
    """Levels of a product of two numbers of steps."""

    scale: Scale
    levels: Levels

    def __call__(self, a: ndarray, b: ndarray) -> ndarray:
        """Levels of a times b."""
        return self.levels.clip(self.scale(a * b))


@dataclass(frozen=True)
class LstmLayer:
    """An LSTM layer of one or more groups; every value is a level of the point of its name."""

    input: Matrix
    recurrent: Matrix
    gate_sum: Sum
    # int8 (4, 2^bits): sigmoid, sigmoid, tanh, sigmoid of the gate sum
    gate_tables: ndarray
    # input, forget, cell, output
    gates: tuple[Levels, Levels, Levels, Levels]
    # forget gate and old cell
    kept: Product
    # input gate and cell gate
    written: Product
    cell: Sum
    # int8 (2^bits,): a table; or int16: thresholds
    tanh: ndarray
    cell_tanh: Levels
    hidden: Product

    def __call__(
        self, x: ndarray, before: tuple[ndarray, ndarray] | None
    ) -> tuple[ndarray, ndarray, ndarray]:
        """Outputs (batch, frame, width), last h and c (batch, width). Inside, arrays are (group,
        batch, ...)."""
        batch, frames, _ = x.shape
        groups, size = len(self.input.weights), self.recurrent.weights.shape[-1]
        own = self.input.levels.away(self.input.all(x))
        own = own.reshape(batch, frames, groups, 4 * size).transpose(1, 2, 0, 3)
        if before is None:
            h = np.full((groups, batch, size), self.hidden.levels.zero)
            c = np.full((groups, batch, size), self.cell.levels.zero)
        else:
            h, c = (s.reshape(batch, groups, size).swapaxes(0, 1) for s in before)
        outputs = np.empty((frames, groups, batch, size), dtype=np.int8)
        for frame in range(frames):
            past = self.recurrent.levels.away(self.recurrent(h))
            total = self.gate_sum(own[frame], past) - self.gate_sum.levels.lowest
            i, f, g, o = (
                grid.away(table[part])
                for grid, table, part in zip(
                    self.gates, self.gate_tables, np.split(total, 4, axis=-1), strict=True
                )
            )
            kept = self.kept.levels.away(self.kept(f, self.cell.levels.away(c)))
            written = self.written.levels.away(self.written(i, g))
            c = self.cell(kept, written)
            h = self.hidden(o, self.cell_tanh.away(self._tanh(c)))
            outputs[frame] = h
        joined = outputs.transpose(2, 0, 1, 3).reshape(batch, frames, groups * size)
        last_h, last_c = (s.swapaxes(0, 1).reshape(batch, groups * size) for s in (h, c))
        return joined, last_h.astype(np.int8), last_c.astype(np.int16)

    def _tanh(self, c: ndarray) -> ndarray:
        if self.tanh.dtype == np.int8:
            found: ndarray = self.tanh[c - self.cell.levels.lowest]
            return found
        return self.cell_tanh.lowest + np.searchsorted(self.tanh, c, side="right")


@dataclass(frozen=True)
class ErbBank:
    """The inverse ERB bank: every bin lies on a band or between two neighbours."""

    # int16 (bin,): the lower of the two bands
    lower: ndarray
    # int16 (bin,): its share, in 2^-14; the band above has the rest
    weight: ndarray

    def __call__(self, bands: ndarray) -> ndarray:
        """Bins (..., bin) from bands (..., width)."""
        share = self.weight.astype(np.int64)
        above = bands[..., self.lower + 1]
        return shifted(
            bands[..., self.lower] * share + above * ((1 << BANK_BITS) - share), BANK_BITS
        )
