"""Codecs: a signal after rounding to b bits per number. The contract is in `codec.py`.

Other packages add codecs by the entry-point group `hasim.codecs`.
"""

from __future__ import annotations

from typing import Annotated

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
    Codec,
    by_kind(
        "pcm",
        *(Pcm, MuLaw, BlockFloat, Adpcm, Lc3, ErbBands, Allocated, Float32),
        group="hasim.codecs",
    ),
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
