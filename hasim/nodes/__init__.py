"""Shelf: the node algorithms, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.nodes.mn_tango import MnTango
from hasim.spec import by_kind

AlgorithmSpec = Annotated[Annotated[MnTango, Tag("mn_tango")], by_kind("mn_tango")]
