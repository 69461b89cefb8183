"""Nodes that use the other ear's signal: concealment, fallback filter, late packets."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.dsp import wiener_filters
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.arrivals import NEVER
from hasim.nodes.blocks import FLOAT_BYTES, MICS
from hasim.nodes.exchange import Exchange
from hasim.nodes.exchange_policy import PolicySpec, Wait
from hasim.nodes.filter_weights import Updates
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.nodes.node import Enhanced
from hasim.nodes.reception import Fill, Received, Reception
from hasim.simulation.device.memory import Item
from hasim.simulation.program import Compute, Program

# How long a frame is kept for updates with the partner's late packets.
LATE_FRAMES = 8

Concealment = Literal["zero", "repeat", "repeat_fade", "repeat_phase", "local_only", "predict"]


class ExchangingNode(MaskDrivenNode):
    """A mask-driven node whose last filter uses a signal of the partner."""

    exchange: PolicySpec = Wait()
    """Whether a frame waits for the partner's, is filtered with an older one, or with none."""
    concealment: Concealment = "local_only"
    """In place of a missing packet of the partner: silence; its last packet, also faded; or the
    packet one window earlier, with which every bin's own frequency continues in phase. Or for the
    whole frame: the filter of the local microphones alone, or the partner's signal predicted from
    them by the covariances."""
    fade: float = Field(0.7, ge=0, le=1)
    """Factor of `repeat_fade` on a repeated packet, once more for each further repeat."""
    learn_from: Literal["in_time", "late_too", "all"] = "in_time"
    """Frames with which the covariances with the partner are updated: those whose partner signal
    came in time; also those with late packets and copies; or all, with the substitutes."""

    @model_validator(mode="after")
    def _choices_go_together(self) -> Self:
        if self.exchange.kind == "stats_only" and self.concealment != "predict":
            raise ValueError(
                "concealment: must be predict with exchange stats_only, which has no other use for "
                f"the statistics (got {self.concealment})"
            )
        if self.concealment == "predict" and self.learn_from == "all":
            raise ValueError(
                "learn_from: must be in_time or late_too with concealment predict, which would "
                "otherwise be updated with its own predictions (got all)"
            )
        return self

    def enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        """Output (ear, bin, frame) of `mics` (ear, mic, bin, frame), with all stages; signals of
        the other ear come through `exchange` alone.

        A codec that distributes its bits by the weights of the receiver's filter gets them from a
        first pass in which bits are distributed by level.
        """
        if exchange.codec.uses_importance:
            gains = self._enhance(mics, exchange, masks).partner_gains
            # The weights of one ear's filter matter to the other ear, which sends the signal.
            exchange = exchange.weighted({name: gain[::-1] for name, gain in gains.items()})
        return self._enhance(mics, exchange, masks)

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        raise NotImplementedError

    def received(
        self, exchange: Exchange, channel: str, signal: ndarray, *, rounded: bool = True
    ) -> Received:
        """What each ear gets of the other's `signal` (ear, stream, bin, frame), each frame beside
        the local frame that uses it. `rounded` as in `Exchange.__call__`."""
        result = exchange(channel, signal, self._reception, rounded=rounded)
        older = result.older(self.exchange.age_frames)
        if self.exchange.kind != "stats_only":
            return older
        # The covariances are updated with the local and the partner's frame of the same time.
        return replace(
            older,
            update_signal=result.update_signal,
            available_from=result.available_from,
            rounding_noise=result.rounding_noise,
        )

    def partner_filter(
        self, mics: ndarray, partner: Received, mask: ndarray, exchange: Exchange
    ) -> ndarray:
        """Weights (ear, frame, bin, channel) over the local microphones and the partner's
        streams."""
        predict = self.concealment == "predict"
        available_from = self._update_from(partner, exchange.renewed)
        updates = Updates(
            np.concatenate([mics, partner.update_signal], axis=1),
            mask,
            available_from < NEVER,
            available_from,
            partner.rounding_noise,
        )
        weights = self.filter_weights(
            updates,
            exchange.timeline.hop_ns * 1e-9,
            self._with_prediction if predict else None,
            exchange.timeline.restarted,
        )
        missing = ~partner.arrived
        if self.exchange.kind == "stats_only":
            missing = np.ones_like(missing)
        if predict:
            weights, substitute = np.split(weights, 2, axis=-1)
        elif self.concealment == "local_only" and missing.any():
            local = self.local_filter_weights(mics, mask, exchange)
            remote = np.zeros((*local.shape[:3], partner.signal.shape[1]))
            substitute = np.concatenate([local, remote], axis=-1)
        else:
            return weights
        return np.where(missing[:, :, None, None], substitute, weights)

    def partner_gain(self, weights: ndarray) -> ndarray:
        """(ear, stream, bin): root mean square of the filter's weights on the partner's streams.

        At least a thousandth of the largest, because the exchange divides by it.
        """
        gain = np.sqrt(np.mean(np.abs(weights[..., MICS:]) ** 2, axis=1)).swapaxes(1, 2)
        largest = gain.max(axis=-1, keepdims=True)
        return np.maximum(gain, np.where(largest > 0, 1e-3 * largest, 1.0))

    def partner_filter_steps(self, channels: int, front_end: FrontEndSpec) -> Program:
        """The steps of the last filter and of the concealment; with `local_only` the filter of the
        local microphones is updated as well."""
        steps = self.filter_steps("final", channels, front_end)
        streams = channels - MICS
        if self.concealment == "local_only":
            return self.filter_steps("fallback", MICS, front_end)[:2] + steps
        if self.concealment == "predict":
            # One linear system of the local microphones for all streams, and its use.
            complex_macs = MICS**3 / 3 + 2 * streams * MICS**2
            return (
                *steps[:-1],
                Compute("predict", round(4 * complex_macs * front_end.bins), renews=True),
                steps[-1],
            )
        return steps

    def partner_filter_memory(self, channels: int, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Covariances and weights of `partner_filter_steps`, and frames kept for late updates."""
        items = self.filter_memory("final", channels, front_end)
        if self.concealment == "local_only":
            items += self.filter_memory("fallback", MICS, front_end)
        waiting = self.exchange.age_frames if self.exchange.kind == "stats_only" else 0
        waiting += LATE_FRAMES if self.learn_from == "late_too" else 0
        if waiting:
            # Complex spectra of the microphones, and the mask.
            numbers = waiting * (2 * MICS + 1) * front_end.bins
            items += (Item("frames waiting for updates", FLOAT_BYTES * numbers),)
        return items

    @property
    def _reception(self) -> Reception:
        fills: dict[Concealment, Fill] = {
            "repeat": "repeat",
            "repeat_fade": "repeat",
            "repeat_phase": "repeat_phase",
        }
        return Reception(
            fill=fills.get(self.concealment, "zero"),
            fade=self.fade if self.concealment == "repeat_fade" else 1.0,
            age_frames=self.exchange.age_frames,
            late_updates=self.learn_from == "late_too",
        )

    def _update_from(self, partner: Received, renewed: ndarray) -> ndarray:
        """(ear, frame): the frame from which on the covariances are updated with this frame, or
        NEVER."""
        number = np.arange(renewed.shape[1])
        age = self.exchange.age_frames if self.exchange.kind == "stats_only" else 0
        available_from = partner.available_from
        if self.learn_from == "all":
            available_from = np.broadcast_to(number + age, renewed.shape)
        elif self.learn_from == "in_time":
            available_from = np.where(available_from <= number + age, available_from, NEVER)
        else:
            in_memory = available_from - number <= age + LATE_FRAMES
            available_from = np.where(in_memory, available_from, NEVER)
        return np.where(renewed, available_from, NEVER)

    def _with_prediction(self, speech: ndarray, noise: ndarray) -> ndarray:
        """Weights (..., 2 channel): the filter's, then those over the local microphones alone that
        give the same output with the partner's signal predicted from them.

        With x the partner's and y the local signals, the best linear prediction is P y with P =
        R_xy R_yy^-1, so that w_y^H y + w_x^H P y = (w_y + P^H w_x)^H y.
        """
        weights = self.solved(speech, noise)
        total = wiener_filters.loaded(speech + noise)
        # P^H, (..., local, remote)
        to_local = np.linalg.solve(total[..., :MICS, :MICS], total[..., :MICS, MICS:])
        local = weights[..., :MICS] + np.einsum("...lr,...r->...l", to_local, weights[..., MICS:])
        return np.concatenate([weights, local, np.zeros_like(weights[..., MICS:])], axis=-1)
