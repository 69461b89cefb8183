"""Shelf: what a signal looks like after b bits per number; the contract is in `codec.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.config.spec import by_kind
from hasim.simulation.link.codecs.adpcm import Adpcm
from hasim.simulation.link.codecs.allocated import Allocated
from hasim.simulation.link.codecs.block_float import BlockFloat
from hasim.simulation.link.codecs.codec import Codec, Domain
from hasim.simulation.link.codecs.erb_bands import ErbBands
from hasim.simulation.link.codecs.float32 import Float32
from hasim.simulation.link.codecs.lc3 import Lc3
from hasim.simulation.link.codecs.mulaw import MuLaw
from hasim.simulation.link.codecs.pcm import Pcm

CodecSpec = Annotated[
    Annotated[Pcm, Tag("pcm")]
    | Annotated[MuLaw, Tag("mulaw")]
    | Annotated[BlockFloat, Tag("block_float")]
    | Annotated[Adpcm, Tag("adpcm")]
    | Annotated[Lc3, Tag("lc3")]
    | Annotated[ErbBands, Tag("erb_bands")]
    | Annotated[Allocated, Tag("allocated")]
    | Annotated[Float32, Tag("float32")],
    by_kind("pcm"),
]

__all__ = [
    "Adpcm",
    "Allocated",
    "BlockFloat",
    "Codec",
    "CodecSpec",
    "Domain",
    "ErbBands",
    "Float32",
    "Lc3",
    "MuLaw",
    "Pcm",
]
