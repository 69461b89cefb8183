"""Conversion of a fake-quantised network into the same network in integers.

It needs the static scheme with integer zero points and known ranges. Weights are the quantiser's
own levels, activations the points' levels minus 2^(bits - 1). Biases are rounded to the steps of
the sums. The two networks differ in halves (to even in floating point, up in integers) and in the
last bits of floating point alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

from hasim.networks.compact_mn_dnn import interleave
from hasim.networks.precision import LSTM_POINTS
from hasim.networks.quantization.fixed_point import (
    SIGMOID_TOP,
    Levels,
    common_scale,
    hyperbolic_tangent,
    logistic,
    scale,
    sigmoid_knots,
    table,
    thresholds,
)
from hasim.networks.quantization.integer import (
    BANK_BITS,
    LOGITS,
    ErbBank,
    IntegerNetwork,
    LstmLayer,
    Matrix,
    Product,
    Sum,
)
from hasim.networks.quantization.network import QuantisedLinear, QuantisedLstm, QuantisedNetwork
from hasim.networks.quantization.quantisers import ActivationQuantiser, WeightQuantiser
from hasim.networks.sn_dnn import SnDnn

NARROW = ("gate_sum", "input_gate", "forget_gate", "cell_gate", "output_gate", "cell_tanh")
"""Points between tables: at most 8 bits, as `hidden` and `dense`; all others may have 16."""


def integer(small: QuantisedNetwork) -> IntegerNetwork:
    """The network in integers.

    ValueError where the network is not static with integer zero points, has no ranges yet, has a
    weight or a point of too many bits, or where sums would not fit 32 bits.
    """
    _check(small)
    network = small.network
    points = {name: _levels(q) for name, q in small.points().items()}
    linears = [
        layer
        for name, layer in small.layers.items()
        if isinstance(layer, QuantisedLinear) and name != "mix"
    ]
    layers, entering = [], points["layer_0.features"]
    for layer in small.layers.values():
        if isinstance(layer, QuantisedLstm):
            for index in range(len(layer.taps)):
                of_layer: dict[str, Levels] = {
                    point: points[f"layer_{layer.first_layer + index}.{point}"]
                    for point in LSTM_POINTS
                }
                layers.append(_lstm_layer(layer, index, entering, of_layer))
                entering = of_layer["hidden"]
    head = head_table = None
    if isinstance(network, SnDnn):
        head = _dense(linears[0], entering, points["dense"])
        head_table, entering = _activation(network, points["dense"])
    knots = sigmoid_knots()
    spec = small.spec.model_dump(mode="json")
    bits = small.quantisation.of_point("mask")
    return IntegerNetwork(
        network=spec,
        features=points["layer_0.features"],
        layers=tuple(layers),
        order=_order(small),
        head=head,
        head_table=head_table,
        last=_dense(linears[-1], entering, LOGITS),
        knots=knots,
        bank=_bank(small),
        sigmoid_first=spec.get("sigmoid") == "before_inverse",
        mask_bits=bits,
        mask_scale=scale(2**bits - 1, 1 / SIGMOID_TOP),
    )


@torch.no_grad()
def features(
    small: QuantisedNetwork, magnitude: Tensor, sums: Tensor | None = None
) -> tuple[ndarray, Tensor]:
    """Levels int16 (batch, frame, feature) of magnitudes (batch, channel, frame, bin), computed in
    floating point, and the sums of LevelNorm for the next call."""
    given = magnitude if small.input is None else small.input(magnitude)
    x, sums = small.network.features(given, sums)
    quantiser = cast(ActivationQuantiser, small.points()["layer_0.features"])
    levels = quantiser.grid().levels(x).numpy() - 2 ** (quantiser.bits - 1)
    return levels.astype(np.int16), sums


def _check(small: QuantisedNetwork) -> None:
    spec = small.quantisation
    if spec.scheme != "static" or spec.zero_point != "integer":
        raise ValueError(
            "only the static scheme with integer zero points has a form in integers "
            f"(got scheme {spec.scheme}, zero_point {spec.zero_point})"
        )
    if not small.ready:
        raise ValueError("the network has no ranges yet: calibrate it first")
    for name, (_, bits) in small.weight_bits().items():
        if bits > 8 and name != "mix.weight":
            raise ValueError(f"{name}: must have at most 8 bits (got {bits})")
    there = small.points()
    wanted = ["layer_0.features", *(["dense"] if isinstance(small.network, SnDnn) else [])]
    lstms = (layer for layer in small.layers.values() if isinstance(layer, QuantisedLstm))
    for layer in lstms:
        for index in range(len(layer.taps)):
            wanted += [f"layer_{layer.first_layer + index}.{point}" for point in LSTM_POINTS]
    for name in wanted:
        most = 8 if name.rpartition(".")[2] in (*NARROW, "hidden", "dense") else 16
        bits = there[name].bits if name in there else 32
        if bits > most:
            raise ValueError(f"{name}: must have at most {most} bits (got {bits})")
    if (bits := spec.of_point("mask")) > 16:
        raise ValueError(f"mask: must have at most 16 bits (got {bits})")


@torch.no_grad()
def _levels(quantiser: nn.Module) -> Levels:
    """The grid of a point, in float64; a range of width zero has none."""
    assert isinstance(quantiser, ActivationQuantiser)
    grid = quantiser.grid()
    low, high = float(quantiser.low.clamp_max(0)), float(quantiser.high.clamp_min(0))
    if not high > low:
        raise ValueError("a range has width zero: was the network calibrated with sound?")
    zero = round(float(grid.zero)) - 2 ** (quantiser.bits - 1)
    return Levels(quantiser.bits, zero, float(grid.step))


@torch.no_grad()
def _matrix(
    weights: Sequence[tuple[Tensor, nn.Module]],
    biases: Sequence[Tensor],
    entering: Levels,
    leaving: Levels,
    name: str,
) -> Matrix:
    """Groups of (output, input) weights with their quantisers, and groups of biases."""
    levels, steps = [], []
    for weight, quantiser in weights:
        assert isinstance(quantiser, WeightQuantiser)
        grid = quantiser.grid()
        levels.append(grid.levels(weight).numpy().astype(np.int64))
        steps.append(np.broadcast_to(grid.step.double().numpy().reshape(-1), len(weight)))
    matrix, step = np.stack(levels), np.stack(steps)
    # Rows of zeros have no step of their own; any step serves for their bias.
    step = np.where(matrix.any(-1), step, leaving.step / entering.step * 2.0**-15)
    bias = np.stack([value.double().numpy() for value in biases])
    whole = np.rint(bias / (step * entering.step)) - entering.zero * matrix.sum(-1)
    most = np.abs(matrix).sum(-1) * -entering.lowest + np.abs(whole)
    if most.max() >= 2**31:
        raise ValueError(
            f"{name}: sums of up to {most.max():.3g} do not fit 32 bits; give its input fewer bits"
        )
    return Matrix(
        weights=matrix.astype(np.int8),
        bias=whole.astype(np.int32),
        scale=scale(step, entering.step, 1 / leaving.step),
        levels=leaving,
    )


def _dense(layer: QuantisedLinear, entering: Levels, leaving: Levels) -> Matrix:
    linear = layer.linear
    assert layer.quantiser is not None
    pairs = [(linear.weight, cast(nn.Module, layer.quantiser))]
    return _matrix(pairs, [linear.bias], entering, leaving, "dense layer")


def _lstm_layer(
    layer: QuantisedLstm, index: int, entering: Levels, points: dict[str, Levels]
) -> LstmLayer:
    lstm = layer.lstm
    values = dict(lstm.named_parameters())
    if isinstance(lstm, nn.LSTM):
        names = [f"{{}}_l{index}"]
    else:
        names = [f"{group}.{{}}_l0" for group in range(len(lstm))]

    def matrix(kind: str, entering: Levels, leaving: Levels) -> Matrix:
        pairs = []
        for name in names:
            own = name.format(f"weight_{kind}")
            pairs.append((values[own], layer.quantisers[own.replace(".", "_")]))
        biases = [values[name.format(f"bias_{kind}")] for name in names]
        where = f"layer_{layer.first_layer + index}.{kind}"
        return _matrix(pairs, biases, entering, leaving, where)

    def step(point: str) -> float:
        return points[point].step

    def product(a: str, b: str, to: str) -> Product:
        return Product(scale(step(a), step(b), 1 / step(to)), points[to])

    def total(a: str, b: str, to: str) -> Sum:
        first, second, shift = common_scale(step(a) / step(to), step(b) / step(to))
        return Sum(np.array([first, second], dtype=np.int32), shift, points[to])

    gates = [points[f"{name}_gate"] for name in ("input", "forget", "cell", "output")]
    curves = (logistic, logistic, hyperbolic_tangent, logistic)
    tables = [
        table(curve, points["gate_sum"], gate) for curve, gate in zip(curves, gates, strict=True)
    ]
    if points["cell"].bits <= 8:
        tanh = table(hyperbolic_tangent, points["cell"], points["cell_tanh"])
    else:
        tanh = thresholds(points["cell"], points["cell_tanh"])
    return LstmLayer(
        input=matrix("ih", entering, points["input_product"]),
        recurrent=matrix("hh", points["hidden"], points["recurrent_product"]),
        gate_sum=total("input_product", "recurrent_product", "gate_sum"),
        gate_tables=np.stack(tables),
        gates=(gates[0], gates[1], gates[2], gates[3]),
        kept=product("forget_gate", "cell", "forget_gate_times_cell"),
        written=product("input_gate", "cell_gate", "input_gate_times_cell_gate"),
        cell=total("forget_gate_times_cell", "input_gate_times_cell_gate", "cell"),
        tanh=tanh,
        cell_tanh=points["cell_tanh"],
        hidden=product("output_gate", "cell_tanh", "hidden"),
    )


def _activation(network: SnDnn, dense: Levels) -> tuple[ndarray, Levels]:
    """ReLU or GELU of the levels between two dense layers: int16, zero at 0, and their grid."""
    x = dense.numbers(np.arange(dense.lowest, dense.highest + 1))
    if network.spec.head_activation == "relu":
        whole = np.maximum(dense.away(np.arange(dense.lowest, dense.highest + 1)), 0)
        return whole.astype(np.int16), Levels(dense.bits + 1, 0, dense.step)
    y = np.array([value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x])
    step = float(np.abs(y).max()) / 32767
    return np.rint(y / step).astype(np.int16), Levels(16, 0, step)


def _order(small: QuantisedNetwork) -> ndarray | None:
    spec = small.spec.model_dump()
    if not spec.get("interleave") or spec["groups"] == 1:
        return None
    width = cast(nn.Linear, small.network.dense.linear).in_features  # type: ignore[union-attr]
    return interleave(torch.arange(width), spec["groups"]).numpy().astype(np.int16)


def _bank(small: QuantisedNetwork) -> ErbBank | None:
    """Lower band of every bin and that band's share, from the columns of the float bank."""
    if small.spec.kind != "compact_mn_dnn":
        return None
    # (band, high bin)
    synthesis = cast(Tensor, small.network.synthesis).double().numpy()
    linear = small.spec.bins - synthesis.shape[1]
    width = linear + len(synthesis)
    columns = np.zeros((width, small.spec.bins))
    columns[:linear, :linear] = np.eye(linear)
    columns[linear:, linear:] = synthesis
    lower = np.minimum((columns > 0).argmax(0), width - 2)
    share = np.rint(columns[lower, np.arange(small.spec.bins)] * 2**BANK_BITS)
    return ErbBank(lower.astype(np.int16), share.astype(np.int16))
