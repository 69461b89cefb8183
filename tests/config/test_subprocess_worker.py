"""Work in a child process: what hangs is ended, what dies is reported, and the caller goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hasim.config.subprocess_worker import (
    ProcessDied,
    SubprocessWorker,
    TimeLimit,
    call_in_subprocess,
)
from tests.odd_work import obey, pid_of, raise_something_odd, thread_settings

LONG_S = 60.0
"""A limit that no test reaches."""


@pytest.fixture
def worker() -> Iterator[SubprocessWorker]:
    one = SubprocessWorker()
    yield one
    one.close()


def _gone(pid: int, within_s: float = 20) -> bool:
    """Whether a process ends; zombies count as ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True).stdout
        if not found.strip() or found.startswith(b"Z"):
            return True
        time.sleep(0.05)
    return False


def test_it_is_another_process_and_stays_the_same(worker):
    first = worker.call(pid_of, None, limit_s=LONG_S)
    assert first != os.getpid()
    assert worker.call(pid_of, None, limit_s=LONG_S) == first


@pytest.mark.parametrize("order", ["sleep", "spin", "deadlock", "deaf"])
def test_what_hangs_is_ended(worker, order):
    assert worker.call(obey, "nothing", limit_s=LONG_S) == "nothing"
    began = time.monotonic()
    with pytest.raises(TimeLimit, match=r"^took longer than the limit of 0\.3 s$"):
        worker.call(obey, order, limit_s=0.3)
    # The rest is for the operating system on a busy machine.
    assert 0.3 <= time.monotonic() - began < 20
    assert worker.call(obey, "nothing", limit_s=LONG_S) == "nothing"


@pytest.mark.parametrize(
    ("order", "fate"), [("die", "of signal 11"), ("leave", "with exit code 7")]
)
def test_what_dies_is_reported(worker, order, fate):
    with pytest.raises(ProcessDied, match=f"its process died {fate}"):
        worker.call(obey, order, limit_s=LONG_S)
    assert worker.call(obey, "nothing", limit_s=LONG_S) == "nothing"


def test_errors_are_raised_and_the_process_lives_on(worker):
    before = worker.call(pid_of, None, limit_s=LONG_S)
    with pytest.raises(KeyError, match="complain"):
        worker.call(obey, "complain", limit_s=LONG_S)
    assert worker.call(pid_of, None, limit_s=LONG_S) == before


def test_what_is_printed_is_no_answer(worker, capfd):
    assert worker.call(obey, "chat", limit_s=LONG_S) == "chat"
    assert worker.call(obey, "nothing", limit_s=LONG_S) == "nothing"


def test_the_time_of_one_call_is_not_the_next_ones(worker):
    for _ in range(4):
        worker.call(time.sleep, 0.3, limit_s=1.0)


def test_a_call_that_is_interrupted_leaves_no_answer_behind(worker):
    before = worker.call(pid_of, None, limit_s=LONG_S)
    honest = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            worker.call(obey, "sleep", limit_s=LONG_S)
    finally:
        signal.signal(signal.SIGALRM, honest)
    assert worker.call(pid_of, None, limit_s=LONG_S) != before


def test_closed_it_ends_its_process(worker):
    pid = worker.call(pid_of, None, limit_s=LONG_S)
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_without_a_limit_it_takes_the_time_it_needs(worker):
    assert worker.call(obey, "nothing") == "nothing"


@pytest.mark.parametrize("order", ["sleep", "deadlock"])
def test_the_child_of_a_killed_process_ends_in_the_midst_of_its_work(order):
    script = (
        "import sys\nfrom hasim.config.subprocess_worker import SubprocessWorker\n"
        "from tests.odd_work import obey, pid_of\nworker = SubprocessWorker()\n"
        "print(worker.call(pid_of, None), flush=True)\nworker.call(obey, sys.argv[1])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, order], stdout=subprocess.PIPE, text=True
    )
    pid = int(process.stdout.readline())
    time.sleep(0.5)
    process.kill()
    process.communicate()
    assert _gone(pid)


def test_killed_from_another_thread_the_call_ends_and_no_other_begins(worker):
    pid = worker.call(pid_of, None)
    threading.Timer(0.3, worker.kill).start()
    began = time.monotonic()
    with pytest.raises(ProcessDied, match="of signal 9"):
        worker.call(obey, "sleep")
    assert time.monotonic() - began < 20
    assert _gone(pid)
    with pytest.raises(ProcessDied, match="was stopped"):
        worker.call(obey, "nothing")


def test_a_forked_copy_of_the_caller_has_a_child_of_its_own(worker):
    """Two processes that share one child would read each other's answers."""
    pid = worker.call(pid_of, None)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    fork = context.Process(target=lambda: sender.send(worker.call(pid_of, None)))
    fork.start()
    assert receiver.poll(20)
    assert receiver.recv() != pid
    fork.join()
    assert worker.call(pid_of, None) == pid


def test_dropped_it_ends_its_process():
    worker = SubprocessWorker()
    pid = worker.call(pid_of, None)
    del worker
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_cannot_be_pickled_is_an_error_and_the_process_lives_on(worker):
    pid = worker.call(pid_of, None)
    with pytest.raises(Exception, match="pickle"):
        worker.call(lambda: None)
    with pytest.raises(Exception, match="pickle"):
        worker.call(obey, "unpicklable")
    with pytest.raises(RuntimeError, match=r"^Odd: it needs two arguments, and got 3$"):
        worker.call(raise_something_odd)
    assert worker.call(pid_of, None) == pid


def test_linear_algebra_has_one_thread(worker, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert set(worker.call(thread_settings)) == {"1"}


def test_every_thread_has_its_own_process():
    found: list[object] = []

    def note(call: Callable[[], object]) -> None:
        try:
            found.append(call())
        except (TimeLimit, ProcessDied) as error:
            found.append(error)

    def use() -> None:
        note(lambda: call_in_subprocess(pid_of, None))
        note(lambda: call_in_subprocess(obey, "sleep", limit_s=0.2))
        note(lambda: call_in_subprocess(obey, "die"))

    threads = [threading.Thread(target=use) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = {pid for pid in found if isinstance(pid, int)}
    assert len(pids) == 2
    assert sum(isinstance(answer, TimeLimit) for answer in found) == 2
    assert sum(isinstance(answer, ProcessDied) for answer in found) == 2
    # They end with the threads that they belong to.
    assert all(_gone(pid) for pid in pids)
