"""One exchange of raw microphones, one network, one filter: MN-TANGO and the centralised filter."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy import ndarray

from hasim.dsp import wiener_filters
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.blocks import MICS, buffers, raw_exchange, synthesis
from hasim.nodes.exchange import Exchange
from hasim.nodes.exchanging import ExchangingNode
from hasim.nodes.node import Enhanced
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Program


class OneFilterNode(ExchangingNode):
    """A mask from local and remote reference; a filter over the local microphones and `streams` of
    the partner's."""

    channel: ClassVar[str]
    streams: ClassVar[int]

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """The microphones may leave while captured; all else waits for the partner's packet."""
        return (
            *raw_exchange(self.channel, front_end, codec, self.streams, self.exchange.age_frames),
            self.network("mn_dnn", front_end),
            *self.partner_filter_steps(MICS + self.streams, front_end),
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers, network, filter of local and remote channels, and the fallback's."""
        return (
            *buffers(front_end, codec, streams=self.streams),
            *self.network_memory("mn_dnn", front_end),
            *self.partner_filter_memory(MICS + self.streams, front_end),
        )

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        partner = self.received(exchange, self.channel, mics[:, : self.streams])
        mask = self.mask(masks, exchange, "mn_dnn", mics[:, 0], partner.signal[:, 0])
        weights = self.partner_filter(mics, partner, mask, exchange)

        def through(signals: ndarray) -> ndarray:
            remote = self.received(
                exchange, self.channel, signals[:, : self.streams], rounded=False
            ).signal
            return wiener_filters.apply(weights, np.concatenate([signals, remote], axis=1))

        output = wiener_filters.apply(weights, np.concatenate([mics, partner.signal], axis=1))
        return Enhanced(
            output,
            through,
            taps={
                "received": partner.signal[:, 0],
                "mn_dnn": mask * mics[:, 0],
                "filter_2": output,
            },
            output_tap="filter_2",
            masks={"mn_dnn": mask},
            partner_gains={self.channel: self.partner_gain(weights)},
        )
