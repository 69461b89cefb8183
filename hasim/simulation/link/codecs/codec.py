"""The contract of codecs: bits, computation, delay, and the decoded signal.

Values are (..., packet, number), packets in the order in which they are sent, because some codecs
have a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from numpy import ndarray
from pydantic import Field, ValidationError, model_validator

from hasim.config.spec import Spec

Domain = Literal["samples", "spectrum"]


class Codec(Spec):
    """A codec without computation and delay worth counting; subclasses define the rest."""

    macs_per_number: ClassVar[tuple[int, int]] = (0, 0)
    """Multiply-accumulates to encode and to decode a number (a sample, or a complex bin).

    Shifts, comparisons and tables are not multiplications: uniform rounding, logarithmic
    companding and shared exponents cost none.
    """

    uses_importance: ClassVar[bool] = False
    """Distributes its bits by how much the receiver's filter makes of each bin: the exchange then
    multiplies the bins by that importance before coding and divides after."""

    if TYPE_CHECKING:

        @property
        def kind(self) -> str:
            """The name in a scenario file: each codec declares it as a `Literal`."""

        @property
        def domain(self) -> Domain:
            """What travels: hops of samples, or frames of spectra. Each codec declares it."""

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (..., packet, number) as the receiver decodes them when nothing is lost.

        `full_scale` broadcasts against `values`; numbers beyond it are clipped.
        """
        raise NotImplementedError

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of a packet of `numbers`, each of one (real) or two (complex) `parts`."""
        raise NotImplementedError

    def noise_power(self, values: ndarray, full_scale: ndarray | float) -> ndarray | None:
        """Expected power of the rounding error (..., packet, number) where the receiver knows it;
        None: the receiver does not know it."""
        return None

    def linear(self, values: ndarray) -> ndarray:
        """`values` (..., number) as decoded without rounding: unchanged, unless the codec sends
        fewer numbers."""
        return values

    def delay_samples(self, hop: int) -> int:
        """Longest time from the end of a hop until its last sample can be decoded, in samples."""
        return 0

    @property
    def ladder(self) -> tuple[Self, ...]:
        """This codec, then those with fewer bits that replace it while the link is congested."""
        return (self,)

    @property
    def copy_codec(self) -> Codec | None:
        """The codec of the copy of the previous packet in each packet; None: no copy."""
        return None


class RoundingCodec(Codec):
    """A codec with `bits` per number and an optional coarse copy of the previous packet."""

    fec_bits: int = Field(0, ge=0, le=16)
    """Bits per number of a copy of the previous packet in each packet, which restores a single lost
    packet one frame later; 0: no copy."""

    @property
    def copy_codec(self) -> Self | None:
        """This codec at `fec_bits`."""
        if not self.fec_bits:
            return None
        return self.model_copy(update={"bits": self.fec_bits, "fec_bits": 0})

    @model_validator(mode="after")
    def _the_copy_is_a_codec(self) -> Self:
        if self.fec_bits:
            try:
                type(self).model_validate(
                    self.model_dump() | {"bits": self.fec_bits, "fec_bits": 0}
                )
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise ValueError(
                    f"fec_bits: the copy is coded as the signal is (got {self.fec_bits}): {reason}"
                ) from None
        return self
