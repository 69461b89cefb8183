"""The radio between the ears in a simulation: packets queue, are repeated, arrive or are lost.

A payload travels in pieces. A piece that is lost, or whose acknowledgement is lost, is sent again
as the link allows: after a pause, behind what waits; or in the next slot, before what is newer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from hasim.simulation.link.air import NEVER, Air, Booked, Payloads
from hasim.simulation.link.channel import ChannelRealisation
from hasim.simulation.queues import (
    INTERRUPT,
    ContentionMedium,
    Environment,
    Event,
    Server,
    SlotServer,
    trigger_after,
)

Record = tuple[int, int, int, int, int, int, int, int, bool]
"""channel, sender, frame, piece, attempt, start_ns, end_ns, arrived_ns (-1 if lost), lost"""


class Radio:
    """Both directions between the ears; channels are numbered, and ears are 0 and 1."""

    def __init__(
        self,
        env: Environment,
        air: Air,
        sizes: list[Payloads],
        realisation: ChannelRealisation,
        frames: int,
    ) -> None:
        self._env = env
        self._air = air
        self._sizes = sizes
        # By sender: (channel, frame) -> pieces of the payload that still wait.
        self._waiting: tuple[dict[tuple[int, int], int], ...] = ({}, {})
        self._realisation = realisation
        self._booked: Booked = {}
        self.media = _media(env, air)
        self._contention = ContentionMedium(env) if air.collides and realisation.flushes else None
        # Called at the end of every attempt.
        self.listeners: list[Callable[[Event], None]] = []
        # By ear: from when to when it is switched off.
        self.down = [(NEVER, NEVER), (NEVER, NEVER)]
        channels = len(air.payloads[0])
        # Pieces that have not arrived, and the arrival of the latest one so far; by sender.
        self._missing = [[[len(pieces)] * frames for pieces in ear] for ear in air.payloads]
        self._latest_ns = _table(channels, frames, -1)
        self._news: dict[tuple[int, int, int], Event] = {}
        # By sender: step of the codec's ladder of each payload.
        self.rung = _table(channels, frames, 0)
        # By sender.
        self.sent_ns = _table(channels, frames, -1)
        # By receiver: when the last piece arrives.
        self.arrived_ns = _table(channels, frames, -1)
        self.records: list[Record] = []

    def pieces(self, sender: int, channel: int, frame: int) -> int:
        """The number of pieces of a payload that is handed over now; its size depends on how many
        other payloads of this ear still wait."""
        rung = min(len(self._waiting[sender]), len(self._sizes) - 1)
        count = len(self._sizes[rung][sender][channel])
        if len(self._sizes) > 1:
            self.rung[sender][channel][frame] = rung
            self._missing[sender][channel][frame] = count
            self._waiting[sender][channel, frame] = count
        return count

    def send(self, sender: int, channel: int, frame: int, piece: int) -> None:
        """Hand one piece to the link, now."""
        process = self._env.process(self._piece(sender, channel, frame, piece))
        if len(self._sizes) > 1:
            process.callbacks.append(lambda _: self._no_longer_waits(sender, channel, frame))

    def _no_longer_waits(self, sender: int, channel: int, frame: int) -> None:
        self._waiting[sender][channel, frame] -= 1
        if self._waiting[sender][channel, frame] == 0:
            del self._waiting[sender][channel, frame]

    def _piece(
        self, sender: int, channel: int, frame: int, number: int
    ) -> Generator[Event, Any, None]:
        env, air, realisation, medium = self._env, self._air, self._realisation, self.media[sender]
        piece = self._sizes[self.rung[sender][channel][frame]][sender][channel][number]
        entry = air.entry(sender, env.now, self._booked)
        until_ns = entry.until_ns if realisation.flushes else NEVER
        if entry.begin_ns > env.now:
            yield env.timeout(entry.begin_ns - env.now)
        # The order of requests of one nanosecond on a shared medium; the first slot of an ear goes
        # to its oldest piece.
        rank = (sender, frame, channel, number)
        arrived, free_ns = False, 0
        for attempt in range(realisation.attempts):
            if attempt:
                yield env.timeout(free_ns + air.pause_ns - env.now)
            if not (yield medium.begin(piece.occupied_ns, rank, until_ns)):
                return
            if self._is_down(sender, env.now):
                return
            start_ns, end_ns = env.now, env.now + piece.airtime_ns
            free_ns = start_ns + piece.occupied_ns
            for listener in self.listeners:
                trigger_after(env.event(), piece.airtime_ns, INTERRUPT).callbacks.append(listener)
            lost = realisation.lost[sender](frame, start_ns, piece.bits)
            if self._contention is not None:
                transmission = self._contention.send(piece.airtime_ns)
                yield env.timeout(piece.airtime_ns)
                lost = lost or transmission.collided
            lost = lost or self._is_down(sender, end_ns) or self._is_down(1 - sender, end_ns)
            arrival_ns = -1
            if not lost:
                last_ns = end_ns
                if realisation.late:
                    last_ns = air.latest_end_ns(sender, channel, number, entry, end_ns)
                arrival_ns = max(last_ns + air.latency_ns, entry.due_ns)
                arrival_ns += realisation.jitter_ns(sender, frame, channel, number)
            self.records.append(
                (channel, sender, frame, number, attempt, start_ns, end_ns, arrival_ns, lost)
            )
            if lost:
                continue
            if not arrived:
                arrived = True
                self._piece_arrives(sender, channel, frame, arrival_ns)
            if not next(realisation.ack_lost[sender]):
                return

    def _is_down(self, ear: int, time_ns: int) -> bool:
        from_ns, to_ns = self.down[ear]
        return bool(from_ns <= time_ns < to_ns)

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
        """Wait for a packet until it arrives, or until `give_up_ns` if that is not None."""
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


def _media(env: Environment, air: Air) -> tuple[Any, Any]:
    """The servers on which the left and the right ear send."""
    if air.slots is not None:
        return SlotServer(env, air.slots, 0), SlotServer(env, air.slots, 1)
    left = Server(env, air.opens_ns)
    return (left, left if air.shared else Server(env, air.opens_ns))


def _table(channels: int, frames: int, value: int) -> list[list[list[int]]]:
    """[ear][channel][frame]"""
    return [[[value] * frames for _ in range(channels)] for _ in range(2)]
