"""Latency of a run, from the microphone to the ear: the parts of every frame.

For every frame that was computed, in nanoseconds and (ear, frame):

    window + queue + compute + link = ready;  ready + margin = window + playout delay

`window` is the synthesis window (the algorithm's own delay), `queue` the time waiting for the core,
`compute` the computation, `link` the time waiting for the partner's packet, and `margin` the time
left to the deadline, negative where it was missed. The sound always has the latency of the window
and the playout delay: a frame that is ready earlier waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from hasim.simulation.program import Compute, Program, Receive
from hasim.simulation.timeline import Timeline

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, repr=False)
class Latency:
    """The parts of every frame, (ear, frame) in ns."""

    computed: ndarray
    """(ear, frame): the frame was computed; the parts of other frames mean nothing."""
    window_ns: int
    """Length of the synthesis window: the delay of the algorithm itself."""
    queue_ns: ndarray
    """(ear, frame): waiting for the core."""
    compute_ns: ndarray
    """(ear, frame): computing."""
    link_ns: ndarray
    """(ear, frame): waiting for the partner's packet."""
    margin_ns: ndarray
    """(ear, frame): left until the deadline; below 0 where it was missed."""

    def __repr__(self) -> str:
        shown = [f"window {self.window_ns / 1e6:.2f} ms"]
        for name, value in self.numbers().items():
            if name.endswith(("queue_ms", "compute_ms", "link_ms", "margin_ms", "max_ms")):
                shown.append(f"{name.split('_')[1]} {value:.2f}")
        return f"<Latency mean over frames: {', '.join(shown)}>"

    @property
    def ready_ns(self) -> ndarray:
        """(ear, frame): from capture of the oldest sample to the output, ready to be played."""
        return self.window_ns + self.queue_ns + self.compute_ns + self.link_ns

    def numbers(self) -> dict[str, float]:
        """Mean of the parts and percentiles of `ready`, both ears together, in ms."""
        if not np.any(self.computed):
            return {}
        means = {
            f"latency_{part}_ms": float(np.mean(getattr(self, f"{part}_ns")[self.computed])) / 1e6
            for part in ("queue", "compute", "link", "margin")
        }
        ready_ms = self.ready_ns[self.computed] / 1e6
        tails = {f"latency_p{p}_ms": float(np.percentile(ready_ms, p)) for p in PERCENTILES}
        return means | tails | {"latency_max_ms": float(ready_ms.max())}


def decompose(timeline: Timeline, programs: tuple[Program, Program], window_ns: int) -> Latency:
    """The parts of every frame's latency; `window_ns` is the length of the synthesis window.

    While a frame does not compute, it waits: for the partner before the first step behind a
    Receive, until the packet came or was given up; for the core in all other gaps.
    """
    shape = timeline.released_ns.shape
    compute_ns, link_ns = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for ear, program in enumerate(programs):
        own = timeline.steps[timeline.steps["ear"] == ear]
        own = own[timeline.computed[ear, own["frame"]]]
        own = own[np.lexsort((own["start_ns"], own["frame"]))]
        np.add.at(compute_ns[ear], own["frame"], own["end_ns"] - own["start_ns"])
        link_ns[ear] = _waited_ns(timeline, ear, program, own)
    response_ns = np.where(timeline.computed, timeline.finished_ns - timeline.released_ns, 0)
    return Latency(
        timeline.computed,
        window_ns,
        response_ns - compute_ns - link_ns,
        compute_ns,
        link_ns,
        np.where(timeline.computed, timeline.deadline_ns - timeline.finished_ns, 0),
    )


def comb_db(frequency_hz: ndarray, delay_ms: float, gain_db: float = 0.0) -> ndarray:
    """Level of direct plus processed sound in an open ear, against the direct sound alone.

    |H|^2 = 1 + g^2 + 2 g cos(2 pi f tau): nulls at odd multiples of 1 / (2 tau) where g = 0 dB, and
    a ripple of 20 log10((1 + g) / |1 - g|).
    """
    gain = 10 ** (gain_db / 20)
    power = 1 + gain**2 + 2 * gain * np.cos(2e-3 * np.pi * np.asarray(frequency_hz) * delay_ms)
    return 10 * np.log10(np.maximum(power, 1e-12))


def _waited_ns(timeline: Timeline, ear: int, program: Program, own: ndarray) -> ndarray:
    """(frame,): time in which a frame waited for packets; `own` are the steps in order."""
    frames = timeline.released_ns.shape[1]
    segment_of, receives = _segments(program)
    last = len(receives) - 1
    # One more entry per frame stands for its end, in the last segment.
    frame = np.concatenate([own["frame"], np.arange(frames)])
    number = [segment_of[str(name)] for name in own["name"]]
    segment = np.concatenate([np.array(number, dtype=np.int64), np.full(frames, last)])
    start_ns = np.concatenate([own["start_ns"], timeline.finished_ns[ear]])
    end_ns = np.concatenate([own["end_ns"], timeline.finished_ns[ear]])
    order = np.lexsort((np.arange(len(frame)), start_ns, frame))
    frame, segment, start_ns, end_ns = (x[order] for x in (frame, segment, start_ns, end_ns))
    first = np.concatenate([[True], frame[1:] != frame[:-1]])
    before_ns = np.where(first, timeline.released_ns[ear, frame], np.roll(end_ns, 1))
    before = np.where(first, 0, np.roll(segment, 1))
    waited_ns = np.zeros(frames, dtype=np.int64)
    for received, step in receives[1:]:
        came_ns = _came_ns(timeline, ear, step)[frame]
        behind = (before < received) & (segment >= received) & timeline.computed[ear, frame]
        until_ns = np.minimum(start_ns, came_ns)
        # Time spent on one packet of a gap is not counted again for the next.
        gap_ns = np.where(behind, np.maximum(until_ns - before_ns, 0), 0)
        before_ns = before_ns + gap_ns
        np.add.at(waited_ns, frame, gap_ns)
    return waited_ns


def _segments(program: Program) -> tuple[dict[str, int], list[tuple[int, Receive]]]:
    """Step -> number of Receives before it; and the Receives, numbered from 1."""
    segment_of: dict[str, int] = {}
    receives: list[tuple[int, Receive]] = [(0, Receive(""))]
    for step in program:
        if isinstance(step, Receive):
            receives.append((len(receives), step))
        elif isinstance(step, Compute):
            segment_of[step.name] = len(receives) - 1
    return segment_of, receives


def _came_ns(timeline: Timeline, ear: int, receive: Receive) -> ndarray:
    """(frame,): when the packet that a frame is the first to need arrived or was given up."""
    frames = timeline.released_ns.shape[1]
    deliveries = timeline.channels[receive.channel]
    given_up_ns = timeline.released_ns[ear] + deliveries.waits_ns[ear]
    packet = np.arange(frames) + receive.lag_frames
    exists = (packet >= 0) & (packet < frames)
    arrived_ns = deliveries.arrived_ns[ear, np.where(exists, packet, 0)]
    came_ns = np.where(arrived_ns >= 0, np.minimum(arrived_ns, given_up_ns), given_up_ns)
    came_ns = np.where(exists, came_ns, 0)
    if receive.lag_frames > 0 and came_ns[0]:
        # Frame 0 needs all packets up to its lag.
        first_ns = deliveries.arrived_ns[ear, : receive.lag_frames + 1]
        came_ns[0] = given_up_ns[0] if np.any(first_ns < 0) else min(first_ns.max(), given_up_ns[0])
    return came_ns
