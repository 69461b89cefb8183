"""Who does the work of many runs: this process, spawned processes beside it, or a Dask cluster.

Workers compute and nothing else. At any moment there is one task at work for every worker and one
more that waits for it, so nobody stands idle while an answer travels and is kept, and little is
lost when all is stopped. Answers come in the order in which they are done. With a time limit every
worker does its tasks in a process beside it. The door to Dask.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from hasim.config.spec import InputError
from hasim.studies.subprocess_worker import Apart, ProcessDied, TimeLimit, limited

Work = Callable[[Any], Any]
Group = Callable[[Any], Hashable]
START_S = 60
"""How long workers may take to come up, and a scheduler to answer."""
CLOSE_S = 5
HELD = 2
"""Tasks that are handed out for every worker: one is at work, one waits."""
LIVES = 2
"""Workers that a task may lose before it counts as failed."""


class WorkerLost(RuntimeError):
    """The processes that worked on a task died, each time."""


class Engine:
    """Maps a function over tasks; workers start with the first task and end with the engine.

    `jobs` processes on this machine, with 1 this very process; or with `cluster`, the address of a
    Dask scheduler, whatever workers it has. A task that takes longer than `time_limit_s` is ended,
    wherever it is stuck.
    """

    def __init__(
        self, jobs: int = 1, cluster: str | None = None, time_limit_s: float | None = None
    ) -> None:
        if jobs < 1:
            raise ValueError(f"jobs: must be at least 1 (got {jobs})")
        self.jobs = jobs
        self.cluster = cluster
        self.time_limit_s = time_limit_s
        self._apart = Apart()
        self._client: Any = None
        self._local: Any = None
        self._settings = ExitStack()  # Dask's, as long as workers may come and go

    def map(
        self, work: Work, tasks: Iterable[Any], group: Group = lambda task: None
    ) -> Iterator[tuple[Any, Any]]:
        """(task, what `work` returned) for every task, in the order of completion.

        Tasks of one `group` share something that the first of them makes and keeps: a worker goes
        through a group task by task, and two are at the same group only when there is no other.

        `work` catches its own errors. In the place of the answer stands an exception where a worker
        could not even begin, a TimeLimit, a ProcessDied where the process beside a worker died, and
        a WorkerLost where the workers died of a task; when one dies of something else, its task is
        given to another.

        Raises:
            InputError: the cluster does not answer, or is lost on the way.
        """
        if self.jobs == 1 and self.cluster is None:
            for task in tasks:
                yield task, self._done_here(work, task)
            return
        from distributed import as_completed

        self._start()
        waiting = _Waiting(tasks, group)
        running: dict[Any, Any] = {}
        done = as_completed(loop=self._client.loop)
        done.update(self._hand_out(work, waiting, running))
        while running:
            future = next(done)
            task = running.pop(future)
            # The next task goes out before this one's answer is fetched and kept.
            done.update(self._hand_out(work, waiting, running, after=task))
            try:
                answer = self._answer(future)
            except _Forgotten:
                waiting.put_back(task)
                done.update(self._hand_out(work, waiting, running))
            else:
                yield task, answer
            del future  # lets the cluster forget the answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Workers that take too long die with this process: they watch it.
        for part in (self._client, self._local):
            if part is not None:
                with suppress(TimeoutError, OSError):
                    part.close(timeout=CLOSE_S)
        self._settings.close()
        self._apart.close()

    def _done_here(self, work: Work, task: Any) -> Any:
        if self.time_limit_s is None:
            return work(task)
        try:
            return self._apart.call(work, task, self.time_limit_s)
        except (TimeLimit, ProcessDied) as error:
            return error

    def _hand_out(
        self, work: Work, waiting: _Waiting, running: dict[Any, Any], after: Any = None
    ) -> list[Any]:
        """Hand out tasks until there are enough for all workers, first one to follow `after`."""
        workers = self._workers()
        fresh = []
        while len(running) < HELD * workers and waiting:
            task = waiting.next(after, list(running.values()), workers)
            after = None
            if self.time_limit_s is None:
                future = self._client.submit(work, task, pure=False)
            else:
                future = self._client.submit(limited, work, task, self.time_limit_s, pure=False)
            running[future] = task
            fresh.append(future)
        return fresh

    def _workers(self) -> int:
        """How many tasks can be at work at once; 1 while a cluster has nobody yet."""
        if self.cluster is None:
            return self.jobs
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, sum(worker["nthreads"] for worker in workers))

    def _start(self) -> None:
        if self._client is not None:
            return
        import logging

        import dask
        from distributed import Client, LocalCluster

        if self.cluster is not None:
            try:
                self._client = Client(self.cluster, timeout=START_S, set_as_default=False)
            except (OSError, ValueError) as error:
                raise InputError(f"{self.cluster}: no Dask scheduler answers: {error}") from error
            return
        # Set before a worker imports anything: one thread each, as the command line does it for
        # this process. This also takes away Dask's own MALLOC_TRIM_THRESHOLD_, with which every
        # array is fetched from the system anew; half of the time went there.
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        settings: dict[str, Any] = {
            "distributed.nanny.pre-spawn-environ": dict.fromkeys(threads, 1),
            # On a busy machine a new process may need longer than the 15 s after which Dask would
            # do without it, in the end without any.
            "distributed.deploy.lost-worker-timeout": "1 day",
            "distributed.scheduler.allowed-failures": LIVES - 1,
            "distributed.scheduler.worker-saturation": 1.0,
            # Dask looks at its processes up to a hundred times a second, each of them. That took
            # 0.12 s of every second from two workers that did nothing; this takes a tenth of it.
            "distributed.worker.profile.enabled": False,
            "distributed.worker.memory.monitor-interval": "1 s",
            "distributed.admin.tick.interval": "1 s",
            "distributed.admin.system-monitor.interval": "5 s",
        }
        self._settings.enter_context(dask.config.set(settings))
        self._local = LocalCluster(
            n_workers=self.jobs,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # a page of its own at a free port: the usual one may be another sweep's
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        )
        self._client = Client(self._local, timeout=START_S, set_as_default=False)

    def _answer(self, future: Any) -> Any:
        """What came of a task, waiting again where its worker took the answer to its grave.

        Raises _Forgotten where the scheduler knows nothing of the task any more.
        """
        from distributed import CancelledError, KilledWorker

        try:
            return future.result()
        except KilledWorker:
            return WorkerLost("its process died, and so did the next one that tried")
        except CancelledError as error:
            if self._client.status == "running":
                raise _Forgotten from error
            raise InputError(
                f"{self.cluster}: lost on the way; the same command goes on"
            ) from error
        except Exception as error:  # a worker without hasim, for instance
            return error


class _Forgotten(Exception):
    """A task that has to be handed out again."""


class _Waiting:
    """Tasks that nobody works on yet, by group; groups in the order of their first tasks."""

    def __init__(self, tasks: Iterable[Any], group: Group) -> None:
        self._group = group
        self._left: dict[Hashable, deque[Any]] = {}
        for task in tasks:
            self._left.setdefault(group(task), deque()).append(task)

    def __bool__(self) -> bool:
        return bool(self._left)

    def next(self, after: Any, running: list[Any], workers: int) -> Any:
        """A task of the group of `after`; else of a new group, while fewer are begun than there are
        workers; else of the one that fewest are at, and of those the longest."""
        group = None if after is None else self._group(after)
        if group not in self._left:
            at = Counter(self._group(task) for task in running)
            begun = [name for name in self._left if name in at]
            fresh = next((name for name in self._left if name not in at), None)
            if fresh is not None and len(begun) < workers:
                group = fresh
            else:
                group = min(begun, key=lambda name: (at[name], -len(self._left[name])))
        task = self._left[group].popleft()
        if not self._left[group]:
            del self._left[group]
        return task

    def put_back(self, task: Any) -> None:
        """Next in its group again."""
        self._left.setdefault(self._group(task), deque()).appendleft(task)
