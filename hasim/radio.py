"""The radio between the ears as it is played: packets queue, are repeated, arrive or do not.

A payload travels in pieces. A piece that is lost, or whose acknowledgement is lost, is sent again
after a pause, in which the medium is free, and then queues behind what waits. Acknowledgements take
no time.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hasim.links import LinkSpec
from hasim.links.fate import Fate
from hasim.server import Environment, Event, Server

Record = tuple[int, int, int, int, int, int, int, int, bool]
"""channel, sender, frame, piece, attempt, start_ns, end_ns, arrived_ns (-1 if lost), lost"""


class Radio:
    """Both directions between the ears; channels are numbered, and ears are 0 and 1."""

    def __init__(
        self,
        env: Environment,
        link: LinkSpec,
        fate: Fate,
        airtime_ns: list[list[int]],
        frames: int,
    ) -> None:
        """`airtime_ns` of a piece is by sender and channel."""
        channels = len(airtime_ns[0])
        self._env = env
        self._fate = fate
        self._airtime_ns = airtime_ns
        self._pause_ns = round(link.retry_spacing_ms * 1e6)
        left = Server(env)
        self.media = (left, left if link.duplex == "half" else Server(env))
        self._missing = _table(channels, frames, link.packets_per_hop)  # pieces, by sender
        self._latest_ns = _table(
            channels, frames, -1
        )  # arrival of the latest piece so far, by sender
        self._news: dict[tuple[int, int, int], Event] = {}
        self.sent_ns = _table(channels, frames, -1)  # by sender
        self.arrived_ns = _table(channels, frames, -1)  # by receiver; once it is certain
        self.records: list[Record] = []

    def send(self, sender: int, channel: int, frame: int, piece: int) -> None:
        """Hand one piece to the link, now."""
        self._env.process(self._piece(sender, channel, frame, piece))

    def _piece(
        self, sender: int, channel: int, frame: int, piece: int
    ) -> Generator[Event, Any, None]:
        env, fate, medium = self._env, self._fate, self.media[sender]
        airtime_ns = self._airtime_ns[sender][channel]
        delay_ns = fate.delay_ns(sender, frame, channel, piece)
        arrived = False
        for attempt in range(fate.attempts):
            if attempt:
                yield env.timeout(airtime_ns + self._pause_ns)
            yield medium.begin(airtime_ns, rank=(sender, frame, channel, piece))
            end_ns = env.now + airtime_ns
            lost = fate.lost[sender](frame)
            arrival_ns = -1 if lost else end_ns + delay_ns
            self.records.append(
                (channel, sender, frame, piece, attempt, env.now, end_ns, arrival_ns, lost)
            )
            if lost:
                continue
            if not arrived:
                arrived = True
                self._piece_arrives(sender, channel, frame, arrival_ns)
            if not next(fate.ack_lost[sender]):
                return

    def _piece_arrives(self, sender: int, channel: int, frame: int, arrival_ns: int) -> None:
        latest_ns = max(self._latest_ns[sender][channel][frame], arrival_ns)
        self._latest_ns[sender][channel][frame] = latest_ns
        self._missing[sender][channel][frame] -= 1
        if self._missing[sender][channel][frame] == 0:
            self.arrived_ns[1 - sender][channel][frame] = latest_ns
            news = self._news.get((1 - sender, channel, frame))
            if news is not None:
                news.succeed()

    def awaited(
        self, receiver: int, channel: int, frame: int, give_up_ns: int | None
    ) -> Generator[Event, Any, None]:
        """Wait for a packet, until `give_up_ns` at most (None: as long as it takes)."""
        env = self._env
        arrivals_ns = self.arrived_ns[receiver][channel]
        if arrivals_ns[frame] < 0 and (give_up_ns is None or env.now < give_up_ns):
            news = self._news[receiver, channel, frame] = env.event()
            yield news if give_up_ns is None else news | env.timeout(give_up_ns - env.now)
        until_ns = arrivals_ns[frame]
        if give_up_ns is not None:
            until_ns = give_up_ns if until_ns < 0 else min(until_ns, give_up_ns)
        if until_ns > env.now:
            yield env.timeout(until_ns - env.now)


def _table(channels: int, frames: int, value: int) -> list[list[list[int]]]:
    """[ear][channel][frame]"""
    return [[[value] * frames for _ in range(channels)] for _ in range(2)]
