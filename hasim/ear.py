"""An ear as it is played: its core, and a station for every segment of its program.

Every station takes the frames in order, so that segment k of frame n + 1 never starts before
segment k of frame n is over. The stations share the core, which is never interrupted and which is
free while a frame waits for the partner; of two frames that ask for it in the same nanosecond the
older one goes first.
"""

from __future__ import annotations

from collections.abc import Generator
from math import ceil
from typing import Any

from hasim.plan import Plan, Segment, Waits, sent
from hasim.program import Receive, Send
from hasim.radio import Radio
from hasim.server import RELEASE, Core, Environment, Event, Job, schedule


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
        self.core = Core(env)
        self.skipped = [False] * plan.frames
        self.began_ns = [[-1] * plan.frames for _ in range(stations)]
        self.finished_ns = [-1] * plan.frames
        env.process(self._release())
        for send in sent(plan.programs[ear]):
            if send.while_capturing and plan.air.streaming:
                env.process(self._capture(send))
        for station in range(stations):
            env.process(self._station(station))

    def _capture(self, send: Send) -> Generator[Event, Any, None]:
        """Hand over the pieces of a hop that are complete before the hop is."""
        env, plan, channel = self._env, self._plan, self._number[send.channel]
        early = plan.air.payloads[self._ear][channel][:-1]
        for frame in range(plan.frames if early else 0):
            for number, piece in enumerate(early):
                captured_ns = ceil((frame + piece.captured) * plan.hop_ns)
                yield env.timeout(captured_ns - env.now)
                self._radio.send(self._ear, channel, frame, number)

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
                    self._send(send, frame, last_only=plan.air.streaming)
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
                yield from self._work(station, segment, frame)
                if station + 1 == len(self.began_ns):
                    self.finished_ns[frame] = env.now
            after[frame].succeed()

    def _work(self, station: int, segment: Segment, frame: int) -> Generator[Event, Any, None]:
        """Do a segment, and hand over what there is to send as soon as it is there."""
        env, work_ns = self._env, segment.work_ns[frame]
        job = None
        if work_ns:
            job = self.core.ask(work_ns, rank=(frame,))
            yield job.granted
        self.began_ns[station][frame] = env.now
        for send, offsets_ns in segment.sends:
            if job is not None:
                yield from self._until(job, offsets_ns[frame])
            self._send(send, frame)
        if job is not None:
            yield from self._until(job, work_ns)
            self.core.end(job)

    def _until(self, job: Job, progress_ns: int) -> Generator[Event, Any, None]:
        """Wait until so much of a job is done, whatever interrupts it."""
        while job.at_ns(progress_ns) > self._env.now:
            yield self._env.timeout(job.at_ns(progress_ns) - self._env.now)

    def _send(self, send: Send, frame: int, last_only: bool = False) -> None:
        """Hand over a payload, or its last piece where the others left during the capture."""
        channel = self._number[send.channel]
        self._radio.sent_ns[self._ear][channel][frame] = self._env.now
        pieces = len(self._plan.air.payloads[self._ear][channel])
        for piece in range(pieces - 1 if last_only else 0, pieces):
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
