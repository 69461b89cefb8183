"""Two-stage TANGO: filter locally, exchange the result, filter again (paper, Fig. 1a; Furnon et
al. 2021)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray

from hasim.dsp import wiener_filters
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.blocks import MICS, analysis, buffers, filtered_exchange, synthesis
from hasim.nodes.exchange import Exchange
from hasim.nodes.exchanging import ExchangingNode
from hasim.nodes.node import Enhanced
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Program


class Tango(ExchangingNode):
    """Stage 1: local mask, filter over two microphones -> z. Stage 2: mask from local reference
    and the partner's z, filter over the local microphones and that z; the ear's own mask weights
    all channels in its covariances."""

    kind: Literal["tango"] = "tango"

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """z is ready only after the whole first stage, and as samples only one hop later."""
        return (
            analysis(front_end),
            self.network("sn_dnn", front_end),
            *self.filter_steps("first", MICS, front_end),
            *filtered_exchange("z", front_end, codec, self.exchange.age_frames),
            self.network("mn_dnn", front_end),
            *self.partner_filter_steps(MICS + 1, front_end),
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers, two networks, two filters, and the fallback's."""
        return (
            *buffers(front_end, codec, streams=1),
            *self.network_memory("sn_dnn", front_end),
            *self.filter_memory("first", MICS, front_end),
            *self.network_memory("mn_dnn", front_end),
            *self.partner_filter_memory(MICS + 1, front_end),
        )

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        mask_1 = self.mask(masks, exchange, "sn_dnn", mics[:, 0])
        first = self.local_filter_weights(mics, mask_1, exchange)

        def stage_1(signals: ndarray) -> ndarray:
            # A frame that was skipped has no z.
            return (wiener_filters.apply(first, signals) * exchange.sent("z")[:, None, :])[:, None]

        z = stage_1(mics)
        partner = self.received(exchange, "z", z)
        mask_2 = self.mask(masks, exchange, "mn_dnn", mics[:, 0], partner.signal[:, 0])
        second = self.partner_filter(mics, partner, mask_2, exchange)

        def through(signals: ndarray) -> ndarray:
            remote = self.received(exchange, "z", stage_1(signals), rounded=False).signal
            return wiener_filters.apply(second, np.concatenate([signals, remote], axis=1))

        output = wiener_filters.apply(second, np.concatenate([mics, partner.signal], axis=1))
        return Enhanced(
            output,
            through,
            taps={
                "sn_dnn": mask_1 * mics[:, 0],
                "filter_1": z[:, 0],
                "received_z": partner.signal[:, 0],
                "mn_dnn": mask_2 * mics[:, 0],
                "filter_2": output,
            },
            output_tap="filter_2",
            masks={"sn_dnn": mask_1, "mn_dnn": mask_2},
            partner_gains={"z": self.partner_gain(second)},
        )
