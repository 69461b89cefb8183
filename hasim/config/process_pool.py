"""Several child processes of this machine that work side by side.

In place of `concurrent.futures.ProcessPoolExecutor`, where one process that dies takes the tasks of
all others with it, nothing ends a task that hangs, and related tasks go to any process.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from hasim.config.subprocess_worker import ProcessDied, SubprocessWorker

Work = Callable[[Any], Any]
Group = Callable[[Any], Hashable]
ATTEMPTS = 2
"""Processes that a task may cost before it counts as failed."""


def one_group(task: Any) -> Hashable:
    """No task has anything in common with another."""
    return None


class ProcessPool:
    """`processes` children; they start with the first task and end with the pool.

    A task that takes longer than `limit_s` is ended.
    """

    def __init__(self, processes: int, limit_s: float | None = None) -> None:
        self._limit_s = limit_s
        self._workers = [SubprocessWorker() for _ in range(processes)]
        self._threads: list[threading.Thread] = []

    def map(
        self, work: Work, tasks: Iterable[Any], group: Group = one_group
    ) -> Iterator[tuple[Any, Any]]:
        """(task, `work(task)`) for every task, in the order of completion; all must be picklable.

        A process goes through the tasks of one `group` one after the other, and two are at the same
        group only when there is no other. When a process dies of a task, another one tries again.

        In the place of an answer stands the exception that `work` raised, TimeLimit, or ProcessDied
        where the second process died as well.
        """
        self._join()
        waiting = TaskQueue(tasks, group)
        running: dict[SubprocessWorker, Any] = {}
        answers: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        lock = threading.Lock()

        def work_off(worker: SubprocessWorker) -> None:
            """One thread per process: as soon as it is done, it takes its next task."""
            while True:
                with lock:
                    after = running.pop(worker, None)
                    if not waiting:
                        return
                    task = waiting.next(after, list(running.values()), len(self._workers))
                    running[worker] = task
                answers.put((task, self._answer(worker, work, task)))

        count = len(waiting)
        try:
            for worker in self._workers[:count]:
                thread = threading.Thread(target=work_off, args=(worker,), daemon=True)
                thread.start()
                self._threads.append(thread)
            for _ in range(count):
                yield answers.get()
        finally:
            with lock:
                waiting.clear()

    def close(self) -> None:
        """End all children; what they work on is lost."""
        for worker in self._workers:
            worker.kill()
        self._join()
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, worker: SubprocessWorker, work: Work, task: Any) -> Any:
        for _ in range(ATTEMPTS):
            try:
                return worker.call(work, task, limit_s=self._limit_s)
            except ProcessDied as died:
                answer: Exception = died
            except Exception as error:
                return error
        return answer

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()


class TaskQueue:
    """Tasks that nobody works on yet, by group; groups in the order of their first tasks."""

    def __init__(self, tasks: Iterable[Any], group: Group) -> None:
        self._group = group
        self._left: dict[Hashable, deque[Any]] = {}
        for task in tasks:
            self._left.setdefault(group(task), deque()).append(task)

    def __len__(self) -> int:
        return sum(map(len, self._left.values()))

    def next(self, after: Any, running: list[Any], workers: int) -> Any:
        """A task of the group of `after`; else of a new group, while fewer are begun than there are
        workers; else of the group with the fewest tasks in `running`, and of those the longest."""
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

    def clear(self) -> None:
        """Drop all tasks."""
        self._left.clear()
