"""A program laid out in time on a device: cut before its Receives, with the time of every step in every frame."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy import ndarray

from hasim.devices import DeviceSpec
from hasim.program import Compute, Program, Receive, Send


@dataclass(frozen=True)
class Segment:
    """What an ear does in one go, once it has waited for the partner. Times count from the segment's start."""

    receives: tuple[Receive, ...]
    computes: tuple[Compute, ...]
    begin_ns: ndarray  # (compute, frame)
    end_ns: (
        ndarray  # (compute, frame); equal to begin_ns in frames in which the step has nothing to do
    )
    work_ns: list[int]  # (frame,): all of it
    sends: tuple[tuple[Send, list[int]], ...]  # what is handed to the link, and when (frame,)


def segments(program: Program, device: DeviceSpec, frames: int) -> list[Segment]:
    """Cut `program` before its Receives; Receives that follow one another are waited for together.

    A Send `while_capturing` is the radio's own affair and appears in no segment.
    """
    parts: list[tuple[list[Receive], list[Compute | Send]]] = [([], [])]
    for waits, steps in groupby(program, key=lambda step: isinstance(step, Receive)):
        if waits:
            parts.append(([step for step in steps if isinstance(step, Receive)], []))
        else:
            parts[-1][1].extend(step for step in steps if not isinstance(step, Receive))
    return [_segment(receives, body, device, frames) for receives, body in parts]


def _segment(
    receives: list[Receive], body: list[Compute | Send], device: DeviceSpec, frames: int
) -> Segment:
    frame = np.arange(frames)
    clock = np.zeros(frames, dtype=np.int64)
    computes, begins, ends, sends = [], [], [], []
    for step in body:
        if isinstance(step, Compute):
            computes.append(step)
            begins.append(clock)
            clock = clock + device.compute_ns(step) * (frame % step.every == 0)
            ends.append(clock)
        elif not step.while_capturing:
            sends.append((step, clock.tolist()))
    shape = (len(computes), frames)
    return Segment(
        tuple(receives),
        tuple(computes),
        np.array(begins, dtype=np.int64).reshape(shape),
        np.array(ends, dtype=np.int64).reshape(shape),
        clock.tolist(),
        tuple(sends),
    )


def core_load(program: Program, device: DeviceSpec, hop_ns: int) -> float:
    """Share of time that `program` asks of the device's core; more than 1 cannot be served."""
    return (
        sum(device.compute_ns(step) / step.every for step in program if isinstance(step, Compute))
        / hop_ns
    )
