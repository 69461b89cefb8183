"""MN-TANGO: one exchange of the raw reference microphones, one network, one filter (paper, Fig.
1c)."""

from __future__ import annotations

from typing import ClassVar, Literal

from hasim.nodes.one_filter import OneFilterNode


class MnTango(OneFilterNode):
    """A mask from local and remote reference; a filter over the local microphones and the remote
    reference."""

    kind: Literal["mn_tango"] = "mn_tango"

    channel: ClassVar[str] = "reference"
    streams: ClassVar[int] = 1
