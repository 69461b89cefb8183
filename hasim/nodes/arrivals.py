"""What arrived of the partner's packets, and when it can be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from hasim.simulation.timeline import Deliveries, Status, Timeline

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Arrivals:
    """What becomes of each packet's data: (ear, packet) of the receiver, data 0 being frame 0's."""

    due: ndarray  # (packet,): the frame that first needs it
    in_time: ndarray
    known: ndarray  # the frame from which on it is known, or NEVER
    copy_in_time: ndarray  # a copy came for the frame after
    copy_known: ndarray


def arrivals(
    timeline: Timeline, deliveries: Deliveries, age_frames: int, *, copied: bool, spread: int
) -> Arrivals:
    """Data n travels in packets n + lag - spread to n + lag, and its copy in packet n + lag + 1."""
    frames = deliveries.status.shape[1]
    lag = deliveries.lag_frames + age_frames
    due = np.arange(frames) + age_frames
    on_time, known = deliveries.on_time, available_from(timeline, deliveries)
    for earlier in range(1, spread + 1):
        on_time[:, earlier:] &= deliveries.on_time[:, :-earlier]
        known[:, earlier:] = np.maximum(
            known[:, earlier:], available_from(timeline, deliveries)[:, :-earlier]
        )
    in_time = np.ones((2, frames), dtype=bool)
    in_time[:, : frames - lag] = on_time[:, lag:]
    at = np.tile(due, (2, 1))
    at[:, : frames - lag] = known[:, lag:]
    copy_in_time = np.zeros((2, frames), dtype=bool)
    copy_at = np.full((2, frames), NEVER)
    if copied:
        copy_in_time[:, : frames - lag - 1] = on_time[:, lag + 1 :]
        copy_at[:, : frames - lag - 1] = known[:, lag + 1 :]
    return Arrivals(
        due,
        in_time,
        np.where(in_time, due, np.maximum(at, due)),
        copy_in_time,
        np.where(copy_in_time, due + 1, copy_at),
    )


def available_from(timeline: Timeline, deliveries: Deliveries) -> ndarray:
    """(ear, packet): the first frame released when the packet was there, for packets too late."""
    frames = deliveries.status.shape[1]
    first = np.stack(
        [
            np.searchsorted(released, arrived, side="left")
            for released, arrived in zip(timeline.released_ns, deliveries.arrived_ns, strict=True)
        ]
    )
    never = (deliveries.status > Status.LATE) | (first >= frames)
    return np.where(never, NEVER, first)


def best_of(packets: ndarray, copies: ndarray, fates: Arrivals) -> tuple[ndarray, ndarray]:
    """Packets (ear, stream, packet, number) as known soonest, silent where never; since when."""
    known = np.minimum(fates.known, fates.copy_known)
    best_of = np.where((fates.known <= fates.copy_known)[:, None, :, None], packets, copies)
    return best_of * (known < NEVER)[:, None, :, None], known


def update_frames(known: ndarray, update: ndarray, every: int) -> tuple[ndarray, ndarray]:
    """The order (ear, lesson) in which frames are learnt, and for each frame the last lesson so
    far (ear, frame), -1 before the first.

    `known` is in frames, the updates come every `every` of them. Frames that are never learnt
    come last; two lessons of one moment are taken in the order of their frames.
    """
    at = np.where(update, -(-known // every), NEVER)
    order = np.argsort(at, axis=1, kind="stable")
    sorted_at = np.take_along_axis(at, order, axis=1)
    numbers = np.arange(known.shape[1])
    learnt = np.stack([np.searchsorted(row, numbers, side="right") - 1 for row in sorted_at])
    return order, learnt
