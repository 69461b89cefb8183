"""What a link is: a codec, a loss model, and the payloads of one hop laid out on the air."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hasim.simulation.link.air import Air
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.link.losses import LossSpec


@runtime_checkable
class Link(Protocol):
    """The contract of a link; a link is also a Spec with a literal `kind`."""

    @property
    def kind(self) -> str:
        """The name in a scenario file."""

    @property
    def codec(self) -> CodecSpec:
        """What the exchanged signals are coded with."""

    @property
    def loss(self) -> LossSpec:
        """Which packets are lost on the air."""

    @property
    def ack_loss(self) -> float:
        """Probability that an acknowledgement is lost, so that an arrived packet is sent again."""

    @property
    def rate_kbps(self) -> float:
        """Rate on the air."""

    def air(self, bits: list[list[int]], hop_ns: int) -> Air:
        """The link with payloads of `bits[sending ear][channel]` in every hop of `hop_ns`.

        Raises ValueError, with the key that is wrong, where such payloads do not fit the link.
        """
