"""A shared exponent per block, a mantissa per number: the full scale follows the signal."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hasim.codecs.pcm import Domain
from hasim.spec import Spec


class BlockFloat(Spec):
    """`bits` of mantissa per number and one 8-bit exponent per block."""

    kind: Literal["block_float"] = "block_float"
    bits: int = Field(8, ge=1, le=16)
    domain: Domain = "samples"
    block: int = Field(16, ge=2, le=256)
    """Numbers that share an exponent (bins, or samples)."""
