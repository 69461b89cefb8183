"""Block floating point: an exponent per block and a mantissa per number."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.simulation.link.codecs.codec import Domain, RoundingCodec
from hasim.simulation.link.codecs.pcm import round_midrise

EXPONENT_BITS = 8


class BlockFloat(RoundingCodec):
    """`bits` of mantissa per number and one 8-bit exponent per block."""

    kind: Literal["block_float"] = "block_float"
    bits: int = Field(8, ge=1, le=16)
    """Bits per number."""
    domain: Domain = "samples"
    """What travels: hops of samples, or frames of spectra."""
    block: int = Field(16, ge=2, le=256)
    """Numbers that share an exponent (bins, or samples)."""

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (..., number), real or complex, as decoded; `full_scale` is not used.

        A block's full scale is the power of two above its largest real or imaginary part.
        """
        numbers = values.shape[-1]
        missing = -numbers % self.block
        padded = np.concatenate([values, np.zeros((*values.shape[:-1], missing))], axis=-1)
        blocks = padded.reshape(*values.shape[:-1], -1, self.block)
        parts = np.maximum(np.abs(blocks.real), np.abs(blocks.imag))
        largest = parts.max(axis=-1, keepdims=True)
        exponent = np.ceil(np.log2(np.where(largest > 0, largest, 2.0**-126)))
        coded = round_midrise(blocks, 2.0 ** np.clip(exponent, -126, 127), self.bits)
        return coded.reshape(*values.shape[:-1], -1)[..., :numbers]

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of `numbers`, each of one (real) or two (complex) `parts`."""
        return numbers * parts * self.bits + EXPONENT_BITS * -(-numbers // self.block)
