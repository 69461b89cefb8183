"""All four microphones at both ears: the upper bound for the distributed algorithms."""

from __future__ import annotations

from typing import ClassVar, Literal

from hasim.nodes.blocks import MICS
from hasim.nodes.one_filter import OneFilterNode


class Centralised(OneFilterNode):
    """Both raw microphones are exchanged: twice the bits of the TANGO family, and a filter of four
    channels."""

    kind: Literal["centralised"] = "centralised"

    channel: ClassVar[str] = "mics"
    streams: ClassVar[int] = MICS
