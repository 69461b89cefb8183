"""The payloads of one run laid out on the air, as the simulation needs them.

For every payload: in which pieces it travels, when a piece may be sent for the first time, until
when, how long it occupies the medium, and when it arrives. Here a piece may be sent whenever the
medium is free; links with a schedule of their own override that.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import NamedTuple

NEVER = 2**63 - 1


class Piece(NamedTuple):
    """A part of a payload that travels in its own packet."""

    airtime_ns: int
    occupied_ns: int
    """Time for which the medium is taken: airtime, acknowledgement and spaces."""
    bits: int
    """Number of bits; an error in any of them loses the piece."""
    captured: Fraction = Fraction(1)
    """Share of the hop that has to be captured before the piece can leave."""


class Entry(NamedTuple):
    """Place of a piece in the link's schedule."""

    begin_ns: int
    """Earliest start of the first attempt."""
    until_ns: int = NEVER
    """No attempt starts at this time or later."""
    due_ns: int = 0
    """Earliest time at which what arrived is delivered."""


@dataclass(frozen=True)
class Slots:
    """Times at which the ears may begin to send: in turns, left before right, in every period."""

    period_ns: int
    anchor_ns: int
    count: int
    """Slots of each ear in every period."""
    pitch_ns: int
    """From the start of one slot of an ear to that of its next."""
    second_ns: int
    """From the start of the left ear's slot to that of the right ear's."""

    def next_ns(self, ear: int, now_ns: int) -> int:
        """The ear's first slot that begins at `now_ns` or later."""
        first_ns = self.anchor_ns + ear * self.second_ns
        period, within_ns = divmod(now_ns - first_ns, self.period_ns)
        slot = -(-within_ns // self.pitch_ns)
        if slot >= self.count:
            period, slot = period + 1, 0
        return first_ns + period * self.period_ns + slot * self.pitch_ns

    def later_ns(self, ear: int, now_ns: int, slots: int) -> int:
        """The ear's slot that is `slots` slots after the one that begins at `now_ns`."""
        for _ in range(slots):
            now_ns = self.next_ns(ear, now_ns + 1)
        return now_ns


Payloads = list[list[tuple[Piece, ...]]]
"""[sending ear][channel]: the pieces of a payload."""

Booked = dict[tuple[int, int], int]
"""(sending ear, event) -> number of pieces that are sent in it."""


@dataclass(frozen=True)
class Air:
    """A link that may send whenever its medium is free."""

    payloads: Payloads
    """The largest payloads of both ears."""
    offered_kbps: tuple[float, ...]
    """Per medium: the rate that the ears want to send, without repeats."""
    rate_kbps: tuple[float, ...]
    """Per medium: the rate that it can carry, counted the same way."""
    shared: bool = True
    """Both directions share one medium."""
    collides: bool = False
    """There are two media that disturb each other: packets that overlap are lost."""
    streaming: bool = True
    """Pieces of a hop may leave while the hop is being captured."""
    attempts: int = 1
    """Transmissions of each piece at most."""
    pause_ns: int = 0
    """Time before a piece is sent again."""
    latency_ns: int = 0
    """From the last bit sent to its delivery."""
    jitter_ns: int = 0
    slots: Slots | None = None
    """None: an ear sends whenever the medium is free."""
    opens_ns: int = 0
    """A sleeping medium wakes at multiples of this and works until all is sent; 0: always awake."""

    @property
    def period_ns(self) -> int:
        """Period of the link's schedule; 0 where it has none."""
        return self.slots.period_ns if self.slots else self.opens_ns

    def entry(self, sender: int, now_ns: int, booked: Booked) -> Entry:
        """The place in the schedule of a piece that is handed over at `now_ns`."""
        return Entry(now_ns)

    def latest_end_ns(
        self, sender: int, channel: int, piece: int, entry: Entry, end_ns: int
    ) -> int:
        """Latest end of the last attempt of a piece whose first attempt ended at `end_ns`."""
        again_ns = self.payloads[sender][channel][piece].occupied_ns + self.pause_ns
        return end_ns + (self.attempts - 1) * again_ns


def octets_of(bits: int) -> int:
    """Octets that hold `bits`."""
    return -(-bits // 8)


def fragments(octets: int, largest: int) -> list[tuple[int, Fraction]]:
    """Sizes of the packets that carry a payload, each with the share of the payload up to its end.

    All but the last have the largest size. An empty payload still takes a packet.
    """
    count = max(1, ceil(octets / largest))
    ends = [min(octets, (number + 1) * largest) for number in range(count)]
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    whole = max(octets, 1)
    return [(size, Fraction(end, whole)) for size, end in zip(sizes, ends, strict=True)]
