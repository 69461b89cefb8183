"""A float mask network as an ONNX graph of one frame, from magnitudes to the mask.

Inputs: `magnitude` (batch, channel, bin) and the state before, `h` and `c` (layer, batch, width)
and `sums` of LevelNorm (batch, 3), all zero in the beginning; outputs: `mask` (batch, bin) and the
state after, under the same names with `_after`. All float32. Written node by node, in the order of
the networks' code.
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

import numpy as np
from numpy import ndarray
from torch import Tensor, arange, nn

from hasim.networks.compact_mn_dnn import CompactMnDnn, GroupedLstm, interleave
from hasim.networks.cost import LINEAR_BINS
from hasim.networks.level_norm import EPSILON, LevelNorm
from hasim.networks.mask_module import FLOOR
from hasim.networks.mn_dnn import MnDnn
from hasim.networks.sn_dnn import SnDnn

OPSET, IR_VERSION = 17, 8


def onnx_bytes(network: SnDnn | MnDnn | CompactMnDnn) -> bytes:
    """The graph as an .onnx file.

    ImportError without the package `onnx`.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    lstms = _lstms(network)
    width = sum(lstm.hidden_size for lstm in lstms[0])
    x = graph.add("Mul", "magnitude", graph.number(network.gain))
    x = graph.add("Add", x, graph.number(FLOOR))
    x = graph.add("Pow", x, graph.number(network.spec.compression))
    x = _features(graph, network, x)
    x = _recur(graph, network, lstms, graph.add("Unsqueeze", x, graph.whole([0])))
    x = graph.add("Squeeze", x, graph.whole([0]))
    x = _mask(graph, network, x)
    graph.add("Identity", x, output="mask")

    def value(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def state(after: str) -> list[Any]:
        return [
            *(value(f"{name}{after}", len(lstms), "batch", width) for name in "hc"),
            value(f"sums{after}", "batch", 3),
        ]

    channels = 1 if isinstance(network, SnDnn) else 2
    inputs = [value("magnitude", "batch", channels, network.spec.bins), *state("")]
    outputs = [value("mask", "batch", network.spec.bins), *state("_after")]
    made = helper.make_graph(graph.nodes, network.spec.kind, inputs, outputs, graph.tensors)
    model = helper.make_model(
        made,
        producer_name="hasim",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    spec = json.dumps(network.spec.model_dump(mode="json"), sort_keys=True)
    helper.set_model_props(model, {"hasim": spec})
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Graph:
    """Nodes in the order of their computation, and constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """One more node with one output; its name."""
        return self.several(kind, [output or self._name(kind)], *inputs, **attributes)[0]

    def several(self, kind: str, outputs: list[str], *inputs: str, **attributes: Any) -> list[str]:
        """One more node; an output without a name is not used."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def split(self, x: str, parts: int, axis: int) -> list[str]:
        """Equal parts along an axis."""
        names = [f"{self._name('Split')}_{part}" for part in range(parts)]
        return self.several("Split", names, x, axis=axis)

    def constant(self, values: ndarray | Tensor) -> str:
        """Floats."""
        found = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        return self._tensor(found.astype(np.float32))

    def number(self, value: float) -> str:
        """One float."""
        return self._tensor(np.array(value, dtype=np.float32))

    def whole(self, values: list[int]) -> str:
        """Integers: axes, indices."""
        return self._tensor(np.array(values, dtype=np.int64))

    def _tensor(self, values: ndarray) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _name(self, kind: str) -> str:
        return f"{kind.lower()}_{len(self.nodes)}"


def _lstms(network: SnDnn | MnDnn | CompactMnDnn) -> list[list[nn.LSTM]]:
    """(layer, group); a plain LSTM is one group, whose layers are parts of one module."""
    if isinstance(network, CompactMnDnn):
        return [list(cast(GroupedLstm, layer)) for layer in network.layers]  # type: ignore[arg-type]
    return [[network.lstm] for _ in range(network.lstm.num_layers)]


def _features(graph: _Graph, network: SnDnn | MnDnn | CompactMnDnn, x: str) -> str:
    """(batch, feature) of compressed magnitudes (batch, channel, bin)."""
    if isinstance(network, SnDnn):
        x = _level_norm(graph, network.norm, graph.add("Squeeze", x, graph.whole([1])))
        x = graph.add("Sub", x, graph.constant(network.mean))
        return graph.add("Mul", x, graph.constant(network.scale))
    weight = network.mix.weight.reshape(1, 2, 1)
    x = graph.add("Mul", x, graph.constant(weight))
    x = graph.add("ReduceSum", x, graph.whole([1]), keepdims=0)
    x = graph.add("Add", x, graph.constant(network.mix.bias))
    compact = network if isinstance(network, CompactMnDnn) else None
    if compact is not None and compact.spec.norm == "after_erb":
        return _level_norm(graph, network.norm, _gelu(graph, _erb(graph, x, compact.bank)))
    x = _level_norm(graph, network.norm, _gelu(graph, x))
    return x if compact is None else _erb(graph, x, compact.bank)


def _gelu(graph: _Graph, x: str) -> str:
    inner = graph.add("Erf", graph.add("Mul", x, graph.number(math.sqrt(0.5))))
    share = graph.add("Mul", graph.add("Add", inner, graph.number(1.0)), graph.number(0.5))
    return graph.add("Mul", x, share)


def _level_norm(graph: _Graph, norm: LevelNorm, x: str) -> str:
    """One step of the averages, and the features by them."""
    # (batch, 1)
    mean = graph.add("ReduceMean", x, axes=[-1], keepdims=1)
    square = graph.add("ReduceMean", graph.add("Mul", x, x), axes=[-1], keepdims=1)
    faded = graph.split(graph.add("Mul", "sums", graph.number(norm.keep)), 3, axis=1)
    news = (graph.number(1.0), mean, square)
    sums = [graph.add("Add", old, new) for old, new in zip(faded, news, strict=True)]
    graph.add("Concat", *sums, output="sums_after", axis=1)
    mean, square = (graph.add("Div", total, sums[0]) for total in sums[1:])
    variance = graph.add("Sub", square, graph.add("Mul", mean, mean))
    variance = graph.add("Max", variance, graph.number(0.0))
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.number(EPSILON)))
    y = graph.add("Div", graph.add("Sub", x, mean), deviation)
    if norm.weight is None or norm.bias is None:
        return y
    y = graph.add("Mul", y, graph.constant(norm.weight))
    return graph.add("Add", y, graph.constant(norm.bias))


def _erb(graph: _Graph, x: str, matrix: Tensor) -> str:
    """Low bins as they are, the others through a bank."""
    last = graph.whole([-1])
    low = graph.add("Slice", x, graph.whole([0]), graph.whole([LINEAR_BINS]), last)
    high = graph.add("Slice", x, graph.whole([LINEAR_BINS]), graph.whole([2**31]), last)
    high = graph.add("MatMul", high, graph.constant(matrix))
    return graph.add("Concat", low, high, axis=-1)


def _recur(
    graph: _Graph, network: SnDnn | MnDnn | CompactMnDnn, lstms: list[list[nn.LSTM]], x: str
) -> str:
    """All LSTM layers, (1, batch, width) from (1, batch, feature)."""
    befores = {name: graph.split(name, len(lstms), axis=0) for name in "hc"}
    afters: dict[str, list[str]] = {"h": [], "c": []}
    for index, groups in enumerate(lstms):
        if index and isinstance(network, CompactMnDnn) and network.spec.interleave:
            width = sum(lstm.hidden_size for lstm in groups)
            order = interleave(arange(width), len(groups)).tolist()
            x = graph.add("Gather", x, graph.whole(order), axis=-1)
        parts, h, c = (
            graph.split(one, len(groups), axis=-1)
            for one in (x, befores["h"][index], befores["c"][index])
        )
        found = []
        for number, lstm in enumerate(groups):
            layer = index if isinstance(network, SnDnn | MnDnn) else 0
            name = f"lstm_{index}_{number}"
            inputs = (parts[number], *_weights(graph, lstm, layer), "", h[number], c[number])
            outputs = ["", f"{name}_h", f"{name}_c"]
            graph.several("LSTM", outputs, *inputs, hidden_size=lstm.hidden_size)
            found.append(outputs[1:])
        joined = [graph.add("Concat", *names, axis=-1) for names in zip(*found, strict=True)]
        for name, one in zip("hc", joined, strict=True):
            afters[name].append(one)
        x = joined[0]
    for name in "hc":
        graph.add("Concat", *afters[name], output=f"{name}_after", axis=0)
    return x


def _weights(graph: _Graph, lstm: nn.LSTM, layer: int) -> list[str]:
    """W, R and B of an ONNX LSTM, whose gates are input, output, forget, cell."""

    def ordered(name: str) -> ndarray:
        found: ndarray = getattr(lstm, f"{name}_l{layer}").detach().numpy()
        i, f, g, o = np.split(found, 4)
        return np.concatenate([i, o, f, g])[None]

    biases = np.concatenate([ordered("bias_ih"), ordered("bias_hh")], axis=1)
    arrays = (ordered("weight_ih"), ordered("weight_hh"), biases)
    return [graph.constant(values) for values in arrays]


def _linear(graph: _Graph, layer: nn.Linear, x: str) -> str:
    weight, bias = graph.constant(layer.weight), graph.constant(layer.bias)
    return graph.add("Gemm", x, weight, bias, transB=1)


def _mask(graph: _Graph, network: SnDnn | MnDnn | CompactMnDnn, x: str) -> str:
    """Dense layers, sigmoid, inverse ERB: (batch, bin) from (batch, width)."""
    if isinstance(network, SnDnn):
        first, _, second = network.head
        x = _linear(graph, first, x)  # type: ignore[arg-type]
        relu = network.spec.head_activation == "relu"
        x = graph.add("Relu", x) if relu else _gelu(graph, x)
        return graph.add("Sigmoid", _linear(graph, second, x))  # type: ignore[arg-type]
    x = _linear(graph, network.dense, x)
    if isinstance(network, MnDnn):
        return graph.add("Sigmoid", x)
    if network.spec.sigmoid == "before_inverse":
        return _erb(graph, graph.add("Sigmoid", x), network.synthesis)
    return graph.add("Sigmoid", _erb(graph, x, network.synthesis))
