"""What a node has to do for every frame: a tuple of steps, and nothing about sound.

The order of the steps is the difference between the algorithms; the simulation turns it into
latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "int16", "int8", "int4"]
Layer = Literal["dense", "convolution"]


@dataclass(frozen=True)
class Compute:
    """Occupy the ear's core for `macs` multiply-accumulates, in frames 0, every, 2 every, ...

    What `renews` the filter (networks, covariances, weights) is left out of a frame whose filter is
    held. A device that degrades does `spare_macs` and reads `spare_bytes` of weights instead, where
    a smaller network has been named.
    """

    name: str
    macs: int
    precision: Precision = "fp32"
    part: Literal["network", "signal"] = "signal"
    every: int = 1
    kind: Layer = "dense"
    weight_bytes: int = 0
    renews: bool = False
    spare_macs: int | None = None
    spare_bytes: int = 0


@dataclass(frozen=True)
class Send:
    """Hand `bits` of `channel` to the link.

    With `while_capturing` the payload is a microphone's own samples: pieces of it may leave while
    the hop is still being captured, so only the last piece waits for the frame to be complete.

    With a `ladder` of smaller payloads each payload that still waits takes this one a step down; it
    is handed over when the hop is complete.
    """

    channel: str
    bits: int
    while_capturing: bool = False
    ladder: tuple[int, ...] = ()


@dataclass(frozen=True)
class Receive:
    """Wait for the partner's packet of `channel` that frame n needs: packet n + `lag_frames`.

    A filter output sent as samples exists only after overlap-add, so its last hop for frame n
    travels in a later packet; a raw microphone and a spectrum have no such lag.
    """

    channel: str
    lag_frames: int = 0


Step = Compute | Send | Receive
Program = tuple[Step, ...]


def macs_per_frame(program: Program, part: str | None = None) -> float:
    """Multiply-accumulates of an average frame, of one `part` ("network", "signal") or of all."""
    return sum(
        step.macs / step.every
        for step in program
        if isinstance(step, Compute) and part in (None, step.part)
    )
