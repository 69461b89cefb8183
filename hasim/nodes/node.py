"""The contract of node algorithms: `program` is what the device does for a frame, `enhance` what
happens to the sound.

Arrays are (ear, mic|stream|channel, bin, frame); both ears and all frames at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Protocol, runtime_checkable

from numpy import ndarray

from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.exchange import Exchange
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Program


@dataclass(frozen=True, repr=False)
class Enhanced:
    """The output of a node algorithm for a whole scene."""

    output: ndarray
    """Spectra (ear, bin, frame)."""
    through: Callable[[ndarray], ndarray] | None = None
    """Sends other signals (ear, mic, bin, frame) through the same weights and losses, without
    rounding, and gives (ear, bin, frame); None where the algorithm is not linear."""
    taps: dict[str, ndarray] = field(default_factory=dict)
    """Stages of the signal's path, (ear, bin, frame) by name, in their order: they get scores of
    their own."""
    output_tap: str | None = None
    """The name of the tap that is the output itself; None where the output is no tap."""
    masks: dict[str, ndarray] = field(default_factory=dict)
    """Masks (ear, bin, frame) by the name of their network."""
    partner_gains: dict[str, ndarray] = field(default_factory=dict)
    """By channel, (ear, stream, bin) of the receiver: root mean square of the filter's weights on
    the partner's streams."""

    def __repr__(self) -> str:
        shown = [f"output {' x '.join(map(str, self.output.shape))} (ear, bin, frame)"]
        for name in ("taps", "masks", "partner_gains"):
            if names := getattr(self, name):
                shown.append(f"{name} {shorten(', '.join(names), 200)}")
        return f"<Enhanced {'; '.join(shown)}>"


@runtime_checkable
class Node(Protocol):
    """The contract of a node algorithm; a node is also a Spec with a literal `kind`."""

    @property
    def kind(self) -> str:
        """The name in a scenario file."""

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """The steps of one frame on one ear's device."""

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """What lies in the device's memory."""

    def enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        """Output (ear, bin, frame) of `mics` (ear, mic, bin, frame), both ears and all frames.

        Signals of the other ear come through `exchange` alone, masks from `masks`.
        """
