"""Each ear by itself: mask and filter from its own two microphones, nothing exchanged."""

from __future__ import annotations

from typing import Literal

from numpy import ndarray

from hasim.dsp import wiener_filters
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.blocks import MICS, analysis, buffers, synthesis
from hasim.nodes.exchange import Exchange
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.nodes.node import Enhanced
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Program


class Local(MaskDrivenNode):
    """The first stage of TANGO alone, without the partner."""

    kind: Literal["local"] = "local"

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """Transform, network, a filter of two channels, transform back."""
        return (
            analysis(front_end),
            self.network("sn_dnn", front_end),
            *self.filter_steps("final", MICS, front_end),
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers, network, filter."""
        return (
            *buffers(front_end),
            *self.network_memory("sn_dnn", front_end),
            *self.filter_memory("final", MICS, front_end),
        )

    def enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        """Output (ear, bin, frame) of the filter over `mics` (ear, mic, bin, frame)."""
        mask = self.mask(masks, exchange, "sn_dnn", mics[:, 0])
        weights = self.local_filter_weights(mics, mask, exchange)
        output = wiener_filters.apply(weights, mics)
        return Enhanced(
            output,
            through=lambda signals: wiener_filters.apply(weights, signals),
            taps={"sn_dnn": mask * mics[:, 0], "filter_1": output},
            output_tap="filter_1",
            masks={"sn_dnn": mask},
        )
