"""What a device has to do for every frame: a tuple of steps, independent of the sound.

The algorithms differ in the order of their steps, which the simulation turns into latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "int16", "int8", "int4"]
Layer = Literal["dense", "convolution"]


@dataclass(frozen=True)
class Compute:
    """Occupy the ear's core for `macs` multiply-accumulates, in frames 0, every, 2 every, ...

    Steps with `renews` (networks, covariances, weights) are left out of a frame whose
    filter is held. In frames for which the device degrades, `spare_macs` and `spare_bytes` of
    weights take the place of `macs` and `weight_bytes`, if there is a smaller network.
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

    `ladder` are smaller payloads: one step down for each earlier payload that still waits. Such a
    payload is handed over when the hop is complete.
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
