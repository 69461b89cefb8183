"""Masks to filters: the parameters and the steps that all mask-driven nodes share."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim import covariance, filters
from hasim.covariance import CovarianceSpec, Recursive
from hasim.exchange import Exchange, Received
from hasim.filters import FilterName
from hasim.masks import OracleMask
from hasim.memory import Item
from hasim.models import cost
from hasim.nodes.blocks import FLOAT_BYTES, MICS
from hasim.program import Compute, Precision, Program
from hasim.spec import Spec
from hasim.stft import FrontEndSpec

BLOCK_FRAMES = 64  # covariances of so many frames stay in the processor's cache


class PrecisionSpec(Spec):
    """Number formats of the network on the device."""

    weights: Literal[4, 8, 16, 32] = 8
    """Bits of a weight: sets the rate of its MACs and its bytes; 32 is floating point."""

    @property
    def name(self) -> Precision:
        """The precision as programs and devices call it."""
        names: dict[int, Precision] = {4: "int4", 8: "int8", 16: "int16", 32: "fp32"}
        return names[self.weights]


class MaskDrivenNode(Spec):
    """Masks, covariances and a spatial filter: what the nodes of the TANGO family have in
    common."""

    masks: Literal["oracle"] = "oracle"
    """Where the masks come from; oracle masks stand for a perfect network, at the network's
    cost."""
    oracle_mask: OracleMask = "irm1"
    """Ideal ratio mask of amplitudes or powers, ideal binary, ideal amplitude, phase-sensitive
    mask."""
    groups: Literal[0, 1, 2, 4, 6, 8, 10] = 0
    """Recurrent groups of the compact multi-node network; 0 is the paper's full network."""
    precision: PrecisionSpec = PrecisionSpec()
    filter: FilterName = "gevd"
    rank: int = Field(1, ge=1, le=4)
    """Rank of the speech covariance that the GEVD filter keeps."""
    mu: float = Field(1.0, ge=0, le=1000)
    """Noise reduction against speech distortion; 1 is the Wiener filter."""
    covariance: CovarianceSpec = Recursive()

    def network(self, name: cost.Network, front_end: FrontEndSpec) -> Compute:
        """One run of a mask network."""
        macs = cost.macs(self._parts(name, front_end))
        return Compute(name, macs, self.precision.name, part="network")

    def network_memory(self, name: cost.Network, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Weights and state of a mask network, and its mask."""
        parts = self._parts(name, front_end)
        stored = sum(cost.stored_bytes(parts, self.precision.name).values())
        state = sum(cost.state_bytes(parts).values())
        return (
            Item(f"{name} weights", stored, "nvm"),
            Item(f"{name} state and mask", state + FLOAT_BYTES * front_end.bins),
        )

    def filter_steps(self, label: str, channels: int, front_end: FrontEndSpec) -> Program:
        """Covariances, weights and application of one filter."""
        every = getattr(self.covariance, "every", 1)
        bins = front_end.bins
        return (
            Compute(f"covariance_{label}", covariance.covariance_macs(channels, bins), every=every),
            Compute(
                f"weights_{label}",
                filters.filter_macs(self.filter, channels, bins, self.rank),
                every=every,
            ),
            Compute(f"apply_{label}", filters.apply_macs(channels, bins)),
        )

    def filter_memory(self, label: str, channels: int, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Two Hermitian covariances (channels^2 real numbers a bin each) and complex weights."""
        numbers = 2 * channels**2 + 2 * channels
        return (Item(f"filter {label}", FLOAT_BYTES * numbers * front_end.bins),)

    def filter_weights(
        self, channels: ndarray, mask: ndarray, update: ndarray, hop_s: float
    ) -> ndarray:
        """Weights (ear, frame, bin, channel), one frame of them for whole-utterance covariances.

        channels (ear, channel, bin, frame), mask (ear, bin, frame); the covariances learn from the
        frames where `update` (ear, frame) is true.
        """
        spec = self.covariance
        if not isinstance(spec, Recursive):
            speech, noise = covariance.utterance(channels, mask, update, spec.mask_power)
            return filters.weights(self.filter, speech, noise, mu=self.mu, rank=self.rank)
        frames = channels.shape[-1]
        channels, mask, update = (x[..., :: spec.every] for x in (channels, mask, update))
        forgetting = float(np.exp(-spec.every * hop_s / spec.tau_s))
        weights, state = [], None
        for first in range(0, channels.shape[-1], BLOCK_FRAMES):
            block = slice(first, first + BLOCK_FRAMES)
            speech, noise = covariance.recursive(
                channels[..., block],
                mask[..., block],
                forgetting,
                update[:, block],
                spec.mask_power,
                state,
            )
            state = (speech[:, -1], noise[:, -1])
            weights.append(filters.weights(self.filter, speech, noise, mu=self.mu, rank=self.rank))
        return np.concatenate(weights, axis=1).repeat(spec.every, axis=1)[:, :frames]

    def _parts(self, name: cost.Network, front_end: FrontEndSpec) -> tuple[cost.Part, ...]:
        if name == "sn_dnn":
            return cost.sn_dnn(front_end.bins)
        return cost.mn_dnn(self.groups, bins=front_end.bins)


class ExchangingNode(MaskDrivenNode):
    """A mask-driven node whose last filter uses a signal of the partner."""

    concealment: Literal["zero", "repeat", "local_only"] = "local_only"
    """Instead of a missing frame of the partner: silence, its last packet, or the filter of the
    local microphones alone, with the missing frame kept out of the covariances."""

    @property
    def fill(self) -> Literal["zero", "repeat"]:
        """What stands in the place of a missing packet."""
        return "repeat" if self.concealment == "repeat" else "zero"

    def partner_filter(
        self, mics: ndarray, partner: Received, mask: ndarray, exchange: Exchange
    ) -> ndarray:
        """Weights (ear, frame, bin, channel) over the local microphones and the partner's
        streams."""
        hop_s = exchange.timeline.hop_ns * 1e-9
        channels = np.concatenate([mics, partner.signal], axis=1)
        computed, arrived = exchange.computed, partner.arrived
        if self.concealment != "local_only":
            return self.filter_weights(channels, mask, computed, hop_s)
        weights = self.filter_weights(channels, mask, computed & arrived, hop_s)
        if arrived.all():
            return weights
        local = self.filter_weights(mics, mask, computed, hop_s)
        local = np.concatenate(
            [local, np.zeros((*local.shape[:3], partner.signal.shape[1]))], axis=-1
        )
        return np.where(arrived[:, :, None, None], weights, local)

    def partner_filter_steps(self, channels: int, front_end: FrontEndSpec) -> Program:
        """The last filter; with `local_only` the filter of the local microphones is kept ready
        beside it."""
        steps = self.filter_steps("final", channels, front_end)
        if self.concealment == "local_only":
            steps = self.filter_steps("fallback", MICS, front_end)[:2] + steps
        return steps

    def partner_filter_memory(self, channels: int, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Covariances and weights of `partner_filter_steps`."""
        items = self.filter_memory("final", channels, front_end)
        if self.concealment == "local_only":
            items += self.filter_memory("fallback", MICS, front_end)
        return items
