"""Realisations of the channel: random losses and jitter, or the best and the worst case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from hasim.simulation.link.air import Air
from hasim.simulation.link.losses.bernoulli import independent
from hasim.simulation.link.losses.process import DIRECTIONS, LossProcess
from hasim.simulation.link.traffic import LinkSpec

Stream = Callable[[str], np.random.Generator]
"""stream(name) -> the random generator of that name."""


@dataclass(frozen=True)
class ChannelRealisation:
    """Losses, acknowledgements and delays of one run; pairs are by sending ear."""

    attempts: int
    lost: tuple[LossProcess, LossProcess]
    """One call for every attempt."""
    ack_lost: tuple[Iterator[bool], Iterator[bool]]
    """One item for every attempt that arrived."""
    jitter_ns: Callable[[int, int, int, int], int]
    """jitter_ns(sender, frame, channel, piece)"""
    late: bool = False
    """Packets arrive as if at their last possible attempt."""
    flushes: bool = True
    """Packets that become too old, or collide, are lost."""


def random_realisation(link: LinkSpec, air: Air, stream: Stream, frames: int) -> ChannelRealisation:
    """Random losses and jitter, from the streams "loss/...", "ack/..." and "jitter/<direction>"."""
    left, right = DIRECTIONS
    pieces = max((len(pieces) for ear in air.payloads for pieces in ear), default=1)
    size = (frames, len(air.payloads[0]), pieces)
    jitters = [
        stream(f"jitter/{direction}").integers(0, air.jitter_ns, size, endpoint=True).tolist()
        for direction in DIRECTIONS
    ]
    return ChannelRealisation(
        air.attempts,
        (
            link.loss.process(stream(f"loss/{left}"), left),
            link.loss.process(stream(f"loss/{right}"), right),
        ),
        (
            independent(link.ack_loss, stream(f"ack/{left}")),
            independent(link.ack_loss, stream(f"ack/{right}")),
        ),
        lambda sender, frame, channel, piece: jitters[sender][frame][channel][piece],
    )


def slowest_realisation(air: Air) -> ChannelRealisation:
    """Everything arrives as late as possible: full jitter, and as if at the last attempt.

    The medium is not occupied by the attempts before the last.
    """
    return ChannelRealisation(
        1,
        (_never, _never),
        (repeat(False), repeat(False)),
        lambda *packet: air.jitter_ns,
        late=True,
        flushes=False,
    )


def prompt() -> ChannelRealisation:
    """Everything arrives at the first attempt, without jitter."""
    once = (repeat(False), repeat(False))
    return ChannelRealisation(1, (_never, _never), once, lambda *packet: 0, flushes=False)


def nothing_arrives() -> ChannelRealisation:
    """Everything is lost."""
    return ChannelRealisation(
        1, (_always, _always), (repeat(False), repeat(False)), lambda *packet: 0
    )


def _never(frame: int, start_ns: int, bits: int) -> bool:
    return False


def _always(frame: int, start_ns: int, bits: int) -> bool:
    return True
