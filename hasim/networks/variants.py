"""The variants of the algorithms that have a name, in one table.

`VARIANTS["mn_tango_g2_w8a8"]` says which algorithm that is, with how many groups and in which
precision, and which weights belong to it. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hasim.networks.contract import Role
from hasim.networks.precision import FLOATING, PrecisionSpec

_W8A8 = PrecisionSpec(weights=8, activations=8, cell=16, scheme="static")
PRECISIONS = {
    "": FLOATING,
    "_w8": PrecisionSpec(weights=8, activations=32, scheme="static"),
    "_w8a8": _W8A8,
    # Learnt from a network in floating point (knowledge distillation).
    "_w8a8_kd": _W8A8,
    "_w4a8": PrecisionSpec(weights=4, activations=8, cell=16, scheme="static"),
}
"""How the networks of a variant were trained to round, by the end of its name."""

GROUPS = (0, 1, 2, 4, 6, 8, 10)
"""Groups of the multi-node network; 0 is the paper's full one, which has no `_g` in its name."""


@dataclass(frozen=True)
class Variant:
    """An algorithm with its networks."""

    name: str
    kind: str
    """As `algorithm.kind` of a scenario."""
    networks: tuple[Role, ...] = ()
    """In the order of the signal's path; empty where they are not known."""
    groups: int = 0
    precision: PrecisionSpec = FLOATING
    weights: str = ""
    """The name of its weights; whether they come with hasim is known to `pretrained`."""

    @property
    def settings(self) -> dict[str, Any]:
        """What it sets in a scenario, by dotted path; a kind without masks has no groups."""
        chosen: dict[str, Any] = {"algorithm.kind": self.kind}
        return chosen | ({"algorithm.groups": self.groups} if self.networks else {})


NETWORKS: dict[str, tuple[Role, ...]] = {
    "local": ("sn_dnn",),
    "centralised": ("mn_dnn",),
    "tango": ("sn_dnn", "mn_dnn"),
    "inverted_dagger": ("mn_dnn", "sn_dnn"),
    "inverted_star": ("mn_dnn", "sn_dnn"),
    "mn_tango": ("mn_dnn",),
}
"""The networks of every kind, in the order of the signal's path."""

SAME_NETWORKS = {"centralised": "mn_tango"}
"""Kinds whose networks have the same inputs as those of another kind, and so share its weights."""


def variants_of(kind: str, networks: tuple[Role, ...]) -> Iterator[Variant]:
    """All variants of a kind with masks."""
    shared = SAME_NETWORKS.get(kind, kind)
    for groups in GROUPS:
        for precision, spec in PRECISIONS.items():
            end = (f"_g{groups}" if groups else "") + precision
            yield Variant(f"{kind}{end}", kind, networks, groups, spec, f"{shared}{end}")


VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for kind, networks in NETWORKS.items()
    for variant in variants_of(kind, networks)
}
"""The variants of hasim's own algorithms by name."""
