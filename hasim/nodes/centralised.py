"""All four microphones at both ears: the upper bound that the distributed algorithms are measured
against."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray

from hasim import filters
from hasim.codecs import CodecSpec
from hasim.exchange import Exchange
from hasim.memory import Item
from hasim.nodes.blocks import MICS, buffers, raw_exchange, synthesis
from hasim.nodes.filtering import ExchangingNode
from hasim.nodes.node import Enhanced, Masks
from hasim.program import Program
from hasim.stft import FrontEndSpec


class Centralised(ExchangingNode):
    """Both raw microphones are exchanged: twice the bits of the TANGO family, and a filter of four
    channels."""

    kind: Literal["centralised"] = "centralised"

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """As MN-TANGO, with two streams."""
        return (
            *raw_exchange("mics", front_end, codec, MICS, self.exchange.age_frames),
            self.network("mn_dnn", front_end),
            *self.partner_filter_steps(2 * MICS, front_end),
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers, network, filter of four channels (and of two for the fallback)."""
        return (
            *buffers(front_end, codec, streams=MICS),
            *self.network_memory("mn_dnn", front_end),
            *self.partner_filter_memory(2 * MICS, front_end),
        )

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: Masks) -> Enhanced:
        partner = self.received(exchange, "mics", mics)
        mask = self.mask(masks, exchange, "mn_dnn", mics[:, 0], partner.signal[:, 0])
        weights = self.partner_filter(mics, partner, mask, exchange)

        def through(signals: ndarray) -> ndarray:
            remote = self.received(exchange, "mics", signals, rounded=False).signal
            return filters.apply(weights, np.concatenate([signals, remote], axis=1))

        output = filters.apply(weights, np.concatenate([mics, partner.signal], axis=1))
        return Enhanced(
            output,
            through,
            taps={
                "received": partner.signal[:, 0],
                "mn_dnn": mask * mics[:, 0],
                "filter_2": output,
            },
            masks={"mn_dnn": mask},
            partner_gains={"mics": self.partner_gain(weights)},
        )
