"""LE Audio's connected isochronous stream (CIS) between the ears.

Every ISO interval holds `nse` sub-events; in each the left ear (the central) sends a packet and the
right one answers. A packet is repeated from sub-event to sub-event until it is acknowledged or its
flush point is reached, which the stream fixes in advance: a packet is delivered at the same time,
however often it was sent.

With L the payload in octets, T the airtime of a packet and SDU interval the hop:

    SE = max(400 us, T(L_left) + 150 us + T(L_right) + 150 us)
    CIG_Sync_Delay = NSE SE
    latency unframed = CIG_Sync_Delay + FT ISO_interval - SDU_interval
    latency framed = CIG_Sync_Delay + FT ISO_interval + SDU_interval

Bluetooth Core Specification, volume 6, part B, 4.5.13 (flush points) and part G, 3.2 (latencies);
Zephyr's `ull_central_iso.c`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from hasim.config.presets import PresetLink
from hasim.simulation.link.air import Air, Booked, Entry, Piece, Slots, fragments, octets_of
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.link.codecs.pcm import Pcm
from hasim.simulation.link.le_phy import (
    INTER_FRAME_NS,
    RATE_KBPS,
    SMALLEST_SUB_EVENT_NS,
    UNIT_NS,
    Phy,
    airtime_ns,
    exposed_bits,
)
from hasim.simulation.link.losses import Gilbert, LossSpec

SEGMENT_OCTETS = 5
"""Segment header and time offset before each framed piece."""


class Cis(PresetLink):
    """A connected isochronous stream in both directions."""

    kind: Literal["cis"] = "cis"
    iso_interval_ms: float = Field(10.0, ge=5, le=4000, multiple_of=1.25)
    """From one event of the stream to the next."""
    bn: int = Field(1, ge=1, le=15)
    """Burst number: new packets of each ear per interval."""
    nse: int = Field(3, ge=1, le=31)
    """Sub-events per interval, for new packets and repeats."""
    ft: int = Field(1, ge=1, le=255)
    """Flush timeout: intervals in which a packet may be sent."""
    framing: Literal["unframed", "framed"] = "unframed"
    """Unframed packets carry a hop or a part of it; framed ones cut hops at any place, with 5
    octets more per packet and about an interval and a hop more latency."""
    phy: Phy = "2M"
    """Physical layer: rate and coding."""
    pdu_octets: int = Field(251, ge=8, le=251)
    """Largest payload of a packet."""
    mic: bool = True
    """Encrypted: 4 octets more per packet."""
    anchor_ms: float = Field(0.0, ge=0, le=4000)
    """From the end of a hop to an event of the stream."""
    ack_loss: float = Field(0.0, ge=0, le=1)
    """Probability that an acknowledgement is lost, so that an arrived packet is sent once more."""
    reserved_airtime: float = Field(0.0, ge=0, lt=1)
    """Share of every interval that is reserved for others, such as a phone's stream."""
    codec: CodecSpec = Pcm()
    loss: LossSpec = Gilbert()

    @model_validator(mode="after")
    def _enough_sub_events(self) -> Self:
        if self.nse < self.bn:
            raise ValueError(f"nse: must be at least bn = {self.bn} (got {self.nse})")
        return self

    @property
    def rate_kbps(self) -> float:
        """Rate on the air."""
        return RATE_KBPS[self.phy]

    @property
    def iso_interval_ns(self) -> int:
        """The interval in nanoseconds."""
        return round(self.iso_interval_ms * 1e6)

    def sub_event_ns(self, left_octets: int, right_octets: int) -> int:
        """One packet of each ear and the spaces after them."""
        both_ns = self._airtime_ns(left_octets) + self._airtime_ns(right_octets)
        return max(SMALLEST_SUB_EVENT_NS, both_ns + 2 * INTER_FRAME_NS)

    def latency_ns(self, sync_delay_ns: int, hop_ns: int) -> int:
        """From the time at which a payload is due to be sent to its delivery."""
        sign = 1 if self.framing == "framed" else -1
        return sync_delay_ns + self.ft * self.iso_interval_ns + sign * hop_ns

    def air(self, bits: list[list[int]], hop_ns: int) -> Air:
        """The stream with payloads of `bits[sending ear][channel]` in every hop.

        Raises ValueError where hops and intervals, packets and bursts, or sub-events and airtime
        do not fit together.
        """
        self._check_hop(hop_ns)
        header = SEGMENT_OCTETS if self.framing == "framed" else 0
        sizes = [
            [
                [size + header for size, _ in fragments(octets_of(b), self.pdu_octets - header)]
                if b
                else []
                for b in ear
            ]
            for ear in bits
        ]
        largest = [max((s for sizes_ in ear for s in sizes_), default=0) for ear in sizes]
        needed = [sum(map(len, ear)) for ear in sizes]
        self._check_burst(needed, hop_ns)
        sub_event_ns = self.sub_event_ns(*largest)
        sync_delay_ns = self.nse * sub_event_ns
        free_ns = self.iso_interval_ns * (1 - self.reserved_airtime)
        if sync_delay_ns > free_ns:
            raise ValueError(
                f"link.nse: {self.nse} sub-events of {sub_event_ns / 1e6:g} ms take "
                f"{sync_delay_ns / 1e6:g} ms, and an interval leaves them {free_ns / 1e6:g} ms; at "
                f"most {int(free_ns // sub_event_ns)} fit"
            )
        payloads = [[tuple(map(self._piece, sizes_)) for sizes_ in ear] for ear in sizes]
        # Every packet counts as the largest one, because an interval has room for `bn` of them.
        per_hop = [8e6 * octets / hop_ns for octets in largest]
        per_interval = [8e6 * octets / self.iso_interval_ns for octets in largest]
        return CisAir(
            payloads,
            offered_kbps=(needed[0] * per_hop[0], needed[1] * per_hop[1]),
            rate_kbps=(self.bn * per_interval[0], self.bn * per_interval[1]),
            shared=False,
            streaming=False,
            attempts=self.nse * self.ft,
            slots=Slots(
                self.iso_interval_ns,
                round(self.anchor_ms * 1e6),
                self.nse,
                sub_event_ns,
                self._airtime_ns(largest[0]) + INTER_FRAME_NS,
            ),
            bn=self.bn,
            ft=self.ft,
            grid_ns=hop_ns if self.framing == "unframed" else 1,
            transport_ns=self.latency_ns(sync_delay_ns, hop_ns),
        )

    def _airtime_ns(self, octets: int) -> int:
        return airtime_ns(self.phy, octets, self.mic)

    def _piece(self, octets: int) -> Piece:
        time_ns = self._airtime_ns(octets)
        return Piece(time_ns, time_ns, exposed_bits(octets, self.mic))

    def _check_hop(self, hop_ns: int) -> None:
        if self.framing == "framed":
            return
        hop = f"{hop_ns / 1e6:g} ms"
        if hop_ns % UNIT_NS:
            raise ValueError(
                f"link.framing: a hop of {hop} cannot travel unframed, because an ISO interval is "
                "a multiple of 1.25 ms and has to hold a whole number of hops; take framing: "
                "framed (about an interval and a hop more latency), a hop of 120 (7.5 ms) or 160 "
                "samples (10 ms), or kind: tdma"
            )
        if self.iso_interval_ns % hop_ns:
            raise ValueError(
                f"link.iso_interval_ms: must be a multiple of the hop, {hop}, unless framing is "
                f"framed (got {self.iso_interval_ms:g})"
            )

    def _check_burst(self, needed: list[int], hop_ns: int) -> None:
        """Unframed, every hop needs its packets; framed, the verdict reports a shortage."""
        if self.framing == "framed":
            return
        least = max(needed) * (self.iso_interval_ns // hop_ns)
        if self.bn < least:
            raise ValueError(
                f"link.bn: the payloads of an interval of {self.iso_interval_ms:g} ms need {least} "
                f"packets of at most {self.pdu_octets} octets (got bn {self.bn})"
            )


def sub_events(repeats: tuple[int, int], bn: tuple[int, int], ft: int) -> int:
    """Sub-events that are needed for `repeats` of each packet of central and peripheral.

    N_total = max((RTN_c + 1) BN_c, (RTN_p + 1) BN_p); NSE = ceil(N_total / FT).

    >>> sub_events((2, 2), (1, 1), 1)
    3
    """
    total = max((again + 1) * burst for again, burst in zip(repeats, bn, strict=True))
    return -(-total // ft)


@dataclass(frozen=True)
class CisAir(Air):
    """Sub-events of a stream; every packet has its interval, flush point and time of delivery."""

    bn: int = 1
    ft: int = 1
    grid_ns: int = 1
    """Payloads are taken over at multiples of this after the anchor."""
    transport_ns: int = 0

    def entry(self, sender: int, now_ns: int, booked: Booked) -> Entry:
        """The first interval with a free place.

        The n-th of the `bn` packets of an interval is flushed after sub-event NSE - floor(NSE / BN)
        (BN - 1 - n) of the last of its `ft` intervals, so that none blocks those after it.
        """
        slots = self.slots
        assert slots is not None
        own_ns = slots.anchor_ns + _up(now_ns - slots.anchor_ns, self.grid_ns)
        event = _up(own_ns - slots.anchor_ns, slots.period_ns) // slots.period_ns
        while booked.get((sender, event), 0) == self.bn:
            event += 1
        place = booked.get((sender, event), 0)
        booked[sender, event] = place + 1
        first_ns = slots.anchor_ns + event * slots.period_ns
        last = slots.count - slots.count // self.bn * (self.bn - 1 - place)
        until_ns = first_ns + (self.ft - 1) * slots.period_ns + last * slots.pitch_ns
        return Entry(first_ns, until_ns, own_ns + self.transport_ns)

    def latest_end_ns(
        self, sender: int, channel: int, piece: int, entry: Entry, end_ns: int
    ) -> int:
        """The delivery does not depend on the number of attempts."""
        return end_ns


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
