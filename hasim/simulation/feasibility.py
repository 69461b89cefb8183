"""Whether an algorithm fits its devices and its link, and if not, why not.

Memory, processor time and link rate are judged by what is needed; frames and packets by what
happened to them in the run. Random losses are no reason against an algorithm: lost packets are
concealed, in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from textwrap import shorten

import numpy as np
from numpy import ndarray

from hasim.config.ears import EARS
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.memory import REGIONS, MemoryLedger
from hasim.simulation.link.traffic import LinkSpec, carried_kbps, offered_kbps
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, macs_per_frame
from hasim.simulation.timeline import Mode, Status, Timeline


@dataclass(frozen=True, repr=False)
class Verdict:
    """The reasons why a run does not fit, one sentence each."""

    reasons: tuple[str, ...]
    """What does not fit or comes late, one sentence each."""

    def __repr__(self) -> str:
        if self.feasible:
            return "<Verdict fits>"
        return f"<Verdict does not fit: {shorten('; '.join(self.reasons), 200)}>"

    @property
    def feasible(self) -> bool:
        """Everything fits, nothing comes late, and the latency is within the limit."""
        return not self.reasons

    @property
    def text(self) -> str:
        """ "fits", "too late" where the latency is all that is wrong, or "does not fit"."""
        if self.feasible:
            return "fits"
        late = all(reason.startswith("too late:") for reason in self.reasons)
        return "too late" if late else "does not fit"


def judge(
    timeline: Timeline,
    *,
    too_late: str | None,
    programs: tuple[Program, Program],
    devices: tuple[DeviceSpec, DeviceSpec],
    link: LinkSpec,
    ledgers: tuple[MemoryLedger, MemoryLedger],
    playout: PlayoutSpec,
) -> Verdict:
    """The verdict on a run, from its timeline, its devices (left, right), memory and link.

    `too_late` is the reason why its latency is over the limit of the fitting, None where it is not.
    """
    reasons = [too_late] if too_late else []
    for ear, name in enumerate(EARS):
        ledger = devices[ear].placed(ledgers[ear])
        reasons += (f"{name}: {reason}" for reason in _memory(ledger))
        reasons += (
            f"{name}: {reason}" for reason in _load(programs[ear], devices[ear], timeline.hop_ns)
        )
    reasons += _link(programs, link, timeline.hop_ns)
    for ear, name in enumerate(EARS):
        reasons += (f"{name}: {reason}" for reason in _missed(timeline, ear))
        if playout.wait_ms != "auto":
            reasons += (f"{name}: {reason}" for reason in _late_packets(timeline, ear))
    return Verdict(tuple(reasons))


def _memory(ledger: MemoryLedger) -> Iterator[str]:
    for region in REGIONS:
        shortage_kb = ledger.shortage_kb(region)
        if shortage_kb > 0:
            needed_kb = ledger.needed_bytes(region) / 1024
            room_kb = ledger.room_bytes(region) / 1024
            yield (
                f"{region.upper()} short by {_up(shortage_kb)} kB "
                f"(needs {_up(needed_kb)}, has {room_kb:g})"
            )


def _load(program: Program, device: DeviceSpec, hop_ns: int) -> Iterator[str]:
    for resource, load in device.loads(program, hop_ns).items():
        if load > 1:
            steps = tuple(
                step
                for step in program
                if isinstance(step, Compute) and device.resource(step) == resource
            )
            asked_mmac_per_s = macs_per_frame(steps) / hop_ns * 1e3
            # With mixed precisions, the rate of this mix of steps.
            available_mmac_per_s = asked_mmac_per_s / load
            where = "" if resource == "core" else f" of the {resource}"
            yield (
                f"utilisation{where} {_up(load, 2)} ({asked_mmac_per_s:.1f} MMAC/s asked, "
                f"{available_mmac_per_s:.1f} available)"
            )


def _link(programs: tuple[Program, Program], link: LinkSpec, hop_ns: int) -> Iterator[str]:
    needed, carried = offered_kbps(programs, link, hop_ns), carried_kbps(programs, link, hop_ns)
    media = ("link",) if len(needed) == 1 else ("link left to right", "link right to left")
    for medium, needs_kbps, has_kbps in zip(media, needed, carried, strict=True):
        if needs_kbps > has_kbps:
            yield f"{medium} needs {_up(needs_kbps)} kbit/s, has {has_kbps:g}"


def _missed(timeline: Timeline, ear: int) -> Iterator[str]:
    """Frames that were not finished in time, unless they waited for a packet that was lost."""
    frames = timeline.released_ns.shape[1]
    skipped = np.count_nonzero(~timeline.computed[ear])
    if skipped:
        yield f"{skipped} of {frames} frames skipped"
    for mode, how in ((Mode.HELD, "a held filter"), (Mode.DEGRADED, "the smaller network")):
        count = np.count_nonzero(timeline.mode[ear] == mode)
        if count:
            yield f"{count} of {frames} frames with {how}"
    late = timeline.computed[ear] & ~timeline.heard[ear] & ~_lost_packet(timeline, ear)
    if np.any(late):
        late_ns = (timeline.finished_ns - timeline.deadline_ns)[ear, late]
        yield (
            f"{np.count_nonzero(late)} of {frames} frames late, "
            f"by up to {_up(late_ns.max() / 1e6)} ms"
        )


def _lost_packet(timeline: Timeline, ear: int) -> ndarray:
    """(frame,), bool: a packet that the frame is the first to need was lost."""
    lost = np.zeros(timeline.released_ns.shape[1], dtype=bool)
    for deliveries in timeline.channels.values():
        packet = np.flatnonzero(deliveries.status[ear] == Status.LOST)
        frame = np.maximum(packet - deliveries.lag_frames, 0)
        # With a negative lag nobody needs the last packets.
        lost[frame[frame < len(lost)]] = True
    return lost


def _late_packets(timeline: Timeline, ear: int) -> Iterator[str]:
    for channel, deliveries in timeline.channels.items():
        late = np.flatnonzero(deliveries.status[ear] == Status.LATE)
        if len(late):
            needed_ns = timeline.released_ns[ear, np.maximum(late - deliveries.lag_frames, 0)]
            waits_ns = deliveries.arrived_ns[ear, late] - needed_ns
            yield (
                f"{len(late)} of {len(deliveries.status[ear])} packets of {channel!r} late "
                f"(wait_ms is {timeline.wait_ns / 1e6:g}, the slowest took "
                f"{_up(waits_ns.max() / 1e6)})"
            )


def _up(value: float, digits: int = 1) -> str:
    """`value` rounded up, so that an excess is never printed as 0."""
    scale = 10**digits
    return f"{ceil(round(value * scale, 6)) / scale:.{digits}f}".rstrip("0").rstrip(".")
