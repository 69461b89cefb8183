"""Work for other processes that hangs or dies; apart from the tests so that it is imported fast."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from typing import Any

from hasim.studies.results_table import Row


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
    if order == "chat":
        os.write(1, b"printed by a library\n")
        print("and by Python")
    return order


def row_or_none_ever(task: Any) -> Row:
    """A row at once, or never where mu is 2."""
    if task.settings["algorithm.mu"] == 2:
        time.sleep(1000)
    return Row(task.settings, task.seed, numbers={"pid": os.getpid()})
