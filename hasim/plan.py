"""What is to be played: programs laid out on their devices, payloads on their link; no luck yet.

A program is cut before its Receives into segments, each of which an ear does in one go. Ears are 0
and 1, channels are numbered.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import lcm

import numpy as np
from numpy import ndarray

from hasim.devices import DeviceSpec
from hasim.links import LinkSpec, payload_bits
from hasim.links.air import Air
from hasim.program import Compute, Program, Receive, Send

EARS = ("left", "right")

Waits = list[list[int]]
"""[receiving ear][channel]: how long after its release a frame waits for a packet, in ns."""


@dataclass(frozen=True)
class Segment:
    """What an ear does once it has waited for the partner. Times count from the segment's start."""

    receives: tuple[Receive, ...]
    computes: tuple[Compute, ...]
    begin_ns: ndarray  # (compute, frame)
    end_ns: (
        ndarray  # (compute, frame); equal to begin_ns in frames in which the step has nothing to do
    )
    work_ns: list[int]  # (frame,): all of it
    sends: tuple[tuple[Send, list[int]], ...]  # what is handed to the link, and when (frame,)


@dataclass(frozen=True)
class Plan:
    """One run before it is played."""

    programs: tuple[Program, Program]
    frames: int
    hop_ns: int
    devices: tuple[DeviceSpec, DeviceSpec]
    link: LinkSpec
    channels: list[str]
    air: Air  # the link with the payloads on it
    segments: list[list[Segment]]  # by ear

    def released_ns(self, frame: int) -> int:
        """When the last sample of `frame` has been captured."""
        return (frame + 1) * self.hop_ns

    def needed_ns(self, lag_frames: int = 0) -> ndarray:
        """(frame,): release of the first frame that needs packet n of a channel with this lag."""
        frame = np.maximum(np.arange(self.frames) - lag_frames, 0)
        return (frame + 1) * self.hop_ns

    def lag_frames(self, channel: int) -> int:
        """How many frames the receivers of a channel look ahead; 0 where nobody receives it."""
        lags = [
            step.lag_frames
            for program in self.programs
            for step in received(program)
            if step.channel == self.channels[channel]
        ]
        return lags[0] if lags else 0

    def waits(self, given_ns: int) -> Waits:
        """The same wait for every packet."""
        return [[given_ns] * len(self.channels) for _ in EARS]

    @property
    def overloaded(self) -> bool:
        """A core or a medium is asked for more than all of its time."""
        loads = [
            core_load(program, device, self.hop_ns)
            for program, device in zip(self.programs, self.devices, strict=True)
        ]
        return max(loads) > 1 or any(
            offered > rate
            for offered, rate in zip(self.air.offered_kbps, self.air.rate_kbps, strict=True)
        )

    @property
    def period(self) -> int:
        """Frames after which the programs ask for the same again, at the same point of the link's
        rhythm."""
        steps = (step for program in self.programs for step in program)
        link = lcm(self.air.period_ns or self.hop_ns, self.hop_ns) // self.hop_ns
        return lcm(link, *(step.every for step in steps if isinstance(step, Compute)))


def plan(
    programs: tuple[Program, Program],
    frames: int,
    hop_ns: int,
    devices: tuple[DeviceSpec, DeviceSpec],
    link: LinkSpec,
) -> Plan:
    """Lay two programs out; ValueError where they do not fit together."""
    _check(programs, frames, hop_ns)
    channels, bits = payload_bits(programs)
    return Plan(
        programs,
        frames,
        hop_ns,
        devices,
        link,
        channels,
        link.air(bits, hop_ns),
        [
            segments(program, device, frames)
            for program, device in zip(programs, devices, strict=True)
        ],
    )


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
    """Share of its time that `program` asks of the device's core; more than 1 cannot be served."""
    computes = [step for step in program if isinstance(step, Compute)]
    return sum(device.compute_ns(step) / step.every for step in computes) / hop_ns


def sent(program: Program) -> list[Send]:
    """The program's Sends, in order."""
    return [step for step in program if isinstance(step, Send)]


def received(program: Program) -> list[Receive]:
    """The program's Receives, in order."""
    return [step for step in program if isinstance(step, Receive)]


def _check(programs: tuple[Program, Program], frames: int, hop_ns: int) -> None:
    if frames < 1 or hop_ns < 1:
        raise ValueError(f"frames and hop_ns must be at least 1 (got {frames} and {hop_ns})")
    for ear, program in enumerate(programs):
        for steps in (sent(program), received(program)):
            names = [step.channel for step in steps]
            if len(set(names)) < len(names):
                kind = type(steps[0]).__name__
                raise ValueError(
                    f"{EARS[ear]}: a channel may have one {kind} per frame (got {names})"
                )
        offered = sorted(step.channel for step in sent(programs[1 - ear]))
        lags = {step.channel: step.lag_frames for step in received(programs[1 - ear])}
        for step in received(program):
            if step.channel not in offered:
                raise ValueError(
                    f"{EARS[ear]}: receives {step.channel!r}, but the partner sends "
                    f"{offered or 'nothing'}"
                )
            if lags.get(step.channel, step.lag_frames) != step.lag_frames:
                raise ValueError(
                    f"{step.channel}: lag_frames must be the same in both ears "
                    f"(got {step.lag_frames} and {lags[step.channel]})"
                )
