"""MN-TANGO: one exchange of the raw reference microphones, one network, one filter (paper, Fig. 1c)."""

from __future__ import annotations

from typing import Literal

from hasim.nodes.filtering import MaskDrivenNode


class MnTango(MaskDrivenNode):
    """Masks from local and remote reference; filter over the local microphones and the remote reference."""

    kind: Literal["mn_tango"] = "mn_tango"
    concealment: Literal["zero", "repeat", "local_only"] = "local_only"
