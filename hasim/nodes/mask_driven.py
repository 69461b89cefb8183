"""From masks to filters: common parameters and steps of all mask-driven nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.config.spec import Spec
from hasim.dsp import covariance, wiener_filters
from hasim.dsp.covariance import CovarianceSpec, Recursive
from hasim.dsp.oracle_masks import OracleMask
from hasim.dsp.stft import FrontEndSpec
from hasim.dsp.wiener_filters import FilterName
from hasim.networks import cost
from hasim.networks.contract import MaskEstimator, NetworkCost, Role
from hasim.networks.precision import PrecisionSpec
from hasim.networks.pretrained import ShippedName
from hasim.networks.registry import NetworksSpec, find
from hasim.nodes.blocks import FLOAT_BYTES
from hasim.nodes.exchange import Exchange
from hasim.nodes.filter_weights import Solve, Updates, filter_weights
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Compute, Program


class MaskDrivenNode(Spec):
    """Masks, covariances and a spatial filter: the common part of the TANGO family."""

    masks: Literal["oracle", "trained"] = "trained"
    """Where the masks come from: trained networks, those in `weights`, or an oracle, whose masks
    stand for a perfect network, at the network's cost."""
    weights: ShippedName | Path | None = None
    """For trained masks: a safetensors file, or a folder with one for each network; `hasim:NAME`
    for the networks of that recipe, null for those of the algorithm and its `groups` in floating
    point, both of which come with hasim."""
    networks: NetworksSpec = NetworksSpec()
    """Networks of one's own, in place of those that `masks` says."""
    oracle_mask: OracleMask = "irm1"
    """Ideal ratio mask of amplitudes or powers, ideal binary, ideal amplitude, phase-sensitive
    mask."""
    groups: Literal[0, 1, 2, 4, 6, 8, 10] = 0
    """Recurrent groups of the compact multi-node network; 0 is the paper's full network."""
    spare_groups: Literal[1, 2, 4, 6, 8, 10] | None = None
    """Of a smaller network for the frames in which a device degrades; null: there is none."""
    mask_every: int = Field(1, ge=1, le=64)
    """Frames from one run of the networks to the next; in between the last mask stays."""
    precision: PrecisionSpec = PrecisionSpec()
    """Bits of the networks: what they cost and, of trained masks, how they are rounded; the
    oracle's stay exact."""
    filter: FilterName = "gevd"
    """How the weights are computed from the covariances."""
    rank: int = Field(1, ge=1, le=4)
    """Rank of the speech covariance that the GEVD filter keeps."""
    mu: float = Field(1.0, ge=0, le=1000)
    """Noise reduction against speech distortion; 1 is the Wiener filter."""
    covariance: CovarianceSpec = Recursive()

    @model_validator(mode="after")
    def _networks_run_in_every_frame(self) -> Self:
        own = self.networks.names()
        if self.mask_every > 1 and (self.masks == "trained" or own):
            whose = "networks of one's own" if own else "masks: trained"
            raise ValueError(
                f"mask_every: must be 1 with {whose}, whose state is that of every frame "
                f"(got {self.mask_every})"
            )
        if self.spare_groups is not None and "mn_dnn" in own:
            raise ValueError(
                "spare_groups: must be null with networks.mn_dnn, which has no smaller network "
                f"beside it (got {self.spare_groups})"
            )
        return self

    def roles(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Role, ...]:
        """Roles of the networks that the program runs."""
        steps = [step for step in self.program(front_end, codec) if isinstance(step, Compute)]
        run = {step.name for step in steps if step.part == "network"}
        return tuple(role for role in get_args(Role) if role in run)

    def trained_roles(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Role, ...]:
        """Roles of those that need trained weights."""
        if self.masks != "trained":
            return ()
        own = self.networks.names()
        return tuple(role for role in self.roles(front_end, codec) if role not in own)

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """The steps of one frame on one ear's device."""
        raise NotImplementedError

    def mask(
        self, masks: MaskEstimator, exchange: Exchange, network: Role, *inputs: ndarray
    ) -> ndarray:
        """(ear, bin, frame): in every frame the mask of the last run of `network` on `inputs`, each
        (ear, bin, frame)."""
        made = masks(network, *inputs)
        if self.mask_every == 1:
            return made
        number = np.arange(made.shape[-1])
        ran = exchange.renewed & (number % self.mask_every == 0)
        last = np.maximum.accumulate(np.where(ran, number, 0), axis=1)
        return np.take_along_axis(made, last[:, None, :], axis=-1)

    def network(self, name: Role, front_end: FrontEndSpec) -> Compute:
        """The step of one run of a mask network."""
        if (own := self._own(name)) is not None:
            return Compute(
                name,
                own.macs,
                own.precision,
                part="network",
                kind=own.layer,
                weight_bytes=own.weight_bytes,
                renews=True,
            )
        parts, spare = self._parts(name, front_end), self._spare_parts(name, front_end)
        return Compute(
            name,
            cost.macs(parts),
            self.precision.name,
            part="network",
            every=self.mask_every,
            weight_bytes=self._stored_bytes(parts),
            renews=True,
            spare_macs=cost.macs(spare) if spare else None,
            spare_bytes=self._stored_bytes(spare),
        )

    def network_memory(self, name: Role, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Weights and state of a mask network and of its smaller replacement, and a mask."""
        if (own := self._own(name)) is not None:
            return (
                Item(f"{name} mask", FLOAT_BYTES * front_end.bins),
                Item(f"{name} weights", own.weight_bytes, "nvm"),
                Item(f"{name} state", own.state_bytes),
            )
        mask_bytes = -(-front_end.bins * self.precision.io_bits // 8)
        items = [Item(f"{name} mask", mask_bytes)]
        networks = (
            (name, self._parts(name, front_end)),
            (f"spare {name}", self._spare_parts(name, front_end)),
        )
        for label, parts in networks:
            if parts:
                stored = cost.stored_bytes(parts, self.precision)
                state = cost.state_bytes(parts, self.precision)
                items += [Item(f"{label} {what}", size, "nvm") for what, size in stored.items()]
                items += [Item(f"{label} {what}", size) for what, size in state.items()]
        return tuple(items)

    def filter_steps(self, label: str, channels: int, front_end: FrontEndSpec) -> Program:
        """The steps of one filter: covariances, weights, application."""
        every = getattr(self.covariance, "every", 1)
        bins = front_end.bins
        return (
            Compute(
                f"covariance_{label}",
                covariance.covariance_macs(channels, bins),
                every=every,
                renews=True,
            ),
            Compute(
                f"weights_{label}",
                wiener_filters.filter_macs(self.filter, channels, bins, self.rank),
                every=every,
                renews=True,
            ),
            Compute(f"apply_{label}", wiener_filters.apply_macs(channels, bins)),
        )

    def filter_memory(self, label: str, channels: int, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Two Hermitian covariances (channels^2 real numbers per bin each) and complex weights."""
        numbers = 2 * channels**2 + 2 * channels
        return (Item(f"filter {label}", FLOAT_BYTES * numbers * front_end.bins),)

    def filter_weights(
        self,
        updates: Updates,
        hop_s: float,
        solve: Solve | None = None,
        restarted: ndarray | None = None,
    ) -> ndarray:
        """Weights (ear, frame, bin, channel), one frame of them for whole-utterance covariances.

        `solve` makes weights of covariances, by default with the node's filter. Where `restarted`
        (ear, frame) is set, the covariances start again from zero.
        """
        return filter_weights(updates, self.covariance, hop_s, solve or self.solved, restarted)

    def local_filter_weights(self, mics: ndarray, mask: ndarray, exchange: Exchange) -> ndarray:
        """Weights (ear, frame, bin, mic) over the local microphones alone, updated in the frames
        that the ear's own device computed."""
        return self.filter_weights(
            Updates(mics, mask, exchange.renewed),
            exchange.timeline.hop_ns * 1e-9,
            restarted=exchange.timeline.restarted,
        )

    def solved(self, speech: ndarray, noise: ndarray) -> ndarray:
        """Weights (..., channel) of the node's filter for covariances (..., channel, channel)."""
        return wiener_filters.weights(self.filter, speech, noise, mu=self.mu, rank=self.rank)

    def _own(self, name: Role) -> NetworkCost | None:
        """The cost of a network of one's own in this role; None where there is none."""
        own = self.networks.names().get(name)
        return None if own is None else find(own).cost

    def _stored_bytes(self, parts: tuple[cost.Part, ...]) -> int:
        return sum(cost.stored_bytes(parts, self.precision).values())

    def _spare_parts(self, name: Role, front_end: FrontEndSpec) -> tuple[cost.Part, ...]:
        """The smaller network; nothing where there is none."""
        if name == "sn_dnn" or self.spare_groups is None:
            return ()
        return cost.mn_dnn(self.spare_groups, bins=front_end.bins)

    def _parts(self, name: Role, front_end: FrontEndSpec) -> tuple[cost.Part, ...]:
        if name == "sn_dnn":
            return cost.sn_dnn(front_end.bins)
        return cost.mn_dnn(self.groups, bins=front_end.bins)
