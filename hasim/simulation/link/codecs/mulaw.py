"""Logarithmic companding (mu = 255, ITU-T G.711), then uniform quantisation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.simulation.link.codecs.codec import Domain, RoundingCodec
from hasim.simulation.link.codecs.pcm import round_midrise

MU = 255.0


class MuLaw(RoundingCodec):
    """`bits` per number on a logarithmic scale: a nearly constant ratio of signal to rounding
    noise (G.711 with 8)."""

    kind: Literal["mulaw"] = "mulaw"
    bits: int = Field(8, ge=1, le=16)
    """Bits per number."""
    domain: Domain = "samples"
    """What travels: hops of samples, or frames of spectra."""
    headroom_db: float = Field(24.0, ge=0, le=40)
    """Full scale above the microphone's root mean square."""

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (real or complex, any shape) as the receiver decodes them; clipped at
        `full_scale`."""
        if np.iscomplexobj(values):
            real = self.encode_decode(values.real, full_scale)
            return real + 1j * self.encode_decode(values.imag, full_scale)
        scale = np.asarray(full_scale)
        relative = np.clip(np.abs(values) / np.where(scale > 0, scale, 1.0), 0.0, 1.0)
        compressed = np.copysign(np.log1p(MU * relative) / np.log1p(MU), values)
        coded = round_midrise(compressed, 1.0, self.bits)
        return np.copysign(np.expm1(np.abs(coded) * np.log1p(MU)) / MU * scale, coded)

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of `numbers`, each of one (real) or two (complex) `parts`."""
        return numbers * parts * self.bits
