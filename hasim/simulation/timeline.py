"""The result of a simulation: when each frame was computed, what arrived, what was heard.

Integer nanoseconds throughout, -1 where something never happened. Arrays are (ear, frame) with ear
0 = left, 1 = right. Deliveries are indexed by the *receiving* ear except `sent_ns`, which is the
sender's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from textwrap import shorten

import numpy as np
from numpy import ndarray


class Status(IntEnum):
    """How the packets of a frame reached the partner."""

    ON_TIME = 0
    LATE = 1
    LOST = 2
    NOT_SENT = 3


class Mode(IntEnum):
    """How a frame was computed."""

    FULL = 0
    HELD = 1
    """Filtered with an earlier filter: no step that renews the filter was run."""
    DEGRADED = 2
    """With the smaller network."""


def _never() -> ndarray:
    return np.zeros((2, 1), dtype=np.int8)


@dataclass(frozen=True, repr=False)
class Deliveries:
    """One channel between the ears. Packet n carries what the sender made of its frame n."""

    sent_ns: ndarray
    """(ear, frame) of the sending ear: the whole payload was handed to the link."""
    arrived_ns: ndarray
    """(ear, frame) of the receiving ear: the last piece arrived; -1 where it never did."""
    status: ndarray
    """(ear, frame) of the receiving ear: values of `Status`."""
    lag_frames: int = 0
    """Frame n of the receiver needs the packets up to n + lag_frames."""
    waits_ns: tuple[int, int] = (0, 0)
    """Per receiving ear: how long after its release a frame waits for its packet."""
    rung: ndarray = field(default_factory=_never)
    """(ear, frame) of the sending ear, or (ear, 1): steps down the codec's ladder."""

    def __repr__(self) -> str:
        counts = [f"{np.sum(self.status == s)} {s.name.lower().replace('_', ' ')}" for s in Status]
        return f"<Deliveries {self.status.size} packets: {', '.join(counts)}>"

    @property
    def on_time(self) -> ndarray:
        """(ear, frame) of the receiving ear: the packet was there when the receiver needed it."""
        return self.status == Status.ON_TIME


@dataclass(frozen=True, repr=False)
class Timeline:
    """When every frame was computed and every packet sent and received, in one run.

    Integer nanoseconds from the beginning of the run; -1 where a thing never happened.
    """

    hop_ns: int
    """From the release of one frame to that of the next."""
    released_ns: ndarray
    """(ear, frame): the frame's last sample was captured, and its program may start."""
    finished_ns: ndarray
    """(ear, frame): the program's last step was done; -1 where skipped."""
    deadline_ns: ndarray
    """(ear, frame): the frame's output hop starts to play."""
    playout_delay_ns: int
    """From the release of a frame to its deadline."""
    wait_ns: int
    """The longest time that a frame waits for the partner's packet, after its release."""
    channels: dict[str, Deliveries]
    """Name of a channel of the exchange -> its packets, frame by frame."""
    busy_ns: ndarray
    """(ear,): time in which the core computed."""
    airtime_ns: int
    """Time in which the medium was occupied; in full duplex, that of the busier direction."""
    duration_ns: int
    """Number of frames times `hop_ns`."""
    steps: ndarray
    """One record per computation: ear, frame, name, start_ns, end_ns."""
    packets: ndarray
    """One record per transmission: channel, sender, frame, piece, attempt, start_ns, end_ns,
    arrived_ns, lost."""
    queue: dict[str, float] = field(default_factory=dict)
    """Figures of the queues, with the unit in the name."""
    mode: ndarray = field(default_factory=_never)
    """(ear, frame), or (ear, 1) for all frames: values of Mode."""
    restarted: ndarray = field(default_factory=_never)
    """(ear, frame), or (ear, 1) for all frames: 1 in the first frame after a reboot, which knows
    nothing of those before."""
    clock: tuple[float, float] = (1.0, 1.0)
    """Factor of the devices' computing rates, left and right."""
    skew_samples: ndarray = field(default_factory=lambda: np.zeros((2, 1, 2)))
    """(ear, frame, 2), or (ear, 1, 2) for all frames: samples by which the received signal lags at
    the beginning and the end of a hop, because the partner samples with another clock."""

    def __repr__(self) -> str:
        parts = [
            f"2 ears x {self.released_ns.shape[-1]} frames, one every {self.hop_ns / 1e6:g} ms"
        ]
        if self.channels:
            parts.append(f"channels {shorten(', '.join(self.channels), 200)}")
        left, right = np.mean(self.heard, axis=-1)
        parts.append(f"ready in time {left:.1%} left, {right:.1%} right")
        return f"<Timeline {'; '.join(parts)}>"

    @property
    def computed(self) -> ndarray:
        """(ear, frame): the program ran to its end, in time or not."""
        return self.finished_ns >= 0

    @property
    def slips(self) -> ndarray:
        """(ear,): how often the ear dropped or doubled a sample of the partner's."""
        jumps = self.skew_samples[:, 1:, 0] - self.skew_samples[:, :-1, 1]
        return np.sum(np.abs(jumps) > 0.5, axis=1)

    @property
    def renewed(self) -> ndarray:
        """(ear, frame): computed, and not with a filter that was held."""
        return self.computed & (self.mode != Mode.HELD)

    @property
    def heard(self) -> ndarray:
        """(ear, frame): ready when its output hop was due; exactly at the deadline is in time."""
        return self.computed & (self.finished_ns <= self.deadline_ns)

    @property
    def utilisation(self) -> ndarray:
        """(ear,): share of the run in which the core computed."""
        return self.busy_ns / np.float64(self.duration_ns)
