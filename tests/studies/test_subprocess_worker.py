"""Work in a process of its own: what hangs is ended, what dies is told, and life goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from hasim.studies.subprocess_worker import Apart, ProcessDied, TimeLimit, limited
from tests.odd_work import obey, pid_of

LONG_S = 60.0
"""A limit that no test reaches."""


@pytest.fixture
def apart() -> Iterator[Apart]:
    one = Apart()
    yield one
    one.close()


def test_it_is_another_process_and_stays_the_same(apart):
    first = apart.call(pid_of, None, LONG_S)
    assert first != os.getpid()
    assert apart.call(pid_of, None, LONG_S) == first


@pytest.mark.parametrize("order", ["sleep", "spin", "deadlock", "deaf"])
def test_what_hangs_is_ended(apart, order):
    assert apart.call(obey, "nothing", LONG_S) == "nothing"
    began = time.monotonic()
    with pytest.raises(TimeLimit, match=r"^took longer than the limit of 0\.3 s$"):
        apart.call(obey, order, 0.3)
    # The rest is for the operating system on a busy machine.
    assert 0.3 <= time.monotonic() - began < 20
    assert apart.call(obey, "nothing", LONG_S) == "nothing"


@pytest.mark.parametrize(
    ("order", "fate"), [("die", "of signal 11"), ("leave", "with exit code 7")]
)
def test_what_dies_is_told(apart, order, fate):
    with pytest.raises(ProcessDied, match=f"its process died {fate}"):
        apart.call(obey, order, LONG_S)
    assert apart.call(obey, "nothing", LONG_S) == "nothing"


def test_errors_are_raised_and_the_process_lives_on(apart):
    before = apart.call(pid_of, None, LONG_S)
    with pytest.raises(KeyError, match="complain"):
        apart.call(obey, "complain", LONG_S)
    assert apart.call(pid_of, None, LONG_S) == before


def test_what_is_printed_is_no_answer(apart, capfd):
    assert apart.call(obey, "chat", LONG_S) == "chat"
    assert apart.call(obey, "nothing", LONG_S) == "nothing"


def test_the_time_of_one_call_is_not_the_next_ones(apart):
    for _ in range(4):
        apart.call(time.sleep, 0.3, 1.0)


def test_a_call_that_is_interrupted_leaves_no_answer_behind(apart):
    before = apart.call(pid_of, None, LONG_S)
    honest = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            apart.call(obey, "sleep", LONG_S)
    finally:
        signal.signal(signal.SIGALRM, honest)
    assert apart.call(pid_of, None, LONG_S) != before


def test_closed_it_ends_its_process(apart):
    pid = apart.call(pid_of, None, LONG_S)
    apart.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_every_thread_has_its_own_process():
    """And an answer in the place of an exception."""
    found: list[object] = []

    def use() -> None:
        found.append(limited(pid_of, None, LONG_S))
        found.append(limited(obey, "sleep", 0.2))
        found.append(limited(obey, "die", LONG_S))

    threads = [threading.Thread(target=use) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({pid for pid in found if isinstance(pid, int)}) == 2
    assert sum(isinstance(answer, TimeLimit) for answer in found) == 2
    assert sum(isinstance(answer, ProcessDied) for answer in found) == 2
