"""A child process for work that may hang or crash: the caller gets an exception and goes on.

The child is a fresh interpreter that never imports the caller's `__main__`, so that a script needs
no `if __name__ == "__main__"`. It keeps the time limit itself, in a thread that needs no
interpreter lock: no loop, lock or C code can hold it up, and it also works when the caller has been
killed. The child ends when its caller ends or closes it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

CLOSE_S = 5
"""How long a child may take to end once its input is closed; then it is killed."""
_MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = sys.argv[1:]; "
    "from hasim.config.subprocess_worker import serve; serve()"
)
"""Ctrl-C reaches every process of a terminal: the caller handles it and then ends the child."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""One thread of linear algebra per child: children are for many runs side by side, and the last
bits of a result must not depend on the number of cores."""
_TIME_OVER = 1
"""Exit code of a child that reached its time limit."""


class TimeLimit(RuntimeError):
    """Work took longer than it may."""


class ProcessDied(RuntimeError):
    """The process ended before there was an answer; `args[0]` says how."""

    def __str__(self) -> str:
        return f"its process {self.args[0]}"


class SubprocessWorker:
    """One child process that does one call after the other.

    It starts with the first call and again after it died. One thread at a time may call.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._killed = False
        self._lock = threading.Lock()

    def call(self, work: Callable[..., Any], *arguments: Any, limit_s: float | None = None) -> Any:
        """`work(*arguments)`, done in the child; all must be picklable, `work` by its name.

        `limit_s` counts from where the child has read the arguments and imported the module of
        `work`; None: no limit. What the child prints goes to standard error.

        Raises:
            TimeLimit: it took longer than `limit_s`.
            ProcessDied: the child died of it, or the worker was killed.
            Exception: whatever `work` raised.
        """
        request = pickle.dumps((work, arguments, limit_s))
        child = self._running_child()
        assert child.stdin is not None
        assert child.stdout is not None
        began = time.monotonic()
        try:
            with suppress(BrokenPipeError):
                pickle.dump(request, child.stdin)
                child.stdin.flush()
            answer = pickle.load(child.stdout)
        except (EOFError, pickle.UnpicklingError):
            code = self._end_child()
            if code == _TIME_OVER and limit_s is not None and time.monotonic() - began >= limit_s:
                raise TimeLimit(f"took longer than the limit of {limit_s:g} s") from None
            how = f"of signal {-code}" if code < 0 else f"with exit code {code}"
            raise ProcessDied(f"died {how}") from None
        except BaseException:
            # Interrupted: a later call would read the answer to this one.
            child.kill()
            self._end_child()
            raise
        succeeded, value = pickle.loads(answer)
        if not succeeded:
            raise value
        return value

    def close(self) -> None:
        """End the child; a later call starts another one."""
        if self._child is not None:
            self._end_child()

    def kill(self) -> None:
        """End the child at once, from any thread; a call that waits for it raises ProcessDied, and
        so does every later one."""
        with self._lock:
            self._killed = True
            if self._child is not None:
                self._child.kill()

    def _running_child(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise ProcessDied("was stopped")
            # A forked copy of this process has copies of the pipes, but the child is not its own.
            if self._child is None or self._owner != os.getpid():
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-c", _MAIN, *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=os.environ | _ONE_THREAD,
                )
                self._owner = os.getpid()
                self._finalizer = weakref.finalize(self, _end, self._child)
            return self._child

    def _end_child(self) -> int:
        """End the child and return its exit code."""
        with self._lock:
            child, self._child = self._child, None
        assert child is not None
        code = self._finalizer()
        return code if code is not None else child.wait()


_of_thread = threading.local()


def call_in_subprocess(
    work: Callable[..., Any], *arguments: Any, limit_s: float | None = None
) -> Any:
    """`SubprocessWorker.call` in a child that belongs to the calling thread and stays for the next
    call."""
    if not hasattr(_of_thread, "worker"):
        _of_thread.worker = SubprocessWorker()
    return _of_thread.worker.call(work, *arguments, limit_s=limit_s)


def serve() -> None:
    """The child: read calls from standard input and write answers to standard output, until the
    input closes."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # what libraries print is no answer
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                requests.put(pickle.load(calls))
        finally:
            # The caller is gone or has closed the input: nobody waits for an answer any more.
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    with open(os.devnull, "w") as nowhere:
        while True:
            answer = _answer(requests.get(), nowhere)
            sys.stdout.flush()
            pickle.dump(answer, answers)
            answers.flush()


def _answer(request: bytes, traceback_file: IO[str]) -> bytes:
    """Do one call; (True, result) or (False, error), pickled."""
    try:
        work, arguments, limit_s = pickle.loads(request)
        if limit_s is not None:
            faulthandler.dump_traceback_later(limit_s, exit=True, file=traceback_file)
        try:
            result = work(*arguments)
        finally:
            faulthandler.cancel_dump_traceback_later()
        return pickle.dumps((True, result))
    except Exception as error:
        return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    """As it is where it survives pickling, else its kind and text."""
    try:
        content = pickle.dumps((False, error))
        pickle.loads(content)
    except Exception:
        content = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return content


def _end(child: subprocess.Popen[bytes]) -> int:
    """End a child and return its exit code; with its input closed it has nothing left to do."""
    for pipe in (child.stdin, child.stdout):
        with suppress(BrokenPipeError):
            pipe.close()  # type: ignore[union-attr]
    try:
        return child.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
