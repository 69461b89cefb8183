"""A server with a queue: an ear's core that computes, a medium that carries packets.

It lives in a SimPy environment that is handed in, with integer nanoseconds as its clock.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Environment = Any  # SimPy's; it is imported in one place only, where a run is played
Event = Any

NORMAL, RELEASE, ADMISSION = 1, 2, 3
"""Order within one nanosecond: SimPy's own events, release of frames, admission by servers."""


class Server:
    """One server: first come first served, in the same nanosecond by rank, never interrupted.

    A SimPy Resource would take whoever's event happened to run first. As the work is known when it
    is asked for, the server needs no events of its own while it is busy.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._asking: list[tuple[tuple[int, ...], int, Event]] = []
        self._free_ns = 0
        self.asked_ns: list[int] = []
        self.began_ns: list[int] = []
        self.work_ns: list[int] = []

    @property
    def busy(self) -> bool:
        """Somebody is being served, waits, or has just asked."""
        return bool(self._asking) or self._free_ns > self._env.now

    @property
    def busy_ns(self) -> int:
        """All work taken on so far."""
        return sum(self.work_ns)

    def begin(self, work_ns: int, rank: tuple[int, ...] = ()) -> Event:
        """An event that comes when the service begins; the server is then taken for `work_ns`.

        Requests of one nanosecond must differ in rank if their order is to be certain.
        """
        if not self._asking:
            admission = schedule(self._env.event(), 0, ADMISSION)
            admission.callbacks.append(self._admit)
        begin = self._env.event()
        self._asking.append((rank, work_ns, begin))
        return begin

    def _admit(self, _: Event) -> None:
        now = self._env.now
        for _rank, work_ns, begin in sorted(self._asking, key=lambda request: request[0]):
            start = max(now, self._free_ns)
            self._free_ns = start + work_ns
            self.asked_ns.append(now)
            self.began_ns.append(start)
            self.work_ns.append(work_ns)
            schedule(begin, start - now)
        self._asking.clear()

    def statistics(self) -> dict[str, float]:
        """Figures of the queue, those in service not counted.

        `mean_queue` is the time average from 0 to the end of the last service, by integration of
        the number waiting; `mean_wait_ms` and `max_wait_ms` are over the requests; `utilisation` is
        the share of time in service.
        """
        if not self.asked_ns:
            return {"mean_queue": 0.0, "mean_wait_ms": 0.0, "max_wait_ms": 0.0, "utilisation": 0.0}
        asked, began = np.array(self.asked_ns), np.array(self.began_ns)
        changes = np.concatenate([asked, began])
        order = np.argsort(changes, kind="stable")  # of those at one time, the arrivals come first
        waiting = np.cumsum(np.repeat([1, -1], len(asked))[order])
        span_ns = max(self._free_ns, 1)  # all services may have taken no time at time 0
        return {
            "mean_queue": float(np.sum(waiting[:-1] * np.diff(changes[order])) / span_ns),
            "mean_wait_ms": float((began - asked).mean() / 1e6),
            "max_wait_ms": float((began - asked).max() / 1e6),
            "utilisation": self.busy_ns / span_ns,
        }


def schedule(event: Event, delay_ns: int, priority: int = NORMAL) -> Event:
    """Let `event` come after `delay_ns`, behind everything of smaller priority at that nanosecond.

    SimPy's Timeout does the same, but knows only one priority.
    """
    event._ok, event._value = True, None
    event.env.schedule(event, priority, delay_ns)
    return event
