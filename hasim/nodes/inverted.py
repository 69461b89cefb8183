"""Inverted TANGO: exchange the raw references first, multi-node network before single-node network
(paper, Fig. 1b).

The paper does not specify two details, which are parameters here: after the first filter there may
be a second exchange (of its output), and the first filter may use the partner's reference or the
local microphones alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray

from hasim.dsp import wiener_filters
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.blocks import MICS, buffers, filtered_exchange, raw_exchange, synthesis
from hasim.nodes.exchange import Exchange
from hasim.nodes.exchanging import ExchangingNode
from hasim.nodes.node import Enhanced
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Program


class _Inverted(ExchangingNode):
    second_exchange: bool = True
    """The first filter's output is exchanged as well, and the last filter uses it instead of the
    raw reference."""
    first_filter: Literal["all", "local"] = "all"
    """Channels of the first filter: with the partner's reference, or the local microphones
    alone."""

    def _second_input(self, reference: ndarray, filtered: ndarray) -> ndarray:
        """The input of the second network, (ear, bin, frame)."""
        raise NotImplementedError

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """Exchange, network and filter, an optional second exchange, network and filter."""
        age = self.exchange.age_frames
        return (
            *raw_exchange("reference", front_end, codec, age_frames=age),
            self.network("mn_dnn", front_end),
            *self.filter_steps("first", self._first_channels, front_end),
            *(filtered_exchange("z", front_end, codec, age) if self.second_exchange else ()),
            self.network("sn_dnn", front_end),
            *self.partner_filter_steps(MICS + 1, front_end),
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers, two networks, two filters, and the fallback's."""
        return (
            *buffers(front_end, codec, streams=2 if self.second_exchange else 1),
            *self.network_memory("mn_dnn", front_end),
            *self.filter_memory("first", self._first_channels, front_end),
            *self.network_memory("sn_dnn", front_end),
            *self.partner_filter_memory(MICS + 1, front_end),
        )

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        made = exchange.sent("z") if self.second_exchange else exchange.timeline.computed
        raw = self.received(exchange, "reference", mics[:, :1])
        mask_1 = self.mask(masks, exchange, "mn_dnn", mics[:, 0], raw.signal[:, 0])
        if self.first_filter == "all":
            first = self.partner_filter(mics, raw, mask_1, exchange)
        else:
            first = self.local_filter_weights(mics, mask_1, exchange)

        def stage_1(signals: ndarray, remote: ndarray) -> ndarray:
            channels = np.concatenate([signals, remote], axis=1)[:, : self._first_channels]
            return (wiener_filters.apply(first, channels) * made[:, None, :])[:, None]

        z = stage_1(mics, raw.signal)
        mask_2 = self.mask(masks, exchange, "sn_dnn", self._second_input(mics[:, 0], z[:, 0]))
        partner = self.received(exchange, "z", z) if self.second_exchange else raw
        second = self.partner_filter(mics, partner, mask_2, exchange)

        def through(signals: ndarray) -> ndarray:
            remote = self.received(exchange, "reference", signals[:, :1], rounded=False).signal
            if self.second_exchange:
                z_parts = stage_1(signals, remote)
                remote = self.received(exchange, "z", z_parts, rounded=False).signal
            return wiener_filters.apply(second, np.concatenate([signals, remote], axis=1))

        output = wiener_filters.apply(second, np.concatenate([mics, partner.signal], axis=1))
        taps = {
            "received": raw.signal[:, 0],
            "mn_dnn": mask_1 * mics[:, 0],
            "filter_1": z[:, 0],
            "received_z": partner.signal[:, 0],
            "sn_dnn": mask_2 * mics[:, 0],
            "filter_2": output,
        }
        if not self.second_exchange:
            del taps["received_z"]
        gains = {"z" if self.second_exchange else "reference": self.partner_gain(second)}
        if self.second_exchange and self.first_filter == "all":
            gains["reference"] = self.partner_gain(first)
        return Enhanced(
            output,
            through,
            taps=taps,
            output_tap="filter_2",
            masks={"mn_dnn": mask_1, "sn_dnn": mask_2},
            partner_gains=gains,
        )

    @property
    def _first_channels(self) -> int:
        return MICS + 1 if self.first_filter == "all" else MICS


class InvertedDagger(_Inverted):
    """B-dagger: the input of the second network is the first filter's output."""

    kind: Literal["inverted_dagger"] = "inverted_dagger"

    def _second_input(self, reference: ndarray, filtered: ndarray) -> ndarray:
        return filtered


class InvertedStar(_Inverted):
    """B-star: the input of the second network is the local reference.

    Without the second exchange the first stage has no effect on the output.
    """

    kind: Literal["inverted_star"] = "inverted_star"

    def _second_input(self, reference: ndarray, filtered: ndarray) -> ndarray:
        return reference
