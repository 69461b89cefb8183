"""Which of a network's numbers need their bits: variants in which one of them has few."""

from __future__ import annotations

import re
from typing import get_args

from hasim.models.weights import MaskNetwork
from hasim.quantization.network import quantised
from hasim.quantization.precision import LSTM_POINTS, Bits, QuantisationSpec


def drops(network: MaskNetwork, bits: int, others: int = 32) -> dict[str, QuantisationSpec]:
    """Variants by what has only `bits` in them: every point, every weight matrix, all together.

    A point is dropped in all layers at once, matrices of the groups of a layer are one. All else
    has `others` bits. Ranges are static. ValueError for numbers of bits that there are not.
    """
    for name, value in (("bits", bits), ("others", others)):
        if value not in get_args(Bits):
            raise ValueError(f"{name}: must be 2 to 16, or 32 (got {value})")
    base = QuantisationSpec.model_validate({"weights": others, "activations": others, "io": others})
    whole = quantised(network, base.model_copy(update={"activations": 8}))
    found = {"input": {"input": bits}, "features": {"features": bits}}
    found |= {point: {point: bits} for point in LSTM_POINTS}
    if "dense" in whole.points():
        found["dense"] = {"dense": bits}
    found["mask"] = {"mask": bits}
    for name in whole.weight_bits():
        together = re.sub(r"^(layers\.\d+)\.\d+\.(weight_[ih]h)_l0$", r"\1.\2", name)
        found.setdefault(together, {})[name] = bits
    variants = {name: base.model_copy(update={"bits": few}) for name, few in found.items()}
    for name, few in {
        "all weights": {"weights": bits},
        "all activations": {"activations": bits},
        "everything": {"weights": bits, "activations": bits},
    }.items():
        # Inputs and masks keep 16 bits in a network of few.
        variants[name] = base.model_copy(update={**few, "io": min(others, 16)})
    return variants
