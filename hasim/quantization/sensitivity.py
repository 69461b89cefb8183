"""Which of a network's numbers need their bits: variants in which one of them has few."""

from __future__ import annotations

import re

from hasim.models.weights import MaskNetwork
from hasim.quantization.network import quantised
from hasim.quantization.precision import LSTM_POINTS, QuantisationSpec, known_bits


def drops(network: MaskNetwork, bits: int, others: int = 32) -> dict[str, QuantisationSpec]:
    """Variants by what has only `bits` in them: every point, every weight matrix, all together.

    A point is dropped in all layers at once, matrices of the groups of a layer are one. All else
    has `others` bits, inputs and masks at least 16. Ranges are static. ValueError for numbers of
    bits that there are not.
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
