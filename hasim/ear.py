"""An ear as it is played: its core, and a station for every segment of its program.

Every station takes the frames in order, so that segment k of frame n + 1 never starts before
segment k of frame n is over. The stations share the core, which is never interrupted and which is
free while a frame waits for the partner; of two frames that ask for it in the same nanosecond the
older one goes first.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hasim.plan import Plan, Waits, sent
from hasim.program import Receive, Send
from hasim.radio import Radio
from hasim.server import RELEASE, Environment, Event, Server, schedule


class Ear:
    """One device in a run; without `waits_ns` it waits for packets as long as it takes."""

    def __init__(
        self, env: Environment, plan: Plan, radio: Radio, ear: int, waits_ns: Waits | None
    ) -> None:
        stations = len(plan.segments[ear])
        self._env = env
        self._plan = plan
        self._radio = radio
        self._ear = ear
        self._waits_ns = waits_ns
        self._number = {channel: number for number, channel in enumerate(plan.channels)}
        self._over = [[env.event() for _ in range(plan.frames)] for _ in range(stations + 1)]
        self.core = Server(env)
        self.skipped = [False] * plan.frames
        self.began_ns = [[-1] * plan.frames for _ in range(stations)]
        self.finished_ns = [-1] * plan.frames
        env.process(self._release())
        for send in sent(plan.programs[ear]):
            if send.while_capturing and plan.link.packets_per_hop > 1:
                env.process(self._capture(send))
        for station in range(stations):
            env.process(self._station(station))

    def _capture(self, send: Send) -> Generator[Event, Any, None]:
        """Hand over the pieces of a hop that are complete before the hop is."""
        env, plan, pieces = self._env, self._plan, self._plan.link.packets_per_hop
        for frame in range(plan.frames):
            for piece in range(pieces - 1):
                captured_ns = -(-(frame * pieces + piece + 1) * plan.hop_ns // pieces)
                yield env.timeout(captured_ns - env.now)
                self._radio.send(self._ear, self._number[send.channel], frame, piece)

    def _release(self) -> Generator[Event, Any, None]:
        """Release every frame to the first station, unless it is skipped."""
        env, plan = self._env, self._plan
        may_skip = plan.devices[self._ear].overload == "skip_frame"
        captured = [send for send in sent(plan.programs[self._ear]) if send.while_capturing]
        for frame in range(plan.frames):
            yield schedule(env.event(), plan.released_ns(frame) - env.now, RELEASE)
            self.skipped[frame] = may_skip and self.core.busy
            if not self.skipped[frame]:
                for send in captured:
                    self._send(send, frame, plan.link.packets_per_hop - 1)
            self._over[0][frame].succeed()

    def _station(self, station: int) -> Generator[Event, Any, None]:
        """Frame by frame, wait for the station before, the partner and the core; then work."""
        env, plan = self._env, self._plan
        segment = plan.segments[self._ear][station]
        before, after = self._over[station], self._over[station + 1]
        for frame in range(plan.frames):
            yield before[frame]
            if not self.skipped[frame]:
                for receive in segment.receives:
                    yield from self._receive(receive, frame)
                work_ns = segment.work_ns[frame]
                if work_ns:
                    yield self.core.begin(work_ns, rank=(frame,))
                begin_ns = self.began_ns[station][frame] = env.now
                for send, offsets_ns in segment.sends:
                    if begin_ns + offsets_ns[frame] > env.now:
                        yield env.timeout(begin_ns + offsets_ns[frame] - env.now)
                    for piece in range(plan.link.packets_per_hop):
                        self._send(send, frame, piece)
                if begin_ns + work_ns > env.now:
                    yield env.timeout(begin_ns + work_ns - env.now)
                if station + 1 == len(self.began_ns):
                    self.finished_ns[frame] = env.now
            after[frame].succeed()

    def _send(self, send: Send, frame: int, piece: int) -> None:
        channel = self._number[send.channel]
        self._radio.sent_ns[self._ear][channel][frame] = self._env.now
        self._radio.send(self._ear, channel, frame, piece)

    def _receive(self, receive: Receive, frame: int) -> Generator[Event, Any, None]:
        """Wait for the packets that this frame is the first to need."""
        channel = self._number[receive.channel]
        newest = frame + receive.lag_frames
        oldest = newest if frame else 0
        give_up_ns = None
        if self._waits_ns is not None:
            give_up_ns = self._plan.released_ns(frame) + self._waits_ns[self._ear][channel]
        for packet in range(max(oldest, 0), min(newest + 1, self._plan.frames)):
            yield from self._radio.awaited(self._ear, channel, packet, give_up_ns)
