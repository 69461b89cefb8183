"""Uniform quantisation with a fixed full scale."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.simulation.link.codecs.codec import Domain, RoundingCodec


class Pcm(RoundingCodec):
    """`bits` per number, uniform mid-rise steps between minus and plus full scale."""

    kind: Literal["pcm"] = "pcm"
    bits: int = Field(16, ge=1, le=16)
    """Bits per number."""
    domain: Domain = "samples"
    """What travels: hops of samples, or frames of spectra."""
    headroom_db: float = Field(18.0, ge=0, le=40)
    """Full scale above the microphone's root mean square; less clips the peaks of speech."""
    fewer_bits: tuple[Annotated[int, Field(ge=1, le=15)], ...] = ()
    """Bits while the link is congested: the first with one payload still waiting to be sent, the
    second with two, the last with more. Payloads then leave when their hop is complete."""

    @model_validator(mode="after")
    def _ever_fewer(self) -> Self:
        steps = (self.bits, *self.fewer_bits)
        if any(after >= before for before, after in pairwise(steps)):
            raise ValueError(
                f"fewer_bits: must fall from step to step, from below bits {self.bits} on "
                f"(got {', '.join(map(str, self.fewer_bits))})"
            )
        return self

    @property
    def ladder(self) -> tuple[Self, ...]:
        """This codec, and the same with fewer bits."""
        steps = (self.bits, *self.fewer_bits)
        return tuple(self.model_copy(update={"bits": bits, "fewer_bits": ()}) for bits in steps)

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (real or complex, any shape) as the receiver decodes them; clipped at
        `full_scale`."""
        return round_midrise(values, full_scale, self.bits)

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of `numbers`, each of one (real) or two (complex) `parts`."""
        return numbers * parts * self.bits


def round_midrise(values: ndarray, full_scale: ndarray | float, bits: int) -> ndarray:
    """Uniform rounding to 2^bits levels, none of them zero; complex numbers part by part.

    Mid-rise because it is the only uniform quantiser that still works at one bit.
    """
    if np.iscomplexobj(values):
        real = round_midrise(values.real, full_scale, bits)
        return real + 1j * round_midrise(values.imag, full_scale, bits)
    step = 2.0 * np.asarray(full_scale) / 2**bits
    # A silent microphone has full scale 0 and sends zeros.
    safe = np.where(step > 0, step, 1.0)
    # Digital silence lies on a threshold: the offset keeps rounding errors from choosing the side.
    level = np.floor(values / safe + 1e-9)
    level = np.clip(level, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return (level + 0.5) * step
