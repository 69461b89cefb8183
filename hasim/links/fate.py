"""What happens to packets on their way: drawn at random, or the best and the worst there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from hasim.links import LinkSpec
from hasim.losses.bernoulli import independent
from hasim.losses.process import DIRECTIONS, LossProcess

Stream = Callable[[str], np.random.Generator]
"""stream(name) -> the random generator of that name."""


@dataclass(frozen=True)
class Fate:
    """Everything about packets that is not their size; pairs are by sending ear."""

    attempts: int
    lost: tuple[LossProcess, LossProcess]  # one call per attempt
    ack_lost: tuple[Iterator[bool], Iterator[bool]]  # one item per attempt that arrived
    delay_ns: Callable[
        [int, int, int, int], int
    ]  # of (sender, frame, channel, piece), beyond the airtime


def drawn(link: LinkSpec, stream: Stream, frames: int, channels: int) -> Fate:
    """Losses and jitter, from the streams "loss/...", "ack/..." and "jitter/<direction>"."""
    left, right = DIRECTIONS
    size = (frames, channels, link.packets_per_hop)
    latency_ns, jitter_ns = _ns(link.latency_ms), _ns(link.jitter_ms)
    delay = []
    for direction in DIRECTIONS:
        jitter = stream(f"jitter/{direction}").integers(0, jitter_ns, size, endpoint=True)
        delay.append((latency_ns + jitter).tolist())
    return Fate(
        link.attempts,
        (
            link.loss.process(stream(f"loss/{left}"), left),
            link.loss.process(stream(f"loss/{right}"), right),
        ),
        (
            independent(link.ack_loss, stream(f"ack/{left}")),
            independent(link.ack_loss, stream(f"ack/{right}")),
        ),
        lambda sender, frame, channel, piece: delay[sender][frame][channel][piece],
    )


def slowest(link: LinkSpec, airtime_ns: list[list[int]]) -> Fate:
    """Everything arrives, but as late as it may: full jitter, and as if at its last attempt.

    `airtime_ns` is by sender and channel. The medium is not occupied by the attempts before the
    last.
    """
    once_ns = _ns(link.latency_ms) + _ns(link.jitter_ms)
    spacing_ns = _ns(link.retry_spacing_ms)
    return Fate(
        1,
        (_never, _never),
        (repeat(False), repeat(False)),
        lambda sender, frame, channel, piece: (
            once_ns + (link.attempts - 1) * (airtime_ns[sender][channel] + spacing_ns)
        ),
    )


def prompt(link: LinkSpec) -> Fate:
    """Everything arrives at its first attempt, without jitter."""
    once_ns = _ns(link.latency_ms)
    return Fate(1, (_never, _never), (repeat(False), repeat(False)), lambda *packet: once_ns)


def nothing_arrives() -> Fate:
    """Everything is lost."""
    return Fate(1, (_always, _always), (repeat(False), repeat(False)), lambda *packet: 0)


def _never(frame: int) -> bool:
    return False


def _always(frame: int) -> bool:
    return True


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)
