"""The reference microphone unchanged: the loopback with which latency is measured."""

from __future__ import annotations

from typing import Literal

from numpy import ndarray

from hasim.config.spec import Spec
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.blocks import analysis, buffers, synthesis
from hasim.nodes.exchange import Exchange
from hasim.nodes.node import Enhanced
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Program


class Passthrough(Spec):
    """Analysis and synthesis, with nothing in between."""

    kind: Literal["passthrough"] = "passthrough"

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """Transform there and back."""
        return (analysis(front_end), synthesis(front_end))

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers alone."""
        return buffers(front_end)

    def enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        """The first microphone (ear, bin, frame) of `mics` (ear, mic, bin, frame)."""
        return Enhanced(mics[:, 0], through=lambda signals: signals[:, 0])
