"""Logarithmic companding (mu = 255, ITU-T G.711), then uniform quantisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hasim.codecs.pcm import Domain
from hasim.spec import Spec


class MuLaw(Spec):
    """`bits` per number on a logarithmic scale: a nearly constant ratio of signal to rounding noise."""

    kind: Literal["mulaw"] = "mulaw"
    bits: int = Field(8, ge=1, le=16)
    domain: Domain = "samples"
    headroom_db: float = Field(18.0, ge=0, le=40)
    """Full scale above the microphone's root mean square."""
