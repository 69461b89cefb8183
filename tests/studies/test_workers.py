"""Who does the work of many runs: order, groups, lost processes, and stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hasim.config.process_pool import TaskQueue
from hasim.config.spec import InputError
from hasim.config.subprocess_worker import ProcessDied, TimeLimit
from hasim.studies.cluster import _limited
from hasim.studies.workers import Engine
from tests.odd_work import die_once, half_or_exit, meet, obey, pid_of


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("order", "kind"), [("sleep", TimeLimit), ("leave", ProcessDied)])
def test_a_task_over_its_time_is_answered_by_an_error(jobs, order, kind):
    with Engine(jobs, time_limit_s=1) as engine:
        answers = dict(engine.map(obey, [order, "this", "that"]))
    assert isinstance(answers.pop(order), kind)
    assert answers == {"this": "this", "that": "that"}


def _order(tasks: str, workers: int, held: int = 1) -> str:
    """Tasks as they are handed out, if all take equally long and every worker holds `held` of them;
    `a1` is of the group a."""
    waiting, running, begun = TaskQueue(tasks.split(), lambda task: task[0]), [], []
    while waiting or running:
        after = running.pop(0) if len(running) == workers * held or not waiting else None
        if waiting:
            running.append(waiting.next(after, running, workers))
            begun.append(running[-1])
    return " ".join(begun)


def test_a_worker_stays_at_a_group_and_meets_no_other_there():
    assert _order("a1 a2 b1 b2 c1 c2", 1) == "a1 a2 b1 b2 c1 c2"
    assert _order("a1 a2 b1 b2 c1 c2 c3", 2) == "a1 b1 a2 b2 c1 c2 c3"
    # helps where most is left
    assert _order("a1 a2 a3 a4 b1", 2) == "a1 b1 a2 a3 a4"
    assert _order("a1 b1 a2 b2 a3", 2) == "a1 b1 a2 b2 a3"
    # with a task in hand for later, it is of the same group; then the next group is begun
    assert _order("a1 a2 a3 b1 b2 b3 c1 c2 d1", 2, held=2) == "a1 b1 a2 b2 a3 b3 c1 d1 c2"
    assert _order("a1 b1 c1 d1", 2, held=2) == "a1 b1 c1 d1"


def test_a_task_that_was_forgotten_comes_next_in_its_group():
    waiting = TaskQueue(["a1", "a2"], lambda task: task[0])
    first = waiting.next(None, [], 1)
    waiting.put_back(first)
    assert [waiting.next(None, [], 1), waiting.next("a1", [], 1)] == ["a1", "a2"]
    # the only one left
    waiting.put_back("a2")
    assert waiting
    assert waiting.next(None, [], 1) == "a2"
    assert not waiting


def test_one_job_is_this_process():
    with Engine(1) as engine:
        assert list(engine.map(pid_of, [2, 4])) == [(2, os.getpid()), (4, os.getpid())]
    with pytest.raises(ValueError, match="at least 1"):
        Engine(0)


def test_every_group_stays_in_its_process(tmp_path):
    """What the first task of a group makes is there for the others."""
    tasks = [tmp_path / f"{group}{number}" for number in range(8) for group in "ab"]
    with Engine(2) as engine:
        pids = dict(engine.map(meet, tasks, group=lambda task: task.name[0]))
    assert len(set(pids.values())) == 2
    for group in "ab":
        assert len({pid for task, pid in pids.items() if task.name[0] == group}) == 1


def test_a_deadly_task_fails_alone():
    with Engine(2) as engine:
        answers = dict(engine.map(half_or_exit, range(8)))
    deadly = answers.pop(3)
    assert isinstance(deadly, ProcessDied)
    assert str(deadly) == "its process died with exit code 1"
    assert answers == {number: number / 2 for number in (0, 1, 2, 4, 5, 6, 7)}


def test_a_task_whose_process_dies_of_something_else_is_done_again(tmp_path):
    """Killed by the system for lack of memory, say."""
    tasks = [str(tmp_path / name) for name in "abcd"]
    with Engine(2) as engine:
        assert dict(engine.map(die_once, tasks)) == dict.fromkeys(tasks, "second time")


def test_what_keeps_a_worker_from_beginning_is_the_answer():
    with Engine(2) as engine:
        ((_, answer),) = engine.map(pid_of, [lambda: None])
    assert "pickle" in str(answer)


@pytest.mark.parametrize("limit", ["None", "1000"])
def test_interrupted_it_stops_at_once_and_leaves_no_process(limit):
    script = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from hasim.studies.workers import Engine\nfrom tests.odd_work import pid_or_sleep\n"
        f"with Engine(2, time_limit_s={limit}) as engine:\n"
        "    for _, pid in engine.map(pid_or_sleep, range(4)):\n        print(pid, flush=True)\n"
    )
    # A session of its own: Ctrl-C reaches a process and its children.
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = [int(process.stdout.readline()) for _ in range(2)]
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=900)
    assert process.returncode in (130, -signal.SIGINT)
    assert errors.count("Traceback") == 1
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_worker_of_a_cluster_answers_by_an_error_as_well():
    """Dask would hand the task to other workers, which would hang as well."""
    assert isinstance(_limited(obey, "sleep", 0.2), TimeLimit)
    assert isinstance(_limited(obey, "die", 60), ProcessDied)
    assert _limited(obey, "nothing", 60) == "nothing"


def test_a_cluster_needs_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        Engine(cluster="tcp://127.0.0.1:1") as engine,
        pytest.raises(InputError, match=r"^--cluster needs Dask: pip install 'hasim\[cluster\]'$"),
    ):
        list(engine.map(pid_of, [1]))
