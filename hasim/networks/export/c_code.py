"""An integer network as C99: its numbers, code that steps it, and golden vectors.

The code is the same for all networks and is in `c/`; sizes and numbers are written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import numpy as np
from numpy import ndarray

from hasim.networks.quantization.fixed_point import Levels, Scale
from hasim.networks.quantization.integer import IntegerNetwork, LstmLayer, Matrix, Product, Sum

CODE = ("network.h", "network.c", "layout.h", "main.c")


def c_files(network: IntegerNetwork, features: ndarray) -> dict[str, str]:
    """Text by file name; golden vectors are the masks of the features (frame, feature)."""
    folder = resources.files("hasim.networks.export") / "c"
    files = {name: (folder / name).read_text(encoding="utf-8") for name in CODE}
    return files | {
        "parameters.h": _sizes(network),
        "parameters.c": _numbers(network),
        "golden.h": _golden(network, features),
        "README.md": _readme(network, len(features)),
    }


def _sizes(network: IntegerNetwork) -> str:
    first, grid = network.layers[0], network.features
    groups, _, inputs = first.input.weights.shape
    width = _width(network)
    outputs = network.last.weights.shape[1]
    bins = outputs if network.bank is None else len(network.bank.lower)
    head = 0 if network.head is None else network.head.weights.shape[1]
    values = {
        "FEATURES": groups * inputs,
        "BINS": bins,
        "LAYERS": len(network.layers),
        "WIDTH": width,
        "HEAD": head,
        "BANDS": 0 if network.bank is None else outputs,
        "SIGMOID_FIRST": int(network.sigmoid_first),
        "INTERLEAVED": int(network.order is not None),
        "WIDEST": max(groups * inputs, width, head, outputs),
        "MASK_TOP": 2**network.mask_bits - 1,
        "FEATURE_LOWEST": grid.lowest,
        "FEATURE_HIGHEST": grid.highest,
        "FEATURE_ZERO": grid.zero,
        "FEATURE_STEP": repr(grid.step),
    }
    lines = [
        f"#define HASIM_{name} {f'({value})' if str(value).startswith('-') else value}"
        for name, value in values.items()
    ]
    return "\n".join(
        [
            f"/* Sizes of this {network.network['kind']}. */",
            "",
            "#ifndef HASIM_PARAMETERS_H",
            "#define HASIM_PARAMETERS_H",
            "",
            *lines,
            "",
            "#endif",
            "",
        ]
    )


def _numbers(network: IntegerNetwork) -> str:
    parts = ['#include "layout.h"', "", "#include <stddef.h>", ""]
    layers = []
    for number, layer in enumerate(network.layers):
        parts += _layer_arrays(f"layer_{number}", layer)
        layers.append(_layer(f"layer_{number}", layer))
    parts.append("const hasim_layer hasim_layers[HASIM_LAYERS] = {")
    parts += [*layers, "};", ""]
    parts += _matrix_arrays("last", network.last)
    parts += [f"const hasim_matrix hasim_last = {_matrix('last', network.last)};", ""]
    parts.append(_array("uint16_t", "hasim_knots", network.knots, static=False))
    mask = Levels(network.mask_bits, 0, 1 / (2**network.mask_bits - 1))
    parts += [f"const hasim_product hasim_mask = {_product(Product(network.mask_scale, mask))};"]
    if network.order is not None:
        parts.append(_array("int16_t", "hasim_order", network.order, static=False))
    if network.head is not None and network.head_table is not None:
        parts += _matrix_arrays("head", network.head)
        parts.append(f"const hasim_matrix hasim_head = {_matrix('head', network.head)};")
        parts.append(_array("int16_t", "hasim_head_table", network.head_table, static=False))
    if network.bank is not None:
        parts.append(_array("int16_t", "hasim_lower", network.bank.lower, static=False))
        parts.append(_array("int16_t", "hasim_share", network.bank.weight, static=False))
    return "\n".join([*parts, ""])


def _layer_arrays(name: str, layer: LstmLayer) -> Iterator[str]:
    yield from _matrix_arrays(f"{name}_input", layer.input)
    yield from _matrix_arrays(f"{name}_recurrent", layer.recurrent)
    yield _array("int8_t", f"{name}_gate_tables", layer.gate_tables)
    yield _array(f"{layer.tanh.dtype}_t", f"{name}_tanh", layer.tanh)


def _layer(name: str, layer: LstmLayer) -> str:
    is_table = layer.tanh.dtype == np.int8
    gates = ", ".join(_levels(grid) for grid in layer.gates)
    fields = {
        "input": _matrix(f"{name}_input", layer.input),
        "recurrent": _matrix(f"{name}_recurrent", layer.recurrent),
        "gate_sum": _sum(layer.gate_sum),
        "gate_tables": f"{name}_gate_tables",
        "gates": f"{{{gates}}}",
        "kept": _product(layer.kept),
        "written": _product(layer.written),
        "cell": _sum(layer.cell),
        "tanh_table": f"{name}_tanh" if is_table else "NULL",
        "tanh_thresholds": "NULL" if is_table else f"{name}_tanh",
        "tanh_thresholds_count": 0 if is_table else len(layer.tanh),
        "cell_tanh": _levels(layer.cell_tanh),
        "hidden": _product(layer.hidden),
    }
    lines = [f"        .{field} = {value}," for field, value in fields.items()]
    return "\n".join(["    {", *lines, "    },"])


def _matrix_arrays(name: str, matrix: Matrix) -> Iterator[str]:
    if _is_narrow(matrix):
        yield _array("uint8_t", f"{name}_packed", _packed(matrix.weights))
    else:
        yield _array("int8_t", f"{name}_weights", matrix.weights)
    yield _array("int32_t", f"{name}_bias", matrix.bias)
    yield _array("int32_t", f"{name}_multiplier", matrix.scale.multiplier)
    yield _array("uint8_t", f"{name}_shift", matrix.scale.shift)


def _matrix(name: str, matrix: Matrix) -> str:
    sizes = ", ".join(str(size) for size in matrix.weights.shape)
    weights = f"NULL, {name}_packed" if _is_narrow(matrix) else f"{name}_weights, NULL"
    arrays = ", ".join(f"{name}_{part}" for part in ("bias", "multiplier", "shift"))
    return f"{{{sizes}, {weights}, {arrays}, {_levels(matrix.levels)}}}"


def _is_narrow(matrix: Matrix) -> bool:
    """Whether all weights have at most 4 bits."""
    return bool(matrix.weights.min() >= -8 and matrix.weights.max() <= 7)


def _packed(weights: ndarray) -> ndarray:
    """Two weights to a byte, plus 8, the first one in the low half."""
    flat = (weights.ravel().astype(np.int16) + 8).astype(np.uint8)
    flat = np.append(flat, np.zeros(flat.size % 2, dtype=np.uint8))
    return flat[::2] | flat[1::2] << 4


def _levels(grid: Levels) -> str:
    return f"{{{grid.lowest}, {grid.highest}, {grid.zero}}}"


def _sum(total: Sum) -> str:
    first, second = total.multipliers
    return f"{{{first}, {second}, {total.shift}, {_levels(total.levels)}}}"


def _product(product: Product) -> str:
    scale: Scale = product.scale
    return f"{{{int(scale.multiplier)}, {int(scale.shift)}, {_levels(product.levels)}}}"


def _golden(network: IntegerNetwork, features: ndarray) -> str:
    masks, (hidden, cell) = network(features[None])
    arrays = (
        ("int16_t", "golden_features[GOLDEN_FRAMES][HASIM_FEATURES]", features),
        ("uint16_t", "golden_masks[GOLDEN_FRAMES][HASIM_BINS]", masks[0]),
        ("int8_t", "golden_hidden[HASIM_LAYERS][HASIM_WIDTH]", hidden[:, 0]),
        ("int16_t", "golden_cell[HASIM_LAYERS][HASIM_WIDTH]", cell[:, 0]),
    )
    parts = [
        "/* Features of GOLDEN_FRAMES frames, their masks, and the last state. */",
        "",
        "#ifndef HASIM_GOLDEN_H",
        "#define HASIM_GOLDEN_H",
        "",
        '#include "network.h"',
        "",
        f"#define GOLDEN_FRAMES {len(features)}",
        "",
    ]
    for kind, name, values in arrays:
        rows = [f"    {{{_wrapped(row)}}}," for row in values]
        parts += [f"static const {kind} {name} = {{", *rows, "};", ""]
    return "\n".join([*parts, "#endif", ""])


def _array(kind: str, name: str, values: ndarray, static: bool = True) -> str:
    """A flat array in the order of the Python array."""
    flat = values.ravel()
    head = f"{'static ' if static else ''}const {kind} {name}[{flat.size}]"
    return f"{head} = {{\n    {_wrapped(flat)}\n}};\n"


def _wrapped(values: ndarray) -> str:
    words = [str(value) for value in values.tolist()]
    lines = [", ".join(words[start : start + 20]) for start in range(0, len(words), 20)]
    return ",\n    ".join(lines)


def _width(network: IntegerNetwork) -> int:
    groups, _, size = network.layers[0].recurrent.weights.shape
    return int(groups * size)


def _readme(network: IntegerNetwork, frames: int) -> str:
    return f"""# A mask network in C

`{network.network["kind"]}` in integers: int8 weights, int32 sums, no floating point.

    gcc -std=c99 -Wall -Wextra -Werror -O2 network.c parameters.c main.c -o check
    ./check

`check` steps {frames} frames of `golden.h` and prints how many numbers differ: none may.

- `network.h`: `hasim_start` begins anew, `hasim_step` makes the mask of one frame.
- `parameters.h`, `parameters.c`: sizes, weights, biases, multipliers and shifts, tables.
- `network.c`, `layout.h`: the code; the same for all networks.

Features are float numbers x as levels: x / HASIM_FEATURE_STEP rounded to the nearest integer
(halves to even), plus HASIM_FEATURE_ZERO, clipped to HASIM_FEATURE_LOWEST ... _HIGHEST. Masks
are fractions of HASIM_MASK_TOP. hasim's documentation (docs/export.md) says which computations
come before, and how every number is rounded.
"""
