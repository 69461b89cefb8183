"""What is to be simulated: programs laid out on their devices, payloads on their link.

Nothing is random yet. A program is cut into segments, each of which a device does without waiting:
before its Receives, and where the work moves from the core to the accelerator or back. Ears are 0
and 1, channels are numbered.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy import ndarray

from hasim.config.ears import EARS
from hasim.simulation.device.device import DeviceSpec, Resource
from hasim.simulation.link.air import Air, Payloads
from hasim.simulation.link.traffic import LinkSpec, carried_kbps, offered_kbps, payload_bits, rungs
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.timeline import Mode

WaitTimes = list[list[int]]
"""[receiving ear][channel]: how long after its release a frame waits for a packet, in ns."""


@dataclass(frozen=True)
class Segment:
    """The work of a device after one wait for the partner. Times count from the segment's start."""

    resource: Resource
    receives: tuple[Receive, ...]
    computes: tuple[Compute, ...]
    begin_ns: ndarray
    """(compute, frame)"""
    end_ns: ndarray
    """(compute, frame); equal to `begin_ns` in frames in which the step has nothing to do."""
    work_ns: list[int]
    """(frame,): the work of the whole segment."""
    sends: tuple[tuple[Send, list[int]], ...]
    """What is handed to the link, and when, (frame,)."""


@dataclass(frozen=True)
class Schedule:
    """One run before it is simulated."""

    programs: tuple[Program, Program]
    frames: int
    hop_ns: int
    devices: tuple[DeviceSpec, DeviceSpec]
    link: LinkSpec
    channels: list[str]
    air: Air
    """The link with the payloads on it."""
    sizes: list[Payloads]
    """The payloads at every step of the codec's ladder, the largest first."""
    segments: list[dict[Mode, list[Segment]]]
    """By ear; cut at the same steps in every mode."""

    def released_ns(self, frame: int) -> int:
        """When the last sample of `frame` has been captured."""
        return (frame + 1) * self.hop_ns

    def needed_ns(self, lag_frames: int = 0) -> ndarray:
        """(frame,): release of the first frame that needs packet n of a channel with this lag."""
        frame = np.maximum(np.arange(self.frames) - lag_frames, 0)
        return (frame + 1) * self.hop_ns

    def lag_frames(self, channel: int) -> int:
        """Packets that the receivers of a channel wait ahead; 0 where nobody receives it."""
        lags = [
            step.lag_frames
            for program in self.programs
            for step in received(program)
            if step.channel == self.channels[channel]
        ]
        return lags[0] if lags else 0

    def waits(self, given_ns: int) -> WaitTimes:
        """The same wait for every packet."""
        return [[given_ns] * len(self.channels) for _ in EARS]

    @property
    def overloaded(self) -> bool:
        """A core, an accelerator or a medium is asked for more than all of its time."""
        loads = [
            load
            for program, device in zip(self.programs, self.devices, strict=True)
            for load in device.loads(program, self.hop_ns).values()
        ]
        return max(loads) > 1 or any(
            offered > rate
            for offered, rate in zip(
                offered_kbps(self.programs, self.link, self.hop_ns),
                carried_kbps(self.programs, self.link, self.hop_ns),
                strict=True,
            )
        )

    @property
    def period(self) -> int:
        """Frames after which programs, link slots and interrupts are in the same phase again."""
        steps = (step for program in self.programs for step in program)
        periods_ns = [self.air.period_ns or self.hop_ns]
        periods_ns += [
            round(device.interrupts.every_ms * 1e6)
            for device in self.devices
            if device.interrupts.takes_us
        ]
        common = lcm(self.hop_ns, *periods_ns) // self.hop_ns
        return lcm(common, *(step.every for step in steps if isinstance(step, Compute)))


def make_schedule(
    programs: tuple[Program, Program],
    frames: int,
    hop_ns: int,
    devices: tuple[DeviceSpec, DeviceSpec],
    link: LinkSpec,
) -> Schedule:
    """Lay two programs out on their devices and the link.

    Raises ValueError where a program receives what the other ear does not send.
    """
    _check(programs, frames, hop_ns)
    channels, bits = payload_bits(programs)
    left, right = (
        device.running(program, hop_ns) for program, device in zip(programs, devices, strict=True)
    )
    devices = (left, right)
    return Schedule(
        programs,
        frames,
        hop_ns,
        devices,
        link,
        channels,
        link.air(bits, hop_ns),
        [
            link.air(payload_bits(programs, rung)[1], hop_ns).payloads
            for rung in range(rungs(programs))
        ],
        [
            {mode: segments(program, device, frames, mode) for mode in modes(device)}
            for program, device in zip(programs, devices, strict=True)
        ],
    )


def modes(device: DeviceSpec) -> tuple[Mode, ...]:
    """How frames may be computed on this device."""
    if device.overload == "hold_filter":
        return (Mode.FULL, Mode.HELD)
    return (Mode.FULL, Mode.DEGRADED) if device.overload == "degrade" else (Mode.FULL,)


def segments(
    program: Program, device: DeviceSpec, frames: int, mode: Mode = Mode.FULL
) -> list[Segment]:
    """The segments of a program; Receives that follow one another are waited for together.

    A Send `while_capturing` is handed over by the capture and appears in no segment.
    """
    parts: list[tuple[list[Receive], list[Compute | Send]]] = [([], [])]
    # The resource of the last part, once it computes.
    resource: Resource | None = None
    waiting = False
    for step in program:
        if isinstance(step, Receive):
            if not waiting:
                parts.append(([], []))
                resource = None
            parts[-1][0].append(step)
        else:
            if isinstance(step, Compute):
                if resource not in (None, device.resource(step)):
                    parts.append(([], []))
                resource = device.resource(step)
            parts[-1][1].append(step)
        waiting = isinstance(step, Receive)
    return [_segment(receives, body, device, frames, mode) for receives, body in parts]


def _segment(
    receives: list[Receive],
    body: list[Compute | Send],
    device: DeviceSpec,
    frames: int,
    mode: Mode,
) -> Segment:
    frame = np.arange(frames)
    clock = np.zeros(frames, dtype=np.int64)
    computes, begins, ends, sends = [], [], [], []
    for step in body:
        if isinstance(step, Compute):
            computes.append(step)
            begins.append(clock)
            if not (mode == Mode.HELD and step.renews):
                work_ns = device.compute_ns(step, spare=mode == Mode.DEGRADED)
                clock = clock + work_ns * (frame % step.every == 0)
            ends.append(clock)
        elif not step.while_capturing:
            sends.append((step, clock.tolist()))
    shape = (len(computes), frames)
    return Segment(
        device.resource(computes[0]) if computes else "core",
        tuple(receives),
        tuple(computes),
        np.array(begins, dtype=np.int64).reshape(shape),
        np.array(ends, dtype=np.int64).reshape(shape),
        clock.tolist(),
        tuple(sends),
    )


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
