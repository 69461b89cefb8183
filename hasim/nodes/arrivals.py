"""Which of the partner's packets arrived, and from which frame on their data can be used.

Frame numbers are int64; `NEVER` stands for data that does not arrive. Ears are receiving ears.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from hasim.simulation.timeline import Deliveries, Status, Timeline

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Arrivals:
    """When the data of each packet can be used, (ear, packet); data 0 belongs to frame 0."""

    needed_by: ndarray
    """(packet,): the frame that is the first to need the data."""
    on_time: ndarray
    """(ear, packet), bool: the data is there when that frame needs it."""
    available_from: ndarray
    """(ear, packet): the first frame at which the data is there, or NEVER."""
    copy_on_time: ndarray
    """(ear, packet), bool: a copy is there one frame later."""
    copy_available_from: ndarray
    """(ear, packet): the first frame at which a copy is there, or NEVER."""


def arrivals(
    timeline: Timeline, deliveries: Deliveries, age_frames: int, *, copied: bool, spread: int
) -> Arrivals:
    """Arrivals of one channel, with data that is used `age_frames` after the frame it belongs to.

    Data n travels in packets n + lag - `spread` to n + lag (a codec with a delay spreads a hop
    over several packets) and, where `copied`, once more in packet n + lag + 1.
    """
    frames = deliveries.status.shape[1]
    lag = deliveries.lag_frames + age_frames
    needed_by = np.arange(frames) + age_frames
    packet_on_time = deliveries.on_time
    packet_from = _first_frames(timeline, deliveries)
    single = packet_from.copy()
    for earlier in range(1, spread + 1):
        packet_on_time[:, earlier:] &= deliveries.on_time[:, :-earlier]
        packet_from[:, earlier:] = np.maximum(packet_from[:, earlier:], single[:, :-earlier])
    # Data whose packet would come after the last frame counts as there: it is silence.
    on_time = np.ones((2, frames), dtype=bool)
    on_time[:, : frames - lag] = packet_on_time[:, lag:]
    arrived_at = np.tile(needed_by, (2, 1))
    arrived_at[:, : frames - lag] = packet_from[:, lag:]
    copy_on_time = np.zeros((2, frames), dtype=bool)
    copy_at = np.full((2, frames), NEVER)
    if copied:
        copy_on_time[:, : frames - lag - 1] = packet_on_time[:, lag + 1 :]
        copy_at[:, : frames - lag - 1] = packet_from[:, lag + 1 :]
    return Arrivals(
        needed_by,
        on_time,
        np.where(on_time, needed_by, np.maximum(arrived_at, needed_by)),
        copy_on_time,
        np.where(copy_on_time, needed_by + 1, copy_at),
    )


def _first_frames(timeline: Timeline, deliveries: Deliveries) -> ndarray:
    """(ear, packet): the first frame that is released once the packet is there, or NEVER."""
    frames = deliveries.status.shape[1]
    first = np.stack(
        [
            np.searchsorted(released, arrived, side="left")
            for released, arrived in zip(timeline.released_ns, deliveries.arrived_ns, strict=True)
        ]
    )
    never = (deliveries.status > Status.LATE) | (first >= frames)
    return np.where(never, NEVER, first)


def first_to_arrive(
    packets: ndarray, copies: ndarray, arrived: Arrivals
) -> tuple[ndarray, ndarray]:
    """Of each packet and its copy (ear, stream, packet, number) the one that is there first, zero
    where neither comes; and the frame from which on it is there, (ear, packet)."""
    available_from = np.minimum(arrived.available_from, arrived.copy_available_from)
    packet_first = arrived.available_from <= arrived.copy_available_from
    first = np.where(packet_first[:, None, :, None], packets, copies)
    return first * (available_from < NEVER)[:, None, :, None], available_from


def update_order(available_from: ndarray, update: ndarray, every: int) -> tuple[ndarray, ndarray]:
    """In which order the covariances are updated with the frames.

    `available_from` (ear, frame) is in frames, while updates are made every `every` of them;
    `update` (ear, frame) says which frames are used at all. Returns the frames in the order of
    their updates, (ear, update), those never used last and those of one moment by their number;
    and the last update made up to each frame, (ear, frame), -1 before the first.
    """
    at = np.where(update, -(-available_from // every), NEVER)
    order = np.argsort(at, axis=1, kind="stable")
    sorted_at = np.take_along_axis(at, order, axis=1)
    numbers = np.arange(available_from.shape[1])
    last = np.stack([np.searchsorted(row, numbers, side="right") - 1 for row in sorted_at])
    return order, last
