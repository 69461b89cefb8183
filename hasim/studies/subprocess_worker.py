"""A process of its own for work that may hang or die, and that is ended when it takes too long.

Whoever calls waits, lives on whatever happens, and has a new process for the next call. The time is
kept by a thread of the child that needs no interpreter, so that no loop, no lock and no library can
hold it up; the child ends itself, also when nobody waits for it any more.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

CLOSE_S = 5
_MAIN = "from hasim.studies.subprocess_worker import serve; serve()"
_OVER = 1
"""Exit code of a process whose time was over."""


class TimeLimit(RuntimeError):
    """Work took longer than it may."""


class ProcessDied(RuntimeError):
    """The process ended before there was an answer."""


class Apart:
    """One child process, started with the first call, that does one piece of work after the
    other."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def call(self, work: Callable[[Any], Any], argument: Any, limit_s: float) -> Any:
        """`work(argument)`, done in the child; both must be picklable, `work` by its name.

        The time that the child needs to start does not count, what `work` imports does.

        Raises:
            TimeLimit: it took longer than `limit_s`.
            ProcessDied: the child died of it.
            Exception: whatever `work` raised.
        """
        child = self._child or self._started()
        self._child = None  # until it has answered
        began = time.monotonic()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with suppress(BrokenPipeError):
                pickle.dump((work, argument, limit_s), child.stdin)
                child.stdin.flush()
            well, answer = pickle.load(child.stdout)
        except EOFError:
            code = _ended(child)
            if code == _OVER and time.monotonic() - began >= limit_s:
                raise TimeLimit(f"took longer than the limit of {limit_s:g} s") from None
            fate = f"of signal {-code}" if code < 0 else f"with exit code {code}"
            raise ProcessDied(f"its process died {fate}") from None
        except BaseException:  # somebody wants to stop; the answer would be the next call's
            child.kill()
            _ended(child)
            raise
        self._child = child
        if not well:
            raise answer
        return answer

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            _ended(self._child)
            self._child = None

    def _started(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _MAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None
        pickle.dump(sys.path, child.stdin)  # so that it finds what its caller finds
        child.stdin.flush()
        return child


_own = threading.local()


def limited(work: Callable[[Any], Any], argument: Any, limit_s: float) -> Any:
    """`Apart.call` in a process that belongs to this thread; TimeLimit and ProcessDied are returned
    in the place of an answer."""
    if not hasattr(_own, "apart"):
        _own.apart = Apart()
    try:
        return _own.apart.call(work, argument, limit_s)
    except (TimeLimit, ProcessDied) as error:
        return error


def serve() -> None:
    """The child: read calls from standard input and answer on standard output until it closes."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the caller, who then closes the input
    with suppress(EOFError, BrokenPipeError), open(os.devnull, "w") as nowhere:
        sys.path[:] = pickle.load(calls)
        while True:
            work, argument, limit_s = pickle.load(calls)
            faulthandler.dump_traceback_later(limit_s, exit=True, file=nowhere)
            try:
                answer = (True, work(argument))
            except Exception as error:
                answer = (False, error)
            faulthandler.cancel_dump_traceback_later()
            pickle.dump(answer, answers)
            answers.flush()


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Its exit code; with its input closed it has nothing left to do."""
    for pipe in (child.stdin, child.stdout):
        with suppress(BrokenPipeError):
            pipe.close()  # type: ignore[union-attr]
    try:
        return child.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
