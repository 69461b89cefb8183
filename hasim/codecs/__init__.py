"""Shelf: what a signal looks like after b bits per number.

Every codec has `encode_decode(values, full_scale)` and `bits_for(count)`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.codecs.block_float import BlockFloat
from hasim.codecs.float32 import Float32
from hasim.codecs.mulaw import MuLaw
from hasim.codecs.pcm import Pcm
from hasim.spec import by_kind

CodecSpec = Annotated[
    Annotated[Pcm, Tag("pcm")]
    | Annotated[MuLaw, Tag("mulaw")]
    | Annotated[BlockFloat, Tag("block_float")]
    | Annotated[Float32, Tag("float32")],
    by_kind("pcm"),
]
