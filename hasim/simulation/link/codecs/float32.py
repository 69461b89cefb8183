"""No quantisation: 32 bits per number, for reference runs."""

from __future__ import annotations

from typing import Literal

from numpy import ndarray

from hasim.simulation.link.codecs.codec import Codec, Domain


class Float32(Codec):
    """Numbers travel as they are, at 32 bits each."""

    kind: Literal["float32"] = "float32"
    domain: Domain = "samples"
    """What travels: hops of samples, or frames of spectra."""

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` as they are."""
        return values

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of `numbers`, each of one (real) or two (complex) `parts`."""
        return 32 * numbers * parts
