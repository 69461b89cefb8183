"""Who does the work of many runs: this process, child processes, or a Dask cluster.

Workers compute and nothing else; the caller stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from hasim.config.process_pool import Group, ProcessPool, Work, one_group
from hasim.studies.cluster import Cluster


class Engine:
    """Maps a function over tasks; workers start with the first task and end with the engine.

    `jobs` child processes of this machine, with 1 this very process; or with `cluster`, the address
    of a Dask scheduler, whatever workers it has. A task that takes longer than `time_limit_s` is
    ended wherever it hangs; for that, one job is a child process as well.
    """

    def __init__(
        self, jobs: int = 1, cluster: str | None = None, time_limit_s: float | None = None
    ) -> None:
        if jobs < 1:
            raise ValueError(f"jobs: must be at least 1 (got {jobs})")
        self.jobs = jobs
        self.cluster = cluster
        self.time_limit_s = time_limit_s
        self._workers: ProcessPool | Cluster | None = None

    def map(
        self, work: Work, tasks: Iterable[Any], group: Group = one_group
    ) -> Iterator[tuple[Any, Any]]:
        """(task, `work(task)`) for every task, in the order of completion.

        Tasks of one `group` share something that the first of them makes and keeps: a worker goes
        through a group task by task, and two are at the same group only when there is no other.

        `work` catches its own errors. An exception in the place of an answer is a TimeLimit, a
        ProcessDied where several processes died of the task, or whatever kept a worker from
        beginning.

        Raises:
            InputError: Dask is not installed, or the cluster does not answer or is lost.
        """
        if self.jobs == 1 and self.cluster is None and self.time_limit_s is None:
            for task in tasks:
                yield task, work(task)
            return
        if self._workers is None:
            self._workers = (
                ProcessPool(self.jobs, self.time_limit_s)
                if self.cluster is None
                else Cluster(self.cluster, self.time_limit_s)
            )
        yield from self._workers.map(work, tasks, group)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._workers is not None:
            self._workers.close()
