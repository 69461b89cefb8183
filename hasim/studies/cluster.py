"""The workers of a Dask scheduler that is already there (`--cluster`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from hasim.config.process_pool import Group, TaskQueue, Work, one_group
from hasim.config.spec import InputError
from hasim.config.subprocess_worker import ProcessDied, TimeLimit, call_in_subprocess

START_S = 60
"""How long the scheduler may take to answer."""
CLOSE_S = 5
HELD = 2
"""Tasks that are handed out for every worker: one is at work, and one is there already when the
worker is done, while the answer travels."""


class Cluster:
    """Connection to a scheduler and whatever workers it has; they may come and go.

    A task that takes longer than `limit_s` is ended. Raises InputError where Dask is not installed
    or no scheduler answers.
    """

    def __init__(self, address: str, limit_s: float | None = None) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("--cluster needs Dask: pip install 'hasim[cluster]'") from error
        self.address = address
        self._limit_s = limit_s
        try:
            self._client: Any = Client(address, timeout=START_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{address}: no Dask scheduler answers: {error}") from error

    def map(
        self, work: Work, tasks: Iterable[Any], group: Group = one_group
    ) -> Iterator[tuple[Any, Any]]:
        """As `ProcessPool.map`; a task whose worker dies is given to others, as often as the
        scheduler allows it.

        Raises InputError where the cluster is lost.
        """
        from distributed import as_completed

        waiting = TaskQueue(tasks, group)
        running: dict[Any, Any] = {}
        done = as_completed(loop=self._client.loop)

        def hand_out(after: Any = None) -> None:
            """Give tasks to all workers that have none, the first one after the task `after`."""
            workers = self._workers()
            while waiting and len(running) < HELD * workers:
                task = waiting.next(after, list(running.values()), workers)
                after = None
                future = self._submitted(work, task)
                running[future] = task
                done.add(future)

        hand_out()
        while running:
            future = next(done)
            task = running.pop(future)
            # The next task goes out before this one's answer is fetched and kept.
            hand_out(after=task)
            try:
                answer = self._answer(future)
            except _TaskForgotten:
                waiting.put_back(task)
                hand_out()
            else:
                yield task, answer
            # The scheduler keeps an answer as long as there is a future of it.
            del future

    def close(self) -> None:
        """Leave the cluster; it forgets the tasks that are not done."""
        with suppress(TimeoutError, OSError):
            self._client.close(timeout=CLOSE_S)

    def _workers(self) -> int:
        """How many tasks can be at work at once; 1 while the cluster has no worker yet."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, sum(worker["nthreads"] for worker in workers))

    def _submitted(self, work: Work, task: Any) -> Any:
        """A Dask future."""
        if self._limit_s is None:
            return self._client.submit(work, task, pure=False)
        return self._client.submit(_limited, work, task, self._limit_s, pure=False)

    def _answer(self, future: Any) -> Any:
        """What a finished future returned, or the exception in its place."""
        from distributed import CancelledError, KilledWorker

        try:
            return future.result()
        except KilledWorker:
            return ProcessDied("died, and so did those of all others that tried")
        except CancelledError as error:
            if self._client.status == "running":
                raise _TaskForgotten from error
            raise InputError(
                f"{self.address}: lost on the way; the same command goes on"
            ) from error
        except Exception as error:
            # a worker without hasim, for instance
            return error


class _TaskForgotten(Exception):
    """The scheduler knows nothing of a task any more: it has to be handed out again."""


def _limited(work: Work, task: Any, limit_s: float) -> Any:
    """`work(task)` in a child process of a cluster's worker, which keeps the time limit."""
    try:
        return call_in_subprocess(work, task, limit_s=limit_s)
    except (TimeLimit, ProcessDied) as error:
        return error
