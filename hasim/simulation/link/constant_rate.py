"""A radio with a constant rate on the air and a fixed cost per packet."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Literal

from pydantic import Field

from hasim.config.spec import Spec
from hasim.simulation.link.air import Air, Piece
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.link.codecs.pcm import Pcm
from hasim.simulation.link.losses import Gilbert, LossSpec


class ConstantRate(Spec):
    """A link that carries a constant number of bits per second, with a fixed cost per packet."""

    kind: Literal["constant_rate"] = "constant_rate"
    rate_kbps: float = Field(600.0, gt=0, le=1e6)
    """Rate on the air: of the shared medium with half duplex, else of each direction."""
    latency_ms: float = Field(1.0, ge=0, le=1000)
    """From the packet's last bit sent to its delivery."""
    jitter_ms: float = Field(0.0, ge=0, le=1000)
    """Additional delay of each packet, uniform between 0 and this."""
    duplex: Literal["half", "full", "unscheduled"] = "half"
    """Half: one medium, on which the ears take turns; full: one for each direction; unscheduled:
    one medium on which both send at any time (ALOHA), and packets that overlap are lost."""
    overhead_octets: int = Field(11, ge=0, le=1024)
    """Preamble, address, header and check sum of each packet."""
    packets_per_hop: int = Field(1, ge=1, le=16)
    """Packets per payload; those of a raw microphone leave as they are captured."""
    attempts: int = Field(1, ge=1, le=16)
    """Transmissions of a packet at most."""
    retry_spacing_ms: float = Field(0.0, ge=0, le=100)
    """Pause before a packet is sent again."""
    ack_loss: float = Field(0.0, ge=0, le=1)
    """Probability that an acknowledgement is lost, so that an arrived packet is sent once more."""
    codec: CodecSpec = Pcm()
    loss: LossSpec = Gilbert()

    def packet_bits(self, payload_bits: int) -> Fraction:
        """Bits on the air of each piece of a payload, overhead included."""
        return Fraction(payload_bits, self.packets_per_hop) + 8 * self.overhead_octets

    def airtime_ns(self, payload_bits: int) -> int:
        """Time that each piece of a payload occupies the medium, rounded up to nanoseconds."""
        return ceil(self.packet_bits(payload_bits) * 10**6 / Fraction(str(self.rate_kbps)))

    def air(self, bits: list[list[int]], hop_ns: int) -> Air:
        """The link with payloads of `bits[sending ear][channel]` in every hop."""
        by_ear = [
            float(
                sum(self.packets_per_hop * self.packet_bits(payload) for payload in ear if payload)
                * 10**6
                / hop_ns
            )
            for ear in bits
        ]
        half = self.duplex == "half"
        return Air(
            [[self._pieces(payload) for payload in ear] for ear in bits],
            offered_kbps=(sum(by_ear),) if half else tuple(by_ear),
            rate_kbps=(self.rate_kbps,) if half else (self.rate_kbps,) * 2,
            shared=half,
            collides=self.duplex == "unscheduled",
            attempts=self.attempts,
            pause_ns=round(self.retry_spacing_ms * 1e6),
            latency_ns=round(self.latency_ms * 1e6),
            jitter_ns=round(self.jitter_ms * 1e6),
        )

    def _pieces(self, payload_bits: int) -> tuple[Piece, ...]:
        airtime_ns, bits = self.airtime_ns(payload_bits), ceil(self.packet_bits(payload_bits))
        count = self.packets_per_hop
        return tuple(
            Piece(airtime_ns, airtime_ns, bits, Fraction(number + 1, count))
            for number in range(count)
        )
