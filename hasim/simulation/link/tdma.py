"""Proprietary radios with slots that begin with the hop.

The radio's frame is one hop. From its beginning the ears send in turns, left before right, each in
slots that hold its largest packet and the space after it, as many as fit. So there is a slot for a
hop as soon as it is captured, and no collision. The header of the partner's next packet says
whether a packet arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Literal

from pydantic import Field

from hasim.config.presets import PresetLink
from hasim.simulation.link.air import Air, Booked, Entry, Piece, Slots, fragments, octets_of
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.link.codecs.pcm import Pcm
from hasim.simulation.link.losses import Bernoulli, Gilbert, LossSpec


class HopSlots(PresetLink):
    """Common parameters of links with slots in the hop."""

    phy_kbps: float
    ifs_us: float
    max_payload: int = Field(251, ge=1, le=4096)
    """Octets of a packet's payload at most; larger payloads travel in several equal packets."""
    attempts: int = Field(2, ge=1, le=16)
    """Transmissions of a packet at most, all within one hop."""
    ack_loss: float = Field(0.0, ge=0, le=1)
    """Probability that an acknowledgement is lost, so that an arrived packet is sent once more."""
    anchor_ms: float = Field(0.0, ge=0, le=1000)
    """From the end of a hop to the beginning of the radio's frame."""
    latency_ms: float = Field(0.0, ge=0, le=1000)
    """From the packet's last bit sent to its delivery."""
    reserved_airtime: float = Field(0.0, ge=0, lt=1)
    """Share at the end of every hop that is reserved for others, such as a phone's stream."""
    codec: CodecSpec = Pcm()
    loss: LossSpec = Gilbert()

    @property
    def rate_kbps(self) -> float:
        """Rate on the air."""
        return self.phy_kbps

    def packet_bits(self, payload_octets: int) -> Fraction:
        """Bits on the air of one packet."""
        raise NotImplementedError

    def air(self, bits: list[list[int]], hop_ns: int) -> Air:
        """The link with payloads of `bits[sending ear][channel]` in every hop.

        Raises ValueError where not even one slot of each ear fits into a hop.
        """
        payloads = [[self._pieces(payload) for payload in ear] for ear in bits]
        sizes_ns = [
            max((p.occupied_ns for pieces in ear for p in pieces), default=0) for ear in payloads
        ]
        pitch_ns = sum(sizes_ns)
        count = 1
        if pitch_ns:
            free_ns = int(hop_ns * (1 - Fraction(str(self.reserved_airtime))))
            count = free_ns // pitch_ns
        if count == 0:
            raise ValueError(
                f"link.max_payload: slots of {sizes_ns[0] / 1e6:g} ms and {sizes_ns[1] / 1e6:g} ms "
                f"for the two ears do not fit into {free_ns / 1e6:g} ms, which a hop has for them; "
                "take smaller packets, a faster radio or fewer bits"
            )
        packet_kbps = [
            max((p.bits for pieces in ear for p in pieces), default=0) * 1e6 / hop_ns
            for ear in payloads
        ]
        needed = [sum(map(len, ear)) for ear in payloads]
        return HopSlotsAir(
            payloads,
            offered_kbps=(needed[0] * packet_kbps[0], needed[1] * packet_kbps[1]),
            rate_kbps=(count * packet_kbps[0], count * packet_kbps[1]),
            shared=False,
            attempts=self.attempts,
            latency_ns=round(self.latency_ms * 1e6),
            slots=Slots(hop_ns, round(self.anchor_ms * 1e6), count, max(pitch_ns, 1), sizes_ns[0]),
        )

    def _pieces(self, payload_bits: int) -> tuple[Piece, ...]:
        if payload_bits == 0:
            return ()
        ifs_ns = round(self.ifs_us * 1e3)
        octets = octets_of(payload_bits)
        # Packets of equal size keep the slots short.
        even = -(-octets // -(-octets // self.max_payload))
        pieces = []
        for size, captured in fragments(octets, even):
            bits = self.packet_bits(size)
            airtime_ns = ceil(bits * 10**6 / Fraction(str(self.phy_kbps)))
            pieces.append(Piece(airtime_ns, airtime_ns + ifs_ns, ceil(bits), captured))
        return tuple(pieces)


class Tdma(HopSlots):
    """Hop-aligned slots of a 2.4 GHz radio."""

    kind: Literal["tdma"] = "tdma"
    phy_kbps: float = Field(2000.0, gt=0, le=1e6)
    """Rate on the air, of both directions together."""
    ifs_us: float = Field(150.0, ge=0, le=1e4)
    """Space after every packet."""
    overhead_octets: int = Field(15, ge=0, le=1024)
    """Preamble, address, header, integrity code and check sum of each packet."""

    def packet_bits(self, payload_octets: int) -> Fraction:
        """Payload and overhead."""
        return Fraction(8 * (payload_octets + self.overhead_octets))


class Nfmi(HopSlots):
    """Near-field magnetic induction through the head: slow, with a short range and few losses.

    Public figures are the rate (up to 596 kbit/s) and the power; overhead, space and losses are
    assumptions.
    """

    kind: Literal["nfmi"] = "nfmi"
    phy_kbps: float = Field(596.0, gt=0, le=1e6)
    """Rate on the air, of both directions together."""
    ifs_us: float = Field(50.0, ge=0, le=1e4)
    """Space after every packet, to change the direction."""
    overhead_percent: float = Field(20.0, ge=0, le=1000)
    """Coding and headers, relative to the payload."""
    loss: LossSpec = Bernoulli(probability=0.001)

    def packet_bits(self, payload_octets: int) -> Fraction:
        """Payload with coding and headers."""
        return 8 * payload_octets * (1 + Fraction(str(self.overhead_percent)) / 100)


@dataclass(frozen=True)
class HopSlotsAir(Air):
    """Slots of each ear; a packet expires after one hop."""

    def entry(self, sender: int, now_ns: int, booked: Booked) -> Entry:
        """Immediately, for one hop."""
        assert self.slots is not None
        return Entry(now_ns, now_ns + self.slots.period_ns)

    def latest_end_ns(
        self, sender: int, channel: int, piece: int, entry: Entry, end_ns: int
    ) -> int:
        """After the repeats of all earlier packets of the payload."""
        assert self.slots is not None
        own = self.payloads[sender][channel][piece]
        start_ns = end_ns - own.airtime_ns
        repeats = (piece + 1) * (self.attempts - 1)
        last_ns = self.slots.later_ns(sender, start_ns, repeats)
        return max(end_ns, min(last_ns, entry.until_ns) + own.airtime_ns)
