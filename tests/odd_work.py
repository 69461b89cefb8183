"""Work for child processes that hangs or crashes, in a file of its own that is imported fast."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

from hasim.studies.result_row import ResultRow


def pid_of(_: object) -> int:
    """Who works?"""
    return os.getpid()


def obey(order: str) -> str:
    """Do what is ordered, in one of the ways in which a run may never come back."""
    if order == "sleep":
        time.sleep(1000)
    if order == "spin":  # in C code that never lets another Python thread run
        re.match(r"(a+)+b", "a" * 60)
    if order == "deadlock":
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    if order == "deaf":  # to every polite signal
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(0.01)
    if order == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order == "leave":
        os._exit(7)
    if order == "complain":
        raise KeyError(order)
    if order == "unpicklable":
        return threading.Lock()  # type: ignore[return-value]
    if order == "chat":
        os.write(1, b"printed by a library\n")
        print("and by Python")
    return order


class Odd(Exception):
    """Cannot be pickled: its one argument is not those of its constructor."""

    def __init__(self, count: int, got: int) -> None:
        super().__init__(f"it needs {count} arguments, and got {got}")


def raise_something_odd() -> None:
    raise Odd("two", 3)  # type: ignore[arg-type]


def thread_settings() -> list[str | None]:
    """How many threads linear algebra may have, by its libraries."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return [os.environ.get(name) for name in names]


def half_or_exit(number: int) -> float:
    """Half of it; of 3 the process dies."""
    if number == 3:
        os._exit(1)
    return number / 2


def meet(path: Path) -> int:
    """Who works? Ends when the task of the same number in the other group, a or b, has begun."""
    path.touch()
    other = path.with_name(path.name.translate(str.maketrans("ab", "ba")))
    deadline = time.monotonic() + 60
    while not other.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return os.getpid()


def pid_or_sleep(number: int) -> int:
    """Who works, for 0 and 1; for all others never an answer."""
    if number > 1:
        time.sleep(1000)
    time.sleep(0.2)
    return os.getpid()


def die_once(path: str) -> str:
    """The process is killed when the file is not there yet."""
    try:
        with open(path, "x"):
            os.kill(os.getpid(), signal.SIGKILL)
    except FileExistsError:
        pass
    return "second time"


def score_or_trouble(reference: Any, estimate: Any) -> float:
    """A score of 2.5, or what the first sample of the estimate asks for."""
    match int(estimate[0]):
        case 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 2:
            os._exit(7)
        case 3:
            raise RuntimeError("no more memory")
        case 4:
            time.sleep(1000)
        case 5:
            raise ModuleNotFoundError("No module named 'pesq'")
        case 6:
            return float("nan")
    return 2.5


def row_or_none_ever(task: Any) -> ResultRow:
    """A row at once, or never where mu is 2."""
    if task.settings["algorithm.mu"] == 2:
        time.sleep(1000)
    return ResultRow(
        task.settings,
        task.seed,
        numbers={"pid": os.getpid()},
        scenario_hash=task.identity[:12],
        made_by=task.made_by,
    )
