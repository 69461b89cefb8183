"""The algorithms of an ear, and what it gets of the other ear.

Other packages add nodes by the entry-point group `hasim.nodes`.
"""

from __future__ import annotations

from typing import Annotated

from hasim.config.spec import Spec, by_kind
from hasim.networks.contract import MaskEstimator
from hasim.nodes.centralised import Centralised
from hasim.nodes.frame_by_frame import FrameByFrame, Stepper
from hasim.nodes.inverted import InvertedDagger, InvertedStar
from hasim.nodes.local import Local
from hasim.nodes.mn_tango import MnTango
from hasim.nodes.node import Enhanced, Node
from hasim.nodes.passthrough import Passthrough
from hasim.nodes.tango import Tango

_CHOICE = by_kind(
    "mn_tango",
    *(Passthrough, Local, Centralised, Tango, MnTango, InvertedDagger, InvertedStar),
    group="hasim.nodes",
)
AlgorithmSpec = Annotated[Node, _CHOICE]


def node_classes() -> dict[str, type[Spec]]:
    """The classes of all node algorithms by their kind, plug-ins included."""
    return _CHOICE.kinds(Node)


__all__ = [
    "AlgorithmSpec",
    "Centralised",
    "Enhanced",
    "FrameByFrame",
    "InvertedDagger",
    "InvertedStar",
    "Local",
    "MaskEstimator",
    "MnTango",
    "Node",
    "Passthrough",
    "Stepper",
    "Tango",
    "node_classes",
]
