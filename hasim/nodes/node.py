"""What a node algorithm is: a `program` (what the device does per frame) and `enhance` (what comes out).

Arrays are (ear, mic|stream|channel, bin, frame); both ears and all frames at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from numpy import ndarray

from hasim.codecs import CodecSpec
from hasim.exchange import Exchange
from hasim.memory import Item
from hasim.program import Program
from hasim.stft import FrontEndSpec

Masks = Callable[..., ndarray]
"""masks(network, *inputs) -> (ear, bin, frame): `network` is "sn_dnn" or "mn_dnn", inputs are (ear, bin, frame)."""


@dataclass(frozen=True)
class Enhanced:
    """What a node made of a scene."""

    output: ndarray  # (ear, bin, frame)
    through: Callable[[ndarray], ndarray]
    """Send other signals (ear, mic, bin, frame) through the same weights and losses, without rounding."""
    taps: dict[str, ndarray] = field(default_factory=dict)  # name -> (ear, bin, frame), in order of the signal's path
    masks: dict[str, ndarray] = field(default_factory=dict)  # network -> (ear, bin, frame)


class Node(Protocol):
    """The contract of a node algorithm; a node is also a Spec with a literal `kind`."""

    kind: str

    def program(self, front_end: FrontEndSpec, codec: CodecSpec, sample_rate_hz: int) -> Program:
        """The steps of one frame on one ear's device."""

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """What has to lie in the device's memory."""

    def enhance(self, mics: ndarray, exchange: Exchange, masks: Masks) -> Enhanced:
        """Enhance (ear, mic, bin, frame); what the other ear knows comes through `exchange` alone."""
