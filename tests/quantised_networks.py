"""Networks for the tests of integers and exports: random, with steep masks, ranges from noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnnSpec
from hasim.networks.precision import QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.sn_dnn import SnDnn, SnDnnSpec
from hasim.networks.weights_file import FloatNetwork, NetworkSpec, build

SPECS: dict[str, NetworkSpec] = {
    "sn_dnn": SnDnnSpec(bins=33, hidden=16, layers=2, head=24),
    "sn_dnn gelu": SnDnnSpec(bins=33, hidden=16, layers=2, head=24, head_activation="gelu"),
    "mn_dnn": MnDnnSpec(bins=33, hidden=16, layers=3),
    "g2": CompactMnDnnSpec(groups=2),
    "g8": CompactMnDnnSpec(groups=8),
    "g6 other order": CompactMnDnnSpec(
        groups=6, norm="after_erb", sigmoid="after_inverse", bands="mean", interleave=False
    ),
}
BITS: dict[str, dict[str, Any]] = {
    "w8a8": {},
    "w8a8 cell16": {"cell": 16, "bits": {"features": 16}},
    "w4a8 mask8": {"weights": 4, "cell": 16, "bits": {"mask": 8}, "ranges": "tensor"},
    "w3a5": {"weights": 3, "activations": 5, "cell": 12},
}


def sound(spec: NetworkSpec, frames: int = 40, batch: int = 2) -> Tensor:
    """Magnitudes whose level changes from frame to frame."""
    channels = 1 if isinstance(spec, SnDnnSpec) else 2
    noise = torch.randn(batch, channels, frames, spec.bins).abs()
    return 0.2 * noise * torch.exp(torch.randn(batch, 1, frames, 1))


def steep(spec: NetworkSpec, seed: int = 1) -> tuple[FloatNetwork, Tensor]:
    """A random network whose masks use all of 0 ... 1, and sound for it."""
    torch.manual_seed(seed)
    network = build(spec)
    x = sound(spec)
    network.calibrate(x)
    last = network.head[-1] if isinstance(network, SnDnn) else network.dense
    with torch.no_grad():
        last.weight.mul_(20)  # type: ignore[operator, union-attr]
    return network.eval(), x


def calibrated(spec: NetworkSpec, bits: dict[str, Any]) -> tuple[QuantisedNetwork, Tensor]:
    """The same, quantised, in float64, and the sound that its ranges are from."""
    network, x = steep(spec)
    small = quantised(network, QuantisationSpec(**bits)).double().eval()
    small.observe(x.double())
    return small, x.double()
