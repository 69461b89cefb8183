"""A plain Bluetooth LE connection (ACL) between the ears.

There is a connection event in every connection interval. From its beginning one packet after the
other is sent and acknowledged with an empty one, with 150 us before and after that, until nothing
is left to send. A lost packet is sent again until it is acknowledged or too old. One packet of 251
octets takes 1.392 ms on 2M: 1442.5 kbit/s in one direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hasim.config.presets import PresetLink
from hasim.simulation.link.air import Air, Booked, Entry, Piece, fragments, octets_of
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.link.codecs.pcm import Pcm
from hasim.simulation.link.le_phy import INTER_FRAME_NS, RATE_KBPS, Phy, airtime_ns, exposed_bits
from hasim.simulation.link.losses import Gilbert, LossSpec


class Acl(PresetLink):
    """A connection on which each packet is acknowledged by an empty one."""

    kind: Literal["acl"] = "acl"
    connection_interval_ms: float = Field(7.5, ge=7.5, le=4000, multiple_of=1.25)
    """From one connection event to the next."""
    phy: Phy = "2M"
    """Physical layer: rate and coding."""
    pdu_octets: int = Field(251, ge=1, le=251)
    """Largest payload of a packet; larger payloads travel in several packets."""
    mic: bool = True
    """Encrypted: 4 octets more per packet."""
    flush_ms: float = Field(15.0, gt=0, le=10_000)
    """Age at which a packet without acknowledgement is discarded."""
    ack_loss: float = Field(0.0, ge=0, le=1)
    """Probability that an acknowledgement is lost, so that an arrived packet is sent once more."""
    codec: CodecSpec = Pcm()
    loss: LossSpec = Gilbert()

    @property
    def rate_kbps(self) -> float:
        """Rate on the air."""
        return RATE_KBPS[self.phy]

    def exchange_ns(self, octets: int) -> int:
        """A packet, its acknowledgement and the spaces after both."""
        empty_ns = airtime_ns(self.phy, 0)
        return airtime_ns(self.phy, octets, self.mic) + empty_ns + 2 * INTER_FRAME_NS

    def air(self, bits: list[list[int]], hop_ns: int) -> Air:
        """The connection with payloads of `bits[sending ear][channel]` in every hop."""
        payloads = [[self._pieces(payload) for payload in ear] for ear in bits]
        occupied_ns = sum(p.occupied_ns for ear in payloads for pieces in ear for p in pieces)
        return AclAir(
            payloads,
            offered_kbps=(occupied_ns / hop_ns * self.rate_kbps,),
            rate_kbps=(self.rate_kbps,),
            attempts=2**31,
            opens_ns=round(self.connection_interval_ms * 1e6),
            flush_ns=round(self.flush_ms * 1e6),
        )

    def _pieces(self, payload_bits: int) -> tuple[Piece, ...]:
        if payload_bits == 0:
            return ()
        return tuple(
            Piece(
                airtime_ns(self.phy, size, self.mic),
                self.exchange_ns(size),
                exposed_bits(size, self.mic),
                captured,
            )
            for size, captured in fragments(octets_of(payload_bits), self.pdu_octets)
        )


@dataclass(frozen=True)
class AclAir(Air):
    """Packets live until they are acknowledged or too old."""

    flush_ns: int = 0

    def entry(self, sender: int, now_ns: int, booked: Booked) -> Entry:
        """Immediately, until it is too old."""
        return Entry(now_ns, now_ns + self.flush_ns)

    def latest_end_ns(
        self, sender: int, channel: int, piece: int, entry: Entry, end_ns: int
    ) -> int:
        """An attempt that begins at the last moment."""
        return max(end_ns, entry.until_ns + self.payloads[sender][channel][piece].airtime_ns)
