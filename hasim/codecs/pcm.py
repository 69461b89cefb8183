"""Uniform quantisation with a fixed full scale."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hasim.spec import Spec

Domain = Literal["samples", "spectrum"]


class Pcm(Spec):
    """`bits` per number, uniform mid-rise steps between minus and plus full scale."""

    kind: Literal["pcm"] = "pcm"
    bits: int = Field(16, ge=1, le=16)
    domain: Domain = "samples"
    headroom_db: float = Field(12.0, ge=0, le=40)
    """Full scale above the microphone's root mean square (12 dB is a loading factor of 4)."""
