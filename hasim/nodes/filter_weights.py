"""From masked channels to the weights of a spatial filter, frame by frame, with late updates.

Covariances are (ear, frame, bin, channel, channel), weights (ear, frame, bin, channel).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from hasim.dsp import covariance
from hasim.dsp.covariance import (
    Recursive,
    Utterance,
    mean_noise,
    move_noise,
    recursive_noise,
)
from hasim.nodes.arrivals import NEVER, update_order

# Covariances of this many frames stay in the processor's cache.
BLOCK_FRAMES = 64

Solve = Callable[[ndarray, ndarray], ndarray]
"""solve(speech, noise) -> weights (..., channel) of covariances (..., channel, channel)."""


@dataclass(frozen=True)
class Updates:
    """What the covariances are updated with."""

    channels: ndarray
    """(ear, channel, bin, frame)"""
    mask: ndarray
    """(ear, bin, frame)"""
    used: ndarray
    """(ear, frame), bool: frames that the covariances are updated with."""
    available_from: ndarray | None = None
    """(ear, frame): the frame at which the update can be made; None: at once."""
    rounding_noise: ndarray | None = None
    """(ear, stream, bin, frame): power of the rounding noise in the last channels, which counts as
    noise also where the mask says speech."""

    def every(self, frames: int) -> Updates:
        """The updates of frames 0, `frames`, 2 `frames`, ..."""
        noise = self.rounding_noise
        at = self.available_from
        return Updates(
            self.channels[..., ::frames],
            self.mask[..., ::frames],
            self.used[..., ::frames],
            None if at is None else at[..., ::frames],
            None if noise is None else noise[..., ::frames],
        )

    def reordered(self, order: ndarray) -> Updates:
        """The frames in the order (ear, update), each update made at once."""
        noise = self.rounding_noise
        by_channel = order[:, None, None, :]
        return Updates(
            np.take_along_axis(self.channels, by_channel, axis=-1),
            np.take_along_axis(self.mask, order[:, None, :], axis=-1),
            np.take_along_axis(self.used, order, axis=-1),
            None,
            None if noise is None else np.take_along_axis(noise, by_channel, axis=-1),
        )

    def only(self, frames: ndarray) -> Updates:
        """Updates with those of the `frames` (ear, frame), bool, alone."""
        return Updates(
            self.channels, self.mask, self.used & frames, self.available_from, self.rounding_noise
        )


def filter_weights(
    updates: Updates,
    spec: Recursive | Utterance,
    hop_s: float,
    solve: Solve,
    restarted: ndarray | None = None,
) -> ndarray:
    """Weights (ear, frame, bin, channel), one frame of them for whole-utterance covariances.

    A frame without an update has the weights of the frame before. Where `restarted` (ear, frame)
    is set, the recursive covariances start again from zero.
    """
    if not isinstance(spec, Recursive):
        return _utterance_weights(updates, spec, solve)
    if restarted is None or not restarted.any():
        return _recursive_weights(updates, spec, hop_s, solve)
    after = np.cumsum(restarted, axis=1) > 0
    before_restart = _recursive_weights(updates.only(~after), spec, hop_s, solve)
    after_restart = _recursive_weights(updates.only(after), spec, hop_s, solve)
    return np.where(after[:, :, None, None], after_restart, before_restart)


def _utterance_weights(updates: Updates, spec: Utterance, solve: Solve) -> ndarray:
    """(ear, 1, bin, channel), from covariances of all frames together."""
    speech, noise = covariance.utterance(
        updates.channels, updates.mask, updates.used, spec.mask_power
    )
    if updates.rounding_noise is not None:
        power = updates.rounding_noise * updates.mask[:, None] ** spec.mask_power
        move_noise(speech, noise, mean_noise(power, updates.used))
    return solve(speech, noise)


def _recursive_weights(updates: Updates, spec: Recursive, hop_s: float, solve: Solve) -> ndarray:
    """(ear, frame, bin, channel), each update made as soon as its frame is available."""
    frames = updates.channels.shape[-1]
    available_from = updates.available_from
    late = available_from is not None and np.any(
        (available_from != np.arange(frames)) & (available_from < NEVER)
    )
    updates = updates.every(spec.every)
    if not late:
        weights = _weights_of_updates(updates, spec, hop_s, solve)
    else:
        assert updates.available_from is not None
        order, last = update_order(updates.available_from, updates.used, spec.every)
        by_update = _weights_of_updates(updates.reordered(order), spec, hop_s, solve)
        last = last[:, :, None, None]
        weights = np.take_along_axis(by_update, np.maximum(last, 0), axis=1)
        weights = np.where(last >= 0, weights, 0.0)
    return weights.repeat(spec.every, axis=1)[:, :frames]


def _weights_of_updates(updates: Updates, spec: Recursive, hop_s: float, solve: Solve) -> ndarray:
    """(ear, update, bin, channel): the weights after each update, block by block."""
    forgetting = float(np.exp(-spec.every * hop_s / spec.tau_s))
    weights, state, coded = [], None, None
    for first in range(0, updates.channels.shape[-1], BLOCK_FRAMES):
        block = slice(first, first + BLOCK_FRAMES)
        mask, used = updates.mask[..., block], updates.used[:, block]
        speech, noise = covariance.recursive(
            updates.channels[..., block], mask, forgetting, used, spec.mask_power, state
        )
        state = (speech[:, -1].copy(), noise[:, -1].copy())
        if updates.rounding_noise is not None:
            power = updates.rounding_noise[..., block] * mask[:, None] ** spec.mask_power
            coded = recursive_noise(power, forgetting, used, coded)
            move_noise(speech, noise, coded)
        weights.append(solve(speech, noise))
    return np.concatenate(weights, axis=1)
