"""Shelf: the node algorithms, told apart by `kind`; other packages add theirs as entry points
`hasim.nodes`."""

from __future__ import annotations

import functools
import operator
import warnings
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Tag

from hasim.config.spec import Spec, by_kind
from hasim.nodes.centralised import Centralised
from hasim.nodes.frame_by_frame import FrameByFrame, Stepper
from hasim.nodes.inverted import InvertedDagger, InvertedStar
from hasim.nodes.local import Local
from hasim.nodes.mn_tango import MnTango
from hasim.nodes.node import Enhanced, Masks, Node
from hasim.nodes.passthrough import Passthrough
from hasim.nodes.tango import Tango

__all__ = [
    "AlgorithmSpec",
    "Centralised",
    "Enhanced",
    "FrameByFrame",
    "InvertedDagger",
    "InvertedStar",
    "Local",
    "Masks",
    "MnTango",
    "Node",
    "Passthrough",
    "Stepper",
    "Tango",
]


def _kinds() -> dict[str, type[Spec]]:
    """Every node by its kind; a plug-in that cannot be loaded costs one warning."""
    built_in = (Passthrough, Local, Centralised, Tango, MnTango, InvertedDagger, InvertedStar)
    kinds: dict[str, type[Spec]] = {node.model_fields["kind"].default: node for node in built_in}
    for entry in entry_points(group="hasim.nodes"):
        try:
            node = entry.load()
            kinds.setdefault(node.model_fields["kind"].default, node)
        except Exception as error:
            warnings.warn(f"plug-in {entry.name} ({entry.value}): {error!r}", stacklevel=2)
    return kinds


if TYPE_CHECKING:
    AlgorithmSpec = Node
else:
    _choices: list[Any] = [Annotated[node, Tag(kind)] for kind, node in _kinds().items()]
    AlgorithmSpec = Annotated[functools.reduce(operator.or_, _choices), by_kind("mn_tango")]
