"""Servers with queues: a medium for packets, the slots of an ear, a core that computes.

They run in the SimPy environment that they are given, in integer nanoseconds.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np

from hasim.simulation.link.air import NEVER, Slots

# SimPy's; SimPy itself is imported in `automatic_waits` alone.
Environment = Any
Event = Any

NORMAL, RELEASE, INTERRUPT, ADMISSION = 1, 2, 3, 4
"""Order within one nanosecond: SimPy's own events, release of frames, interrupts, admission of
requests."""


class WorkLog:
    """When each request was made, when its service began, and how long it took."""

    def __init__(self) -> None:
        self.asked_ns: list[int] = []
        self.began_ns: list[int] = []
        self.work_ns: list[int] = []

    @property
    def busy_ns(self) -> int:
        """Time of all services so far."""
        return sum(self.work_ns)

    def log(self, asked_ns: int, began_ns: int, work_ns: int) -> None:
        """Record one service."""
        self.asked_ns.append(asked_ns)
        self.began_ns.append(began_ns)
        self.work_ns.append(work_ns)

    def statistics(self) -> dict[str, float]:
        """Statistics of the queue, requests in service not counted.

        `mean_queue` is the time average from 0 to the end of the last service, by integration of
        the number waiting; `mean_wait_ms` and `max_wait_ms` are over the requests; `utilisation` is
        the share of time in service.
        """
        if not self.asked_ns:
            return {"mean_queue": 0.0, "mean_wait_ms": 0.0, "max_wait_ms": 0.0, "utilisation": 0.0}
        asked, began = np.array(self.asked_ns), np.array(self.began_ns)
        changes = np.concatenate([asked, began])
        # Of changes at one time, arrivals come first.
        order = np.argsort(changes, kind="stable")
        waiting = np.cumsum(np.repeat([1, -1], len(asked))[order])
        # All services may have taken no time at time 0.
        span_ns = max(int((began + np.array(self.work_ns)).max()), 1)
        return {
            "mean_queue": float(np.sum(waiting[:-1] * np.diff(changes[order])) / span_ns),
            "mean_wait_ms": float((began - asked).mean() / 1e6),
            "max_wait_ms": float((began - asked).max() / 1e6),
            "utilisation": self.busy_ns / span_ns,
        }


class Server(WorkLog):
    """One server: first come first served, in the same nanosecond by rank, never interrupted.

    A SimPy Resource serves requests of one nanosecond in the order in which their events were
    created. As the work is known when it is requested, the server needs no events while it is busy.

    With `opens_ns` it sleeps when its queue is empty, and wakes at the next multiple of that time.
    """

    def __init__(self, env: Environment, opens_ns: int = 0) -> None:
        super().__init__()
        self._env = env
        self._opens_ns = opens_ns
        self._asking: list[tuple[tuple[int, ...], int, int, Event]] = []
        self._free_ns = 0

    @property
    def busy(self) -> bool:
        """A request is being served, waits, or has just been made."""
        return bool(self._asking) or self._free_ns > self._env.now

    def begin(self, work_ns: int, rank: tuple[int, ...] = (), until_ns: int = NEVER) -> Event:
        """An event at the beginning of the service, which then takes `work_ns`.

        Its value is False where the service could not begin before `until_ns`; then there is none.
        Requests of one nanosecond must differ in rank for their order to be defined.
        """
        if not self._asking:
            admission = trigger_after(self._env.event(), 0, ADMISSION)
            admission.callbacks.append(self._admit)
        begin = self._env.event()
        self._asking.append((rank, work_ns, until_ns, begin))
        return begin

    def _admit(self, _: Event) -> None:
        now = self._env.now
        for _rank, work_ns, until_ns, begin in sorted(self._asking, key=lambda asked: asked[0]):
            start = self._start_ns(now)
            if start >= until_ns:
                trigger_after(begin, 0, value=False)
                continue
            self._free_ns = start + work_ns
            self.log(now, start, work_ns)
            trigger_after(begin, start - now)
        self._asking.clear()

    def _start_ns(self, now: int) -> int:
        if not self._opens_ns:
            return max(now, self._free_ns)
        if self._free_ns >= now and self._free_ns > 0:
            return self._free_ns
        return -(-now // self._opens_ns) * self._opens_ns


class SlotServer(WorkLog):
    """The slots of one ear: the waiting request with the lowest rank has the next one."""

    def __init__(self, env: Environment, slots: Slots, ear: int) -> None:
        super().__init__()
        self._env = env
        self._slots = slots
        self._ear = ear
        self._waiting: list[tuple[tuple[int, ...], int, int, int, Event]] = []
        self._awake = False
        # Slots before this are over.
        self._next_ns = 0

    def begin(self, work_ns: int, rank: tuple[int, ...] = (), until_ns: int = NEVER) -> Event:
        """As `Server.begin`; a lower rank goes first, whenever it was requested."""
        begin = self._env.event()
        heappush(self._waiting, (rank, self._env.now, work_ns, until_ns, begin))
        if not self._awake:
            self._wake()
        return begin

    def _wake(self) -> None:
        now, self._awake = self._env.now, True
        slot_ns = self._slots.next_ns(self._ear, max(now, self._next_ns))
        slot = trigger_after(self._env.event(), slot_ns - now, ADMISSION)
        slot.callbacks.append(self._slot)

    def _slot(self, _: Event) -> None:
        now = self._env.now
        self._awake = False
        self._next_ns = now + 1
        while self._waiting:
            _rank, asked_ns, work_ns, until_ns, begin = heappop(self._waiting)
            if now < until_ns:
                self.log(asked_ns, now, work_ns)
                trigger_after(begin, 0)
                break
            trigger_after(begin, 0, value=False)
        if self._waiting:
            self._wake()


class ContentionMedium:
    """A medium without access control (ALOHA): transmissions that overlap are all lost."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._on_air: list[Transmission] = []

    def send(self, airtime_ns: int) -> Transmission:
        """Begin to send now; at its end `collided` says whether it overlapped with another."""
        now = self._env.now
        self._on_air = [other for other in self._on_air if other.end_ns > now]
        mine = Transmission(now + airtime_ns, bool(self._on_air))
        for other in self._on_air:
            other.collided = True
        self._on_air.append(mine)
        return mine


class Transmission:
    """One transmission on a contention medium."""

    __slots__ = ("collided", "end_ns")

    def __init__(self, end_ns: int, collided: bool) -> None:
        self.end_ns = end_ns
        self.collided = collided


class Core(WorkLog):
    """A processor core: one job at a time, first come first served, in the same nanosecond by rank;
    with `by_rank` always by rank, and among equals by time.

    An interrupt stops the job, which continues after it. A job that ends in the nanosecond of an
    interrupt has ended before it.
    """

    def __init__(self, env: Environment, by_rank: bool = False) -> None:
        super().__init__()
        self._env = env
        self._by_rank = by_rank
        self._asking: list[Job] = []
        self._queue: list[Job] = []
        self._job: Job | None = None
        # The end of the interrupts so far.
        self._interrupted_ns = 0
        # Time of interrupts, during jobs or idle time.
        self.stolen_ns = 0

    @property
    def busy(self) -> bool:
        """A job runs, waits, or has just been requested."""
        return bool(self._asking or self._queue) or self._job is not None

    def ask(self, work_ns: int, rank: tuple[int, ...] = ()) -> Job:
        """Request `work_ns`; the event `granted` of the job comes when it begins. The caller must
        `end` the job."""
        if not self._asking:
            admission = trigger_after(self._env.event(), 0, ADMISSION)
            admission.callbacks.append(self._admit)
        job = Job(work_ns, rank, self._env.now, self._env.event())
        self._asking.append(job)
        return job

    def end(self, job: Job) -> None:
        """The job is finished, or given up, begun or not."""
        if job is self._job:
            self.log(job.asked_ns, job.began_ns, self._env.now - job.began_ns)
            self._job = None
            if self._queue:
                self._grant(self._queue.pop(0))
        elif job in self._queue:
            self._queue.remove(job)
        else:
            self._asking.remove(job)

    def interrupt(self, takes_ns: int) -> None:
        """Take the core for `takes_ns`, from now on or after earlier interrupts."""
        now = self._env.now
        self._interrupted_ns = max(self._interrupted_ns, now) + takes_ns
        self.stolen_ns += takes_ns
        job = self._job
        if job is not None and job.at_ns(job.work_ns) > now:
            job.pause(now, takes_ns)

    def _admit(self, _: Event) -> None:
        self._queue += sorted(self._asking, key=lambda job: job.rank)
        if self._by_rank:
            self._queue.sort(key=lambda job: job.rank)
        self._asking.clear()
        if self._job is None and self._queue:
            self._grant(self._queue.pop(0))

    def _grant(self, job: Job) -> None:
        now = self._env.now
        self._job = job
        job.began_ns = now
        if self._interrupted_ns > now:
            job.pause(now, self._interrupted_ns - now)
        trigger_after(job.granted, 0)


class Job:
    """A piece of work for a core."""

    __slots__ = ("asked_ns", "began_ns", "granted", "pauses", "rank", "stolen_ns", "work_ns")

    def __init__(self, work_ns: int, rank: tuple[int, ...], asked_ns: int, granted: Event) -> None:
        self.work_ns = work_ns
        self.rank = rank
        self.asked_ns = asked_ns
        self.granted = granted
        self.began_ns = -1
        # Time of interrupts so far.
        self.stolen_ns = 0
        # For each interrupt: work done before it, and how long it took.
        self.pauses: list[tuple[int, int]] = []

    def pause(self, now_ns: int, takes_ns: int) -> None:
        """Record an interrupt; it may begin during another."""
        done_ns = max(0, now_ns - self.began_ns - self.stolen_ns)
        if self.pauses:
            done_ns = max(done_ns, self.pauses[-1][0])
        self.pauses.append((done_ns, takes_ns))
        self.stolen_ns += takes_ns

    def at_ns(self, progress_ns: int) -> int:
        """When `progress_ns` of the work is done, if nothing else interrupts."""
        return self.began_ns + self.stolen_ns + progress_ns


def trigger_after(event: Event, delay_ns: int, priority: int = NORMAL, value: bool = True) -> Event:
    """Trigger `event` after `delay_ns`, after all events of lower `priority` at that nanosecond.

    SimPy's Timeout does the same with a single priority.
    """
    event._ok, event._value = True, value
    event.env.schedule(event, priority, delay_ns)
    return event
