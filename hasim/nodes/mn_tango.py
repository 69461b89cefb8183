"""MN-TANGO: one exchange of the raw reference microphones, one network, one filter (paper, Fig.
1c)."""

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


class MnTango(ExchangingNode):
    """Masks from local and remote reference; filter over the local microphones and the remote
    reference."""

    kind: Literal["mn_tango"] = "mn_tango"

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """The reference may leave while it is captured; everything else waits for the partner's."""
        return (
            *raw_exchange("reference", front_end, codec, age_frames=self.exchange.age_frames),
            self.network("mn_dnn", front_end),
            *self.partner_filter_steps(MICS + 1, front_end),
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers, network, filter of three channels (and of two for the fallback)."""
        return (
            *buffers(front_end, codec, streams=1),
            *self.network_memory("mn_dnn", front_end),
            *self.partner_filter_memory(MICS + 1, front_end),
        )

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: Masks) -> Enhanced:
        partner = self.received(exchange, "reference", mics[:, :1])
        mask = self.mask(masks, exchange, "mn_dnn", mics[:, 0], partner.signal[:, 0])
        weights = self.partner_filter(mics, partner, mask, exchange)

        def through(signals: ndarray) -> ndarray:
            remote = self.received(exchange, "reference", signals[:, :1], rounded=False).signal
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
            partner_gains={"reference": self.partner_gain(weights)},
        )
