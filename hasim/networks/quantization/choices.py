"""Variants of quantisation that differ in one thing: which numbers need their bits, and what each
choice of post-training quantisation costs."""

from __future__ import annotations

import re

from hasim.networks.precision import LSTM_POINTS, QuantisationSpec, known_bits
from hasim.networks.quantization.network import quantised
from hasim.networks.weights_file import FloatNetwork


def drop_choices(network: FloatNetwork, bits: int, others: int = 32) -> dict[str, QuantisationSpec]:
    """Variants by the part that has only `bits`: each point, each weight matrix, and all together.

    A point is dropped in all layers at once; the matrices of the groups of a layer count as one.
    All else has `others` bits, inputs and masks at least 16. Ranges are static. ValueError for bits
    that are not among `precision.Bits`.
    """
    few, rest = known_bits("bits", bits), known_bits("others", others)
    base = QuantisationSpec(weights=rest, activations=rest, io=32 if rest == 32 else 16)
    whole = quantised(network, base.model_copy(update={"activations": 8}))
    dense = ["dense"] if "dense" in whole.points() else []
    points = ["input", "features", *LSTM_POINTS, *dense, "mask"]
    dropped = {point: {point: few} for point in points}
    for name in whole.weight_bits():
        together = re.sub(r"^(layers\.\d+)\.\d+\.(weight_[ih]h)_l0$", r"\1.\2", name)
        dropped.setdefault(together, {})[name] = few
    variants = {name: base.model_copy(update={"bits": bits}) for name, bits in dropped.items()}
    for name, changed in {
        "all weights": {"weights": few},
        "all activations": {"activations": few},
        "everything": {"weights": few, "activations": few},
    }.items():
        variants[name] = base.model_copy(update={**changed, "io": 16})
    return variants


def dynamic_choices() -> dict[str, QuantisationSpec]:
    """Dynamic quantisation as in PyTorch, with one of its choices changed, with all changed, and
    with weights alone, by name.

    PyTorch's: weights of 8 bits with a range per matrix, activations of 7 bits (`reduce_range`)
    ranged over all frames and sequences of a product.
    """
    pytorch = QuantisationSpec(
        scheme="dynamic",
        weights=8,
        activations=7,
        io=32,
        ranges="tensor",
        runtime_span="call",
    )
    choices: dict[str, dict[str, object]] = {
        "as PyTorch": {},
        "a range per channel": {"ranges": "channel"},
        "activations of 8 bits": {"activations": 8},
        "ranges of every frame": {"runtime_span": "frame"},
        "all three": {"ranges": "channel", "activations": 8, "runtime_span": "frame"},
        "weights alone, per matrix": {"activations": 32},
        "weights alone, per channel": {"activations": 32, "ranges": "channel"},
    }
    return {name: pytorch.model_copy(update=changed) for name, changed in choices.items()}
