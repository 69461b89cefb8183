"""Masks to filters: the parameters and the steps that all mask-driven nodes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

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
from hasim.networks.precision import PrecisionSpec
from hasim.networks.pretrained import ShippedName
from hasim.nodes.blocks import FLOAT_BYTES, MICS
from hasim.nodes.exchange import NEVER, Exchange, Fill, PolicySpec, Received, Wait
from hasim.nodes.node import Enhanced, Masks
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import Allocated
from hasim.simulation.program import Compute, Program

BLOCK_FRAMES = 64  # covariances of so many frames stay in the processor's cache
LATE_FRAMES = 8  # how long a frame is kept for the partner's late packets to teach with

Concealment = Literal["zero", "repeat", "repeat_fade", "repeat_phase", "local_only", "predict"]
Solve = Callable[[ndarray, ndarray], ndarray]


class MaskDrivenNode(Spec):
    """Masks, covariances and a spatial filter: what the nodes of the TANGO family have in
    common."""

    masks: Literal["oracle", "trained"] = "trained"
    """Where the masks come from: trained networks, those in `weights`, or an oracle, whose masks
    stand for a perfect network, at the network's cost."""
    weights: ShippedName | Path | None = None
    """For trained masks: a safetensors file, or a folder with one for each network; `hasim:NAME`
    for the networks of that recipe, null for those of the algorithm and its `groups` in floating
    point, both of which come with hasim."""
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
    """How weights are made of the covariances."""
    rank: int = Field(1, ge=1, le=4)
    """Rank of the speech covariance that the GEVD filter keeps."""
    mu: float = Field(1.0, ge=0, le=1000)
    """Noise reduction against speech distortion; 1 is the Wiener filter."""
    covariance: CovarianceSpec = Recursive()

    @model_validator(mode="after")
    def _trained_networks_run_in_every_frame(self) -> Self:
        if self.masks == "trained" and self.mask_every > 1:
            raise ValueError(
                "mask_every: must be 1 with masks: trained, whose networks remember every frame "
                f"(got {self.mask_every})"
            )
        return self

    def mask(
        self, masks: Masks, exchange: Exchange, network: cost.Network, *inputs: ndarray
    ) -> ndarray:
        """(ear, bin, frame): in every frame the mask of the last run of `network`."""
        made = masks(network, *inputs)
        if self.mask_every == 1:
            return made
        number = np.arange(made.shape[-1])
        ran = exchange.renewed & (number % self.mask_every == 0)
        last = np.maximum.accumulate(np.where(ran, number, 0), axis=1)
        return np.take_along_axis(made, last[:, None, :], axis=-1)

    def network(self, name: cost.Network, front_end: FrontEndSpec) -> Compute:
        """One run of a mask network."""
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

    def network_memory(self, name: cost.Network, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Item by item: weights and state of a mask network and of the smaller one in its place,
        and a mask."""
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
        """Covariances, weights and application of one filter."""
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
        """Two Hermitian covariances (channels^2 real numbers a bin each) and complex weights."""
        numbers = 2 * channels**2 + 2 * channels
        return (Item(f"filter {label}", FLOAT_BYTES * numbers * front_end.bins),)

    def filter_weights(
        self,
        channels: ndarray,
        mask: ndarray,
        update: ndarray,
        hop_s: float,
        *,
        known: ndarray | None = None,
        remote_noise: ndarray | None = None,
        solve: Solve | None = None,
        restarted: ndarray | None = None,
    ) -> ndarray:
        """Weights (ear, frame, bin, channel), one frame of them for whole-utterance covariances.

        channels (ear, channel, bin, frame), mask (ear, bin, frame); the covariances learn from the
        frames where `update` (ear, frame) is true, each as soon as the frame `known` (ear, frame)
        is reached, by default at once. `remote_noise` (ear, stream, bin, frame) is the power of
        the rounding noise in the last channels: noise, also where the mask says speech.
        `solve` makes weights of covariances; by default the node's filter. Where `restarted` (ear,
        frame) is set, everything learnt before is forgotten. A frame without an update is filtered
        as the one before.
        """
        solve = solve or self.solved
        spec = self.covariance
        if restarted is not None and restarted.any() and isinstance(spec, Recursive):
            after = np.cumsum(restarted, axis=1) > 0
            more: dict[str, Any] = {"known": known, "remote_noise": remote_noise, "solve": solve}
            old = self.filter_weights(channels, mask, update & ~after, hop_s, **more)
            new = self.filter_weights(channels, mask, update & after, hop_s, **more)
            return np.where(after[:, :, None, None], new, old)
        if not isinstance(spec, Recursive):
            speech, noise = covariance.utterance(channels, mask, update, spec.mask_power)
            if remote_noise is not None:
                power = remote_noise * mask[:, None] ** spec.mask_power
                _move_noise(speech, noise, _mean_noise(power, update))
            return solve(speech, noise)
        frames = channels.shape[-1]
        channels, mask, update = (x[..., :: spec.every] for x in (channels, mask, update))
        if remote_noise is not None:
            remote_noise = remote_noise[..., :: spec.every]
        learnt = None
        if known is not None and np.any((known != np.arange(frames)) & (known < NEVER)):
            order, learnt = _lessons(known[:, :: spec.every], update, spec.every)
            channels = np.take_along_axis(channels, order[:, None, None, :], axis=-1)
            mask = np.take_along_axis(mask, order[:, None, :], axis=-1)
            update = np.take_along_axis(update, order, axis=-1)
            if remote_noise is not None:
                index = order[:, None, None, :]
                remote_noise = np.take_along_axis(remote_noise, index, axis=-1)
        forgetting = float(np.exp(-spec.every * hop_s / spec.tau_s))
        weights, state, coded = [], None, None
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
            state = (speech[:, -1].copy(), noise[:, -1].copy())
            if remote_noise is not None:
                power = remote_noise[..., block] * mask[:, None, :, block] ** spec.mask_power
                coded = _recursive_noise(power, forgetting, update[:, block], coded)
                _move_noise(speech, noise, coded)
            weights.append(solve(speech, noise))
        result = np.concatenate(weights, axis=1)
        if learnt is not None:
            result = np.take_along_axis(result, np.maximum(learnt, 0)[:, :, None, None], axis=1)
            result = np.where((learnt >= 0)[:, :, None, None], result, 0.0)
        return result.repeat(spec.every, axis=1)[:, :frames]

    def local_filter_weights(self, mics: ndarray, mask: ndarray, exchange: Exchange) -> ndarray:
        """Weights over the local microphones alone, as the ear's own device learns them."""
        return self.filter_weights(
            mics,
            mask,
            exchange.renewed,
            exchange.timeline.hop_ns * 1e-9,
            restarted=exchange.timeline.restarted,
        )

    def solved(self, speech: ndarray, noise: ndarray) -> ndarray:
        """Weights (..., channel) of the node's filter."""
        return wiener_filters.weights(self.filter, speech, noise, mu=self.mu, rank=self.rank)

    def _stored_bytes(self, parts: tuple[cost.Part, ...]) -> int:
        return sum(cost.stored_bytes(parts, self.precision).values())

    def _spare_parts(self, name: cost.Network, front_end: FrontEndSpec) -> tuple[cost.Part, ...]:
        """The smaller network; nothing where there is none."""
        if name == "sn_dnn" or self.spare_groups is None:
            return ()
        return cost.mn_dnn(self.spare_groups, bins=front_end.bins)

    def _parts(self, name: cost.Network, front_end: FrontEndSpec) -> tuple[cost.Part, ...]:
        if name == "sn_dnn":
            return cost.sn_dnn(front_end.bins)
        return cost.mn_dnn(self.groups, bins=front_end.bins)


class ExchangingNode(MaskDrivenNode):
    """A mask-driven node whose last filter uses a signal of the partner."""

    exchange: PolicySpec = Wait()
    """Whether a frame waits for the partner's, is filtered with an older one, or with none."""
    concealment: Concealment = "local_only"
    """Instead of a missing packet of the partner: silence; its last one, also faded; the one of a
    window's length before, in which every bin's own frequency has the same phase. Or instead of a
    frame: the filter of the local microphones alone, or what the covariances predict from them."""
    fade: float = Field(0.7, ge=0, le=1)
    """What `repeat_fade` multiplies a repeated packet by, once more for each further one."""
    learn_from: Literal["in_time", "late_too", "all"] = "in_time"
    """Frames that teach the covariances with the partner: those whose partner signal came in time,
    those with late packets and copies too, or all, with what was filled in."""

    @model_validator(mode="after")
    def _choices_go_together(self) -> Self:
        if self.exchange.kind == "stats_only" and self.concealment != "predict":
            raise ValueError(
                "concealment: must be predict with exchange stats_only, whose statistics reach "
                f"the filter in no other way (got {self.concealment})"
            )
        if self.concealment == "predict" and self.learn_from == "all":
            raise ValueError(
                "learn_from: must be in_time or late_too with concealment predict, which would "
                "else predict what was predicted (got all)"
            )
        return self

    def enhance(self, mics: ndarray, exchange: Exchange, masks: Masks) -> Enhanced:
        """Enhance (ear, mic, bin, frame); what the other ear knows comes through `exchange` alone.

        A codec that distributes its bits by what the filter makes of the signal learns that in a
        rehearsal with bits distributed by level.
        """
        if isinstance(exchange.codec, Allocated):
            gains = self._enhance(mics, exchange, masks).partner_gains
            # What one ear's filter makes of the signal matters to the other ear, which sends it.
            exchange = exchange.weighted({name: gain[::-1] for name, gain in gains.items()})
        return self._enhance(mics, exchange, masks)

    def _enhance(self, mics: ndarray, exchange: Exchange, masks: Masks) -> Enhanced:
        raise NotImplementedError

    def received(
        self, exchange: Exchange, channel: str, signal: ndarray, *, rounded: bool = True
    ) -> Received:
        """What each ear gets of the other's `signal` (ear, stream, bin, frame), frame by frame
        beside its own."""
        fills: dict[Concealment, Fill] = {
            "repeat": "repeat",
            "repeat_fade": "repeat",
            "repeat_phase": "repeat_phase",
        }
        result = exchange(
            channel,
            signal,
            fills.get(self.concealment, "zero"),
            fade=self.fade if self.concealment == "repeat_fade" else 1.0,
            age_frames=self.exchange.age_frames,
            late=self.learn_from == "late_too",
            rounded=rounded,
        )
        older = result.older(self.exchange.age_frames)
        if self.exchange.kind == "stats_only":  # lessons belong to the frames they were sent in
            return replace(older, lesson=result.lesson, known=result.known, noise=result.noise)
        return older

    def partner_filter(
        self, mics: ndarray, partner: Received, mask: ndarray, exchange: Exchange
    ) -> ndarray:
        """Weights (ear, frame, bin, channel) over the local microphones and the partner's
        streams."""
        hop_s = exchange.timeline.hop_ns * 1e-9
        known = self._taught(partner, exchange.renewed)
        predict = self.concealment == "predict"
        weights = self.filter_weights(
            np.concatenate([mics, partner.lesson], axis=1),
            mask,
            known < NEVER,
            hop_s,
            known=known,
            remote_noise=partner.noise,
            solve=self._with_prediction if predict else None,
            restarted=exchange.timeline.restarted,
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
        if not missing.any() or self.concealment not in ("predict", "local_only"):
            return weights
        return np.where(missing[:, :, None, None], substitute, weights)

    def partner_gain(self, weights: ndarray) -> ndarray:
        """(ear, stream, bin): what the filter makes of the partner's streams, root mean square.

        Nowhere less than a thousandth of the largest, so that it can be divided by.
        """
        gain = np.sqrt(np.mean(np.abs(weights[..., MICS:]) ** 2, axis=1)).swapaxes(1, 2)
        largest = gain.max(axis=-1, keepdims=True)
        return np.maximum(gain, np.where(largest > 0, 1e-3 * largest, 1.0))

    def partner_filter_steps(self, channels: int, front_end: FrontEndSpec) -> Program:
        """The last filter and what conceals; with `local_only` the filter of the local microphones
        is kept ready beside it."""
        steps = self.filter_steps("final", channels, front_end)
        streams = channels - MICS
        if self.concealment == "local_only":
            return self.filter_steps("fallback", MICS, front_end)[:2] + steps
        if self.concealment == "predict":
            # One system of the local microphones for all streams, and its use in the weights.
            complex_macs = MICS**3 / 3 + 2 * streams * MICS**2
            return (
                *steps[:-1],
                Compute("predict", round(4 * complex_macs * front_end.bins), renews=True),
                steps[-1],
            )
        return steps

    def partner_filter_memory(self, channels: int, front_end: FrontEndSpec) -> tuple[Item, ...]:
        """Covariances and weights of `partner_filter_steps`, and frames that wait for late
        lessons."""
        items = self.filter_memory("final", channels, front_end)
        if self.concealment == "local_only":
            items += self.filter_memory("fallback", MICS, front_end)
        waiting = self.exchange.age_frames if self.exchange.kind == "stats_only" else 0
        waiting += LATE_FRAMES if self.learn_from == "late_too" else 0
        if waiting:
            # Complex spectra of the microphones, and the mask.
            numbers = waiting * (2 * MICS + 1) * front_end.bins
            items += (Item("frames waiting for lessons", FLOAT_BYTES * numbers),)
        return items

    def _taught(self, partner: Received, renewed: ndarray) -> ndarray:
        """(ear, frame): the frame from which on the covariances have learnt this frame, or
        NEVER."""
        number = np.arange(renewed.shape[1])
        age = self.exchange.age_frames if self.exchange.kind == "stats_only" else 0
        known = partner.known
        if self.learn_from == "all":
            known = np.broadcast_to(number + age, renewed.shape)
        elif self.learn_from == "in_time":
            known = np.where(known <= number + age, known, NEVER)
        else:
            known = np.where(known - number <= age + LATE_FRAMES, known, NEVER)
        return np.where(renewed, known, NEVER)

    def _with_prediction(self, speech: ndarray, noise: ndarray) -> ndarray:
        """The weights, and beside them those of the local microphones that do the same with the
        partner's signal as predicted from them: (..., 2 channel).

        With x the partner's and y the local signals, the best linear prediction is P y with P =
        R_xy R_yy^-1, so that w_y^H y + w_x^H P y = (w_y + P^H w_x)^H y.
        """
        weights = self.solved(speech, noise)
        total = wiener_filters.loaded(speech + noise)
        to_local = np.linalg.solve(total[..., :MICS, :MICS], total[..., :MICS, MICS:])  # P^H
        local = weights[..., :MICS] + np.einsum("...lr,...r->...l", to_local, weights[..., MICS:])
        return np.concatenate([weights, local, np.zeros_like(weights[..., MICS:])], axis=-1)


def _lessons(known: ndarray, update: ndarray, every: int) -> tuple[ndarray, ndarray]:
    """The order (ear, lesson) in which frames are learnt, and for each frame the last lesson so
    far (ear, frame), -1 before the first.

    `known` is in frames, the updates come every `every` of them. Frames that are never learnt
    come last; two lessons of one moment are taken in the order of their frames.
    """
    at = np.where(update, -(-known // every), NEVER)
    order = np.argsort(at, axis=1, kind="stable")
    sorted_at = np.take_along_axis(at, order, axis=1)
    numbers = np.arange(known.shape[1])
    learnt = np.stack([np.searchsorted(row, numbers, side="right") - 1 for row in sorted_at])
    return order, learnt


def _recursive_noise(
    power: ndarray, forgetting: float, update: ndarray, start: ndarray | None
) -> ndarray:
    """(ear, frame, bin, stream): rounding noise averaged as the covariances are."""
    state = np.zeros(power.shape[:3]) if start is None else np.swapaxes(start[:, -1], -1, -2)
    result = np.empty(power.shape)
    for frame in range(power.shape[-1]):
        new = forgetting * state + (1.0 - forgetting) * power[..., frame]
        state = np.where(update[:, frame, None, None], new, state)
        result[..., frame] = state
    return np.moveaxis(result, (1, 2, 3), (3, 2, 1))


def _mean_noise(power: ndarray, update: ndarray) -> ndarray:
    """(ear, 1, bin, stream)"""
    count = np.maximum(update.sum(axis=1), 1)[:, None, None]
    mean = np.sum(power * update[:, None, None, :], axis=-1) / count
    return np.swapaxes(mean, 1, 2)[:, None]


def _move_noise(speech: ndarray, noise: ndarray, power: ndarray) -> None:
    """Move (ear, frame, bin, stream) from speech to noise in the last channels, in place.

    The covariances see the rounding noise anyway. What is wrong is only the part that the mask has
    taken for speech; no power is left negative.
    """
    for stream in range(power.shape[-1]):
        diagonal = (..., MICS + stream, MICS + stream)
        moved = np.minimum(power[..., stream], speech[diagonal].real)
        speech[diagonal] -= moved
        noise[diagonal] += moved
