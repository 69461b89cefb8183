"""One ear's processor in a simulation: its cores, and a SimPy process for every stage.

A stage is one segment of the program. Every stage takes the frames in order, so that segment k of
frame n + 1 never starts before segment k of frame n is over. The stages share the core (and the
accelerator, if there is one), which is free while a frame waits for the partner; of two frames that
request it in the same nanosecond the older one goes first. What happens to a frame for which there
is no time is decided when it is released, or when it is due.
"""

from __future__ import annotations

from collections.abc import Generator
from math import ceil
from typing import Any

from hasim.simulation.device.device import Resource
from hasim.simulation.program import Receive, Send
from hasim.simulation.queues import INTERRUPT, RELEASE, Core, Environment, Event, Job, trigger_after
from hasim.simulation.radio import Radio
from hasim.simulation.schedule import Schedule, Segment, WaitTimes, sent
from hasim.simulation.timeline import Mode


class Processor:
    """One device in a run; without `waits_ns` it waits for every packet until it arrives.

    With `delay_ns`, frames that are not finished that long after their release may be given up.
    `interrupted` is the exception that SimPy throws into a process that is interrupted.
    """

    def __init__(
        self,
        env: Environment,
        schedule: Schedule,
        radio: Radio,
        ear: int,
        waits_ns: WaitTimes | None,
        delay_ns: int | None,
        interrupted: type[BaseException],
    ) -> None:
        self._env = env
        self._schedule = schedule
        self._radio = radio
        self._ear = ear
        self._device = schedule.devices[ear]
        self._segments = schedule.segments[ear]
        self._waits_ns = waits_ns
        self._delay_ns = delay_ns
        self._interrupted = interrupted
        self._number = {channel: number for number, channel in enumerate(schedule.channels)}
        stages = len(self._segments[Mode.FULL])
        self._over = [[env.event() for _ in range(schedule.frames)] for _ in range(stages + 1)]
        # The frame that each stage works on, -1 for none.
        self._at = [-1] * stages
        by_rank = self._device.order == "oldest_frame"
        resources = dict.fromkeys(segment.resource for segment in self._segments[Mode.FULL])
        self.cores: dict[Resource, Core] = {
            resource: Core(env, by_rank) for resource in ("core", *resources)
        }
        self.skipped = [False] * schedule.frames
        self.mode = [Mode.FULL] * schedule.frames
        # The first frame after a reboot.
        self.restarted = -1
        self.began_ns = [[-1] * schedule.frames for _ in range(stages)]
        # (stage, frame): when it was given up in the middle.
        self.stopped_ns: dict[tuple[int, int], int] = {}
        # (stage, frame): interrupts, as in `Job.pauses`.
        self.pauses: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.finished_ns = [-1] * schedule.frames
        env.process(self._release())
        for send in sent(schedule.programs[ear]):
            if self._streams(send):
                env.process(self._capture(send))
        self._stages = [env.process(self._stage(stage)) for stage in range(stages)]
        self._interrupt_the_core()
        if self._device.reboot is not None:
            env.process(self._reboot())

    # ------------------------------------------------------------------------------- new frames

    def _capture(self, send: Send) -> Generator[Event, Any, None]:
        """Hand over the pieces of a hop that are complete before the hop is."""
        env, schedule, channel = self._env, self._schedule, self._number[send.channel]
        # All pieces but the last have one size.
        early = schedule.air.payloads[self._ear][channel][:-1]
        for frame in range(schedule.frames if early else 0):
            for number, piece in enumerate(early):
                captured_ns = ceil((frame + piece.captured) * schedule.hop_ns)
                yield env.timeout(captured_ns - env.now)
                if not self._down:
                    self._radio.send(self._ear, channel, frame, number)

    def _streams(self, send: Send) -> bool:
        """Pieces leave while they are captured; their size is then fixed."""
        return send.while_capturing and self._schedule.air.streaming and not send.ladder

    def _release(self) -> Generator[Event, Any, None]:
        """Release every frame to the first stage."""
        env, schedule = self._env, self._schedule
        captured = [send for send in sent(schedule.programs[self._ear]) if send.while_capturing]
        for frame in range(schedule.frames):
            yield trigger_after(env.event(), schedule.released_ns(frame) - env.now, RELEASE)
            self._decide(frame)
            if not self.skipped[frame]:
                for send in captured:
                    self._send(send, frame, last_only=self._streams(send))
            self._over[0][frame].succeed()

    def _decide(self, frame: int) -> None:
        """Decide how a frame that is released now is computed, or whether it is skipped."""
        if self._down:
            self.skipped[frame] = True
            return
        if self._device.reboot is not None and self.restarted < 0 and self._booted:
            self.restarted = frame
        overload = self._device.overload
        if overload == "abort_at_deadline" and self._delay_ns is not None:
            due = trigger_after(self._env.event(), self._delay_ns, INTERRUPT)
            due.callbacks.append(lambda _: self._give_up(frame))
        elif overload == "queue" or not any(core.busy for core in self.cores.values()):
            return
        elif overload == "skip_frame":
            self.skipped[frame] = True
        elif overload == "hold_filter":
            self.mode[frame] = Mode.HELD
        elif overload == "degrade":
            self.mode[frame] = Mode.DEGRADED
        elif overload == "drop_oldest":
            # Of the frames that have not begun, at most the one before this is left.
            before = frame - 1
            if before >= 0 and self.began_ns[0][before] < 0:
                self._give_up(before)

    # ------------------------------------------------------------------------------ computation

    def _stage(self, stage: int) -> Generator[Event, Any, None]:
        """Frame by frame: wait for the stage before, the partner and the core; then compute."""
        before, after = self._over[stage], self._over[stage + 1]
        last = stage + 1 == len(self.began_ns)
        for frame in range(self._schedule.frames):
            yield before[frame]
            if not self.skipped[frame]:
                self._at[stage] = frame
                segment = self._segments[self.mode[frame]][stage]
                try:
                    for receive in segment.receives:
                        yield from self._receive(receive, frame)
                    yield from self._work(stage, segment, frame)
                    if last:
                        self.finished_ns[frame] = self._env.now
                except self._interrupted:
                    self.stopped_ns[stage, frame] = self._env.now
                self._at[stage] = -1
            after[frame].succeed()

    def _work(self, stage: int, segment: Segment, frame: int) -> Generator[Event, Any, None]:
        """Compute a segment, and hand over each payload as soon as it is ready."""
        work_ns = segment.work_ns[frame]
        if not work_ns:
            self.began_ns[stage][frame] = self._env.now
            for send, _ in segment.sends:
                self._send(send, frame)
            return
        core = self.cores[segment.resource]
        job = core.ask(work_ns, rank=(frame,))
        try:
            yield job.granted
            self.began_ns[stage][frame] = self._env.now
            for send, offsets_ns in segment.sends:
                yield from self._until(job, offsets_ns[frame])
                self._send(send, frame)
            yield from self._until(job, work_ns)
        finally:
            core.end(job)
            if job.pauses:
                self.pauses[stage, frame] = job.pauses

    def _until(self, job: Job, progress_ns: int) -> Generator[Event, Any, None]:
        """Wait until `progress_ns` of a job is done, interrupts included."""
        while job.at_ns(progress_ns) > self._env.now:
            yield self._env.timeout(job.at_ns(progress_ns) - self._env.now)

    def _send(self, send: Send, frame: int, last_only: bool = False) -> None:
        """Hand over a payload, or its last piece where the others left during the capture."""
        channel = self._number[send.channel]
        self._radio.sent_ns[self._ear][channel][frame] = self._env.now
        pieces = self._radio.pieces(self._ear, channel, frame)
        for piece in range(pieces - 1 if last_only else 0, pieces):
            self._radio.send(self._ear, channel, frame, piece)

    def _receive(self, receive: Receive, frame: int) -> Generator[Event, Any, None]:
        """Wait for the packets that this frame is the first to need."""
        channel = self._number[receive.channel]
        newest = frame + receive.lag_frames
        oldest = newest if frame else 0
        give_up_ns = None
        if self._waits_ns is not None:
            give_up_ns = self._schedule.released_ns(frame) + self._waits_ns[self._ear][channel]
        for packet in range(max(oldest, 0), min(newest + 1, self._schedule.frames)):
            yield from self._radio.awaited(self._ear, channel, packet, give_up_ns)

    # --------------------------------------------------------------------- overload and failures

    def _give_up(self, frame: int) -> None:
        """Stop all work on a frame, unless it is finished."""
        if self.finished_ns[frame] >= 0 or self.skipped[frame]:
            return
        self.skipped[frame] = True
        for stage, at in enumerate(self._at):
            if at == frame:
                self._stages[stage].interrupt()

    def _reboot(self) -> Generator[Event, Any, None]:
        """Give up all frames in progress; until the end of the reboot nothing is computed, sent or
        received."""
        begin_ns, _ = self._radio.down[self._ear]
        yield trigger_after(self._env.event(), begin_ns - self._env.now, INTERRUPT)
        for frame in range(self._schedule.frames):
            if self._schedule.released_ns(frame) <= self._env.now:
                self._give_up(frame)

    @property
    def _down(self) -> bool:
        begin_ns, end_ns = self._radio.down[self._ear]
        return begin_ns <= self._env.now < end_ns

    @property
    def _booted(self) -> bool:
        return bool(self._env.now >= self._radio.down[self._ear][1])

    def _interrupt_the_core(self) -> None:
        interrupts, core = self._device.interrupts, self.cores["core"]
        if interrupts.per_packet_us:
            takes_ns = round(interrupts.per_packet_us * 1e3)
            self._radio.listeners.append(lambda _: core.interrupt(takes_ns))
        if interrupts.takes_us:
            self._env.process(
                self._every(round(interrupts.every_ms * 1e6), round(interrupts.takes_us * 1e3))
            )

    def _every(self, period_ns: int, takes_ns: int) -> Generator[Event, Any, None]:
        """Periodic interrupts, until the last frame is over."""
        while not self._over[-1][-1].triggered:
            self.cores["core"].interrupt(takes_ns)
            yield trigger_after(self._env.event(), period_ns, INTERRUPT)
