"""A run as a trace that Perfetto and chrome://tracing open: cores, frames, packets, queues.

The Trace Event Format: a JSON object with `traceEvents`, times in microseconds. The ears are
processes 1 and 2, the link is process 3. Computations and packets are slices, frames are spans from
release to deadline, arrivals and missed deadlines are instants, and a counter shows how many frames
an ear has in hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hasim.config.ears import EARS
from hasim.config.files import write_whole
from hasim.simulation.program import Compute
from hasim.simulation.timeline import Timeline

if TYPE_CHECKING:
    from hasim.experiment.result import RunResult

LINK = 3
CORE, RADIO, ACCELERATOR = 1, 2, 3
"""Threads of an ear."""


def write(result: RunResult, path: str | Path) -> None:
    """Write the trace of a run to a file; OSError where it cannot be written."""
    s = result.scenario
    program = s.algorithm.program(s.front_end, s.link.codec)
    left, right = (
        frozenset(
            step.name
            for step in program
            if isinstance(step, Compute) and device.resource(step) == "accelerator"
        )
        for device in (s.devices.left, s.devices.right)
    )
    text = json.dumps(events(result.timeline, (left, right)), separators=(",", ":"))
    write_whole(Path(path), text.encode())


def events(
    timeline: Timeline,
    accelerated: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset()),
) -> dict[str, Any]:
    """The trace as an object for JSON; `accelerated` are the steps of each ear (left, right) that
    run on its accelerator."""
    timed = [
        *_steps(timeline, accelerated),
        *_frames(timeline),
        *_packets(timeline),
        *_in_hand(timeline),
    ]
    timed.sort(key=lambda event: event["ts"])
    return {"traceEvents": [*_names(), *timed], "displayTimeUnit": "ms"}


def _names() -> Iterator[dict[str, Any]]:
    processes = {1: "left ear", 2: "right ear", LINK: "link"}
    of_an_ear = {CORE: "core", RADIO: "radio", ACCELERATOR: "accelerator"}
    threads = {(pid, tid): name for pid in (1, 2) for tid, name in of_an_ear.items()}
    threads |= {(LINK, 1): "left to right", (LINK, 2): "right to left"}
    for pid, name in processes.items():
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
        order = {"sort_index": pid}
        yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": order}
    for (pid, tid), name in threads.items():
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}


def _steps(
    timeline: Timeline, accelerated: tuple[frozenset[str], frozenset[str]]
) -> Iterator[dict[str, Any]]:
    for step in timeline.steps:
        on_accelerator = str(step["name"]) in accelerated[int(step["ear"])]
        yield {
            "ph": "X",
            "cat": "compute",
            "name": str(step["name"]),
            "pid": int(step["ear"]) + 1,
            "tid": ACCELERATOR if on_accelerator else CORE,
            "ts": _us(step["start_ns"]),
            "dur": _us(step["end_ns"] - step["start_ns"]),
            "args": {"frame": int(step["frame"])},
        }


def _frames(timeline: Timeline) -> Iterator[dict[str, Any]]:
    """Spans overlap where the playout delay is longer than a hop, so each has an id of its own."""
    for ear, name in enumerate(EARS):
        for frame, heard in enumerate(timeline.heard[ear].tolist()):
            span = {
                "cat": "frame",
                "name": "frame" if heard else "frame missed",
                "id": f"{name}-{frame}",
                "pid": ear + 1,
                "tid": CORE,
            }
            deadline = _us(timeline.deadline_ns[ear, frame])
            args = {"frame": frame, "heard": heard}
            yield {"ph": "b", "ts": _us(timeline.released_ns[ear, frame]), "args": args, **span}
            yield {"ph": "e", "ts": deadline, "args": {}, **span}
            if not heard:
                yield {
                    "ph": "i",
                    "s": "p",
                    "cat": "frame",
                    "name": f"deadline of frame {frame} missed",
                    "pid": ear + 1,
                    "tid": CORE,
                    "ts": deadline,
                    "args": {"frame": frame, "computed": bool(timeline.computed[ear, frame])},
                }


def _packets(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for packet in timeline.packets:
        sender, lost = int(packet["sender"]), bool(packet["lost"])
        args = {name: int(packet[name]) for name in ("frame", "piece", "attempt")}
        yield {
            "ph": "X",
            "cat": "packet",
            "name": f"{packet['channel']} lost" if lost else str(packet["channel"]),
            "pid": LINK,
            "tid": sender + 1,
            "ts": _us(packet["start_ns"]),
            "dur": _us(packet["end_ns"] - packet["start_ns"]),
            "args": args | {"lost": lost},
        }
        if packet["arrived_ns"] >= 0:
            yield {
                "ph": "i",
                "s": "t",
                "cat": "packet",
                "name": f"{packet['channel']} arrives",
                "pid": 2 - sender,
                "tid": RADIO,
                "ts": _us(packet["arrived_ns"]),
                "args": args,
            }


def _in_hand(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for ear in (0, 1):
        times_ns, counts = frames_in_hand(timeline, ear)
        for time_ns, count in zip(times_ns, counts, strict=True):
            yield {
                "ph": "C",
                "name": "frames in hand",
                "pid": ear + 1,
                "tid": 0,
                "ts": _us(time_ns),
                "args": {"frames": int(count)},
            }


def frames_in_hand(timeline: Timeline, ear: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the number of frames that are released but not finished from then on; skipped
    frames do not count."""
    done = timeline.computed[ear]
    released, finished = timeline.released_ns[ear, done], timeline.finished_ns[ear, done]
    changes = np.concatenate([finished, released])
    # of those at one time, the ends come first
    order = np.argsort(changes, kind="stable")
    counts = np.cumsum(np.repeat([-1, 1], len(released))[order])
    times_ns = changes[order]
    last = np.append(times_ns[1:] != times_ns[:-1], True)[: len(times_ns)]
    return times_ns[last], counts[last]


def _us(time_ns: Any) -> float:
    return int(time_ns) / 1000
