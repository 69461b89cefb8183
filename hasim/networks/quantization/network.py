"""Fake quantisation of a mask network: its own arithmetic in floating point, with rounding.

Layers with weight matrices (LSTM, grouped LSTM, dense, channel mix) are replaced by layers that
round their weights and, as the scheme says, intermediate results. Compression, GELU, normalisation
and ERB stay in floating point. Magnitudes are (batch, channel, frame, bin), masks (batch, frame,
bin).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec, GroupedLstm
from hasim.networks.mask_module import LstmState, State
from hasim.networks.mn_dnn import MnDnn, MnDnnSpec
from hasim.networks.precision import DYNAMIC_POINTS, LSTM_POINTS, POINTS, QuantisationSpec
from hasim.networks.quantization.quantisers import (
    ActivationQuantiser,
    FixedQuantiser,
    Grid,
    Quantiser,
    RuntimeQuantiser,
    Tap,
    WeightQuantiser,
    tap,
)
from hasim.networks.sn_dnn import SnDnn, SnDnnSpec


def quantised(
    network: SnDnn | MnDnn | CompactMnDnn, quantisation: QuantisationSpec
) -> QuantisedNetwork:
    """A copy of a float network that rounds as `quantisation` says.

    Weight ranges come from the weights. Static ranges of activations are still to be found, in the
    first training passes or by `QuantisedNetwork.observe`; dynamic ones are found in every frame.
    ValueError where `quantisation.bits` names nothing of this network.
    """
    return QuantisedNetwork(network, quantisation)


class QuantisedNetwork(nn.Module):
    """Called as the float network; its parameters are that network's and the ranges."""

    def __init__(
        self, network: SnDnn | MnDnn | CompactMnDnn, quantisation: QuantisationSpec
    ) -> None:
        super().__init__()
        self.spec: SnDnnSpec | MnDnnSpec | CompactMnDnnSpec = network.spec
        self.quantisation = quantisation
        self.network = copy.deepcopy(network)
        self.layers = _replace(self.network, quantisation)
        self._check_names()
        input_bits, mask_bits = (quantisation.of_point(name) for name in ("input", "mask"))
        # Each channel of each frame has its own exponent, as after a fixed-point FFT.
        self.input = RuntimeQuantiser(input_bits) if input_bits < 32 else None
        self.mask = FixedQuantiser(mask_bits) if mask_bits < 32 else None
        self.train(network.training)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Masks (batch, frame, bin) from magnitudes (batch, channel, frame, bin)."""
        mask = self._mask(self.network(self._input(magnitude)))
        if self.training:
            self._end_pass()
        return mask

    def step(self, magnitude: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Mask (batch, bin) of one frame (batch, channel, bin), and the state for the next."""
        mask, after = self.network.step(self._input(magnitude), state)
        return self._mask(mask), after

    @torch.no_grad()
    def observe(self, magnitude: Tensor) -> None:
        """Set all static ranges to those of a batch, with activations in floating point."""
        training = self.training
        self.train()
        for quantiser in self._observers():
            quantiser._passes = 0
        self.network(self._input(magnitude))
        self._end_pass()
        for quantiser in self._observers():
            quantiser.settle()
        self.train(training)

    @property
    def ready(self) -> bool:
        """All ranges are known. Activations without a range are not rounded."""
        return all(quantiser.ready for quantiser in self._observers())

    def weight_bits(self) -> dict[str, tuple[int, int]]:
        """Number of weights and bits of each weight matrix, by its name in the float network."""
        found = {}
        for name, layer in self.layers.items():
            for own, weight in layer.matrices():
                full = f"{name}.{own}"
                found[full] = (weight.numel(), self.quantisation.of_weights(full))
        return found

    def weight_grids(self) -> dict[str, Grid]:
        """Grid of each rounded weight matrix, by its name in `state_dict`."""
        return {
            f"network.{name}.{own}": grid
            for name, layer in self.layers.items()
            for own, grid in layer.weight_grids()
        }

    def points(self) -> dict[str, Quantiser]:
        """Quantisers of activations by point, with the LSTM layer in front: "layer_0.cell"."""
        return {name: q for layer in self.layers.values() for name, q in layer.points()}

    def _check_names(self) -> None:
        """Keys of `quantisation.bits` must name something that is rounded here."""
        points = DYNAMIC_POINTS if self.quantisation.scheme == "dynamic" else POINTS
        within = [point for point in points if point in ("features", *LSTM_POINTS)]
        layers = [
            f"layer_{layer.first_layer + index}"
            for layer in self.layers.values()
            if isinstance(layer, QuantisedLstm)
            for index in range(len(layer.taps))
        ]
        known = {*points, *(f"{layer}.{point}" for layer in layers for point in within)}
        for name in self.quantisation.bits:
            if name not in known and name not in self.weight_bits():
                raise ValueError(
                    f"bits: {name} is neither a weight matrix nor a point of {self.spec.kind}; "
                    f"there are {', '.join([*self.weight_bits(), *points])}, and points of a layer "
                    f"as {layers[0]}.{within[0]}"
                )

    def _input(self, magnitude: Tensor) -> Tensor:
        return magnitude if self.input is None else self.input(magnitude)

    def _mask(self, mask: Tensor) -> Tensor:
        return mask if self.mask is None else self.mask(mask)

    def _observers(self) -> Iterator[ActivationQuantiser]:
        return (q for q in self.modules() if isinstance(q, ActivationQuantiser))

    def _end_pass(self) -> None:
        for quantiser in self._observers():
            quantiser.end_pass()


class QuantisedLinear(nn.Module):
    """A dense layer with rounded weights and its bias in the accumulator; input or output are
    rounded as the scheme says."""

    def __init__(self, linear: nn.Linear, name: str, spec: QuantisationSpec, last: bool) -> None:
        super().__init__()
        self.linear = linear
        self.quantiser = _weight_quantiser(linear.weight, f"{name}.weight", spec)
        self.entering: RuntimeQuantiser | None = None
        self.leaving: ActivationQuantiser | None = None
        bits = spec.of_point("dense")
        if bits < 32 and name != "mix":
            if spec.scheme == "dynamic":
                self.entering = _runtime(bits, spec)
            # The sums of the last layer go straight into the sigmoid.
            elif not last:
                self.leaving = _observer(bits, spec)

    @property
    def weight(self) -> Tensor:
        """Rounded, (output, input)."""
        weight = self.linear.weight
        return weight if self.quantiser is None else self.quantiser(weight)

    @property
    def bias(self) -> Tensor:
        """(output,), not rounded."""
        return self.linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., output) from (..., input)."""
        x = tap(self.entering)(x)
        x = nn.functional.linear(x, self.weight, self.bias)
        return tap(self.leaving, x.shape[-1])(x)

    def matrices(self) -> Iterator[tuple[str, Tensor]]:
        """Weight matrices by their names in this layer."""
        yield "weight", self.linear.weight

    def weight_grids(self) -> Iterator[tuple[str, Grid]]:
        """Levels of rounded weight matrices by their names in `state_dict`."""
        if self.quantiser is not None:
            yield "linear.weight", self.quantiser.grid()

    def points(self) -> Iterator[tuple[str, Quantiser]]:
        """Quantisers of activations by name."""
        quantiser = self.entering or self.leaving
        if quantiser is not None:
            yield "dense", quantiser


class QuantisedLstm(nn.Module):
    """LSTM layers, grouped or not, with rounded weights and, by the scheme, rounded activations.

    Where only weights are rounded, torch's LSTM runs with other weights. Otherwise frames are
    computed one by one, except for the input products.
    """

    def __init__(
        self, lstm: nn.LSTM | GroupedLstm, name: str, spec: QuantisationSpec, first_layer: int
    ) -> None:
        super().__init__()
        self.lstm = lstm
        self.quantisers = nn.ModuleDict()
        for own, weight in self.matrices():
            quantiser = _weight_quantiser(weight, f"{name}.{own}", spec)
            if quantiser is not None:
                self.quantisers[_key(own)] = quantiser
        layers = lstm.num_layers if isinstance(lstm, nn.LSTM) else 1
        self.taps = nn.ModuleList(
            _quantisers(f"layer_{first_layer + index}", spec, first=first_layer + index == 0)
            for index in range(layers)
        )
        self.first_layer = first_layer

    def forward(self, x: Tensor, state: LstmState | None = None) -> tuple[Tensor, LstmState]:
        """As `nn.LSTM`: (batch, frame, input) -> (batch, frame, width), state (layer, batch,
        width)."""
        weights = {
            own: self.quantisers[_key(own)](value) if _key(own) in self.quantisers else value
            for own, value in self.lstm.named_parameters()
        }
        if not any(len(taps) for taps in self._taps()):
            result: tuple[Tensor, LstmState] = functional_call(self.lstm, weights, (x, state))
            return result
        hidden, cells = [], []
        for index, taps in enumerate(self._taps()):
            before = None if state is None else (state[0][index], state[1][index])
            x, h, c = _layer(x, before, self._matrices_of(weights, index), taps)
            hidden.append(h)
            cells.append(c)
        return x, (torch.stack(hidden), torch.stack(cells))

    def matrices(self) -> Iterator[tuple[str, Tensor]]:
        """Weight matrices by their names in this layer."""
        return ((own, value) for own, value in self.lstm.named_parameters() if value.ndim == 2)

    def weight_grids(self) -> Iterator[tuple[str, Grid]]:
        """Levels of rounded weight matrices by their names in `state_dict`."""
        for own, _ in self.matrices():
            if _key(own) in self.quantisers:
                yield f"lstm.{own}", cast(WeightQuantiser, self.quantisers[_key(own)]).grid()

    def points(self) -> Iterator[tuple[str, Quantiser]]:
        """Quantisers of activations by layer and name."""
        for index, taps in enumerate(self._taps()):
            for point in taps:
                yield f"layer_{self.first_layer + index}.{point}", taps[point]  # type: ignore[misc]

    def _taps(self) -> list[nn.ModuleDict]:
        return cast(list[nn.ModuleDict], list(self.taps))

    def _matrices_of(self, weights: dict[str, Tensor], layer: int) -> tuple[Tensor, ...]:
        """Input and recurrent weights (group, 4 hidden, input), input and recurrent biases (group,
        1, 4 hidden)."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        if isinstance(self.lstm, nn.LSTM):
            found = [weights[f"{kind}_l{layer}"][None] for kind in kinds]
        else:
            groups = range(len(self.lstm))
            found = [torch.stack([weights[f"{g}.{kind}_l0"] for g in groups]) for kind in kinds]
        return (*found[:2], *(bias[:, None] for bias in found[2:]))


def _layer(
    x: Tensor, before: LstmState | None, matrices: tuple[Tensor, ...], quantisers: nn.ModuleDict
) -> tuple[Tensor, Tensor, Tensor]:
    """One LSTM layer of G groups: outputs (batch, frame, width), last h and c (batch, width).

    Inside, arrays are (group, batch, ...).
    """
    w_input, w_recurrent, b_input, b_recurrent = matrices
    groups, gates = len(w_input), w_input.shape[1]
    width = groups * gates // 4

    def at(point: str, numbers: int = width) -> Tap:
        quantiser = quantisers[point] if point in quantisers else None  # noqa: SIM401
        return tap(cast(Quantiser | None, quantiser), numbers)

    if "features" in quantisers:
        x = at("features", x.shape[-1])(x)
    batch, frames, _ = x.shape
    # (group, batch, frame, input)
    split = x.unflatten(-1, (groups, -1)).permute(2, 0, 1, 3)
    product = torch.baddbmm(b_input, split.flatten(1, 2), w_input.mT)
    product = at("input_product", 4 * width)(product.unflatten(1, (batch, frames)))
    if before is None:
        h = c = x.new_zeros(groups, batch, gates // 4)
    else:
        h, c = (s.unflatten(-1, (groups, -1)).transpose(0, 1) for s in before)
    # The same for all frames, so looked up once.
    recurrent, gate_sum = at("recurrent_product", 4 * width), at("gate_sum", 4 * width)
    input_gate, forget_gate, cell_gate, output_gate = (
        at(f"{name}_gate") for name in ("input", "forget", "cell", "output")
    )
    kept, written = at("forget_gate_times_cell"), at("input_gate_times_cell_gate")
    cell, cell_tanh = at("cell"), at("cell_tanh")
    entering, hidden = at("nothing"), at("hidden")
    if "hidden" in quantisers and isinstance(quantisers["hidden"], RuntimeQuantiser):
        entering, hidden = hidden, entering
    w_recurrent = w_recurrent.mT
    outputs = []
    for own in product.unbind(2):
        total = gate_sum(own + recurrent(torch.baddbmm(b_recurrent, entering(h), w_recurrent)))
        i, f, g, o = total.chunk(4, dim=-1)
        i, f = input_gate(torch.sigmoid(i)), forget_gate(torch.sigmoid(f))
        g, o = cell_gate(torch.tanh(g)), output_gate(torch.sigmoid(o))
        c = cell(kept(f * c) + written(i * g))
        h = hidden(o * cell_tanh(torch.tanh(c)))
        outputs.append(h)
    joined = torch.stack(outputs, dim=2).permute(1, 2, 0, 3).flatten(2)
    return joined, h.transpose(0, 1).flatten(1), c.transpose(0, 1).flatten(1)


def _quantisers(layer: str, spec: QuantisationSpec, first: bool) -> nn.ModuleDict:
    """Quantisers of a layer. The dynamic scheme rounds the inputs of the two products, the static
    one every result, and the input of the first layer."""
    taps = nn.ModuleDict()
    if spec.scheme == "dynamic":
        # The input of the recurrent product is (group, batch, hidden).
        for point, dims in (("features", (-1,)), ("hidden", (0, -1))):
            if (bits := spec.of_point(point, layer)) < 32:
                taps[point] = _runtime(bits, spec, dims)
        return taps
    for point in (("features",) if first else ()) + LSTM_POINTS:
        if (bits := spec.of_point(point, layer)) < 32:
            taps[point] = _observer(bits, spec)
    return taps


def _replace(
    network: nn.Module, spec: QuantisationSpec
) -> dict[str, QuantisedLstm | QuantisedLinear]:
    """Replace the layers that have weights by quantised ones; returns these by name."""
    found: dict[str, QuantisedLstm | QuantisedLinear] = {}
    linears = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    for name, layer in list(network.named_modules()):
        new: QuantisedLstm | QuantisedLinear
        if isinstance(layer, nn.Linear):
            new = QuantisedLinear(layer, name, spec, last=name == linears[-1])
        elif isinstance(layer, GroupedLstm):
            new = QuantisedLstm(layer, name, spec, first_layer=int(name.rpartition(".")[2]))
        elif isinstance(layer, nn.LSTM) and name.count(".") == 0:
            new = QuantisedLstm(layer, name, spec, first_layer=0)
        else:
            continue
        network.set_submodule(name, new)
        found[name] = new
    return found


def _weight_quantiser(weight: Tensor, name: str, spec: QuantisationSpec) -> WeightQuantiser | None:
    bits = spec.of_weights(name)
    if bits == 32:
        return None
    return WeightQuantiser(
        weight,
        bits,
        per=spec.ranges,
        learn=spec.learn_ranges,
        gradient_scale=spec.gradient_scale,
    )


def _observer(bits: int, spec: QuantisationSpec) -> ActivationQuantiser:
    return ActivationQuantiser(
        bits,
        zero_point=spec.zero_point,
        warm_up_steps=spec.warm_up_steps,
        momentum=spec.momentum,
        learn=spec.learn_ranges,
        gradient_scale=spec.gradient_scale,
    )


def _runtime(bits: int, spec: QuantisationSpec, dims: tuple[int, ...] = (-1,)) -> RuntimeQuantiser:
    return RuntimeQuantiser(bits, dims if spec.runtime_span == "frame" else None)


def _key(name: str) -> str:
    """A parameter's name as a name that a module may have."""
    return name.replace(".", "_")
