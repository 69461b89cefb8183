"""Spatial covariances of speech and noise from masks.

Shape (ear, frame, bin, channel, channel).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.config.spec import Spec, by_kind


class Recursive(Spec):
    """Exponential averaging, causal, with a time constant."""

    kind: Literal["recursive"] = "recursive"
    tau_s: float = Field(0.8, gt=0, le=60)
    """Time constant; the factor per update is exp(-interval / tau)."""
    every: int = Field(1, ge=1, le=64)
    """Frames from one update of covariances and filters to the next."""
    mask_power: Literal[1, 2] = 2
    """Weight of a frame: mask or mask squared."""


class Utterance(Spec):
    """One average over the whole utterance, as in the paper: not causal, for reference."""

    kind: Literal["utterance"] = "utterance"
    mask_power: Literal[1, 2] = 2
    """Weight of a frame: mask or mask squared."""


CovarianceSpec = Annotated[Recursive | Utterance, by_kind("recursive")]


def recursive(
    channels: ndarray,
    mask: ndarray,
    forgetting: float,
    update: ndarray,
    mask_power: int,
    start: tuple[ndarray, ndarray] | None = None,
) -> tuple[ndarray, ndarray]:
    """Speech and noise covariances after each frame, each (ear, frame, bin, channel, channel).

    R <- forgetting R + (1 - forgetting) w y y^H, with w = mask^p for speech and (1 - mask)^p for
    noise, in frames where `update` (ear, frame) is true; elsewhere R stays as it is. `start` is R
    before the first frame, each (ear, bin, channel, channel); zero by default.

    channels (ear, channel, bin, frame), mask (ear, bin, frame).
    """
    # (kind, channel, channel, ear, frame, bin)
    weighted = _weighted_outer(channels, mask, mask_power)
    if start is None:
        state = np.zeros((*weighted.shape[:4], weighted.shape[5]), dtype=complex)
    else:
        state = np.stack([np.moveaxis(matrix, (2, 3), (0, 1)) for matrix in start])
    # (ear, frame)
    keep = np.where(update, forgetting, 1.0)
    weighted *= np.where(update, 1.0 - forgetting, 0.0)[:, :, None]
    for frame in range(channels.shape[-1]):
        state = keep[:, frame, None] * state + weighted[..., frame, :]
        # The outer product is no longer needed: the result takes its place.
        weighted[..., frame, :] = state
    speech, noise = (np.moveaxis(matrix, (0, 1), (3, 4)) for matrix in weighted)
    return speech, noise


def utterance(
    channels: ndarray, mask: ndarray, update: ndarray, mask_power: int
) -> tuple[ndarray, ndarray]:
    """Speech and noise covariances averaged over the frames where `update` (ear, frame) is true.

    Each (ear, 1, bin, channel, channel), divided by the number of frames, not by the sum of the
    masks, so that the trade-off parameter mu keeps its meaning.
    """
    weighted = _weighted_outer(channels, mask, mask_power)
    count = np.maximum(update.sum(axis=1), 1)[:, None, None]
    average = (weighted * update[:, :, None]).sum(axis=4, keepdims=True) / count
    speech, noise = (np.moveaxis(matrix, (0, 1), (3, 4)) for matrix in average)
    return speech, noise


def covariance_macs(channels: int, bins: int) -> int:
    """MACs of one recursive update of both covariances.

    Per bin: the Hermitian product y y^H has `channels` real and channels (channels - 1) / 2
    complex entries, 2 and 4 MACs each: 2 channels^2. Its channels^2 real numbers enter two
    matrices by one scaling and one weighted addition each: 4 channels^2.
    """
    return 6 * channels**2 * bins


def _weighted_outer(channels: ndarray, mask: ndarray, mask_power: int) -> ndarray:
    """(kind, channel, channel, ear, frame, bin): w y y^H of every frame; kind 0 speech, 1 noise.

    Channels come first in memory so that the filters work on long contiguous rows.
    """
    y = np.ascontiguousarray(np.moveaxis(channels, (0, 1, 2, 3), (1, 0, 3, 2)))
    m = np.swapaxes(mask, -1, -2)
    outer = y[:, None] * y[None].conj()
    return np.stack([outer * m**mask_power, outer * (1.0 - m) ** mask_power])


def recursive_noise(
    power: ndarray, forgetting: float, update: ndarray, start: ndarray | None
) -> ndarray:
    """(ear, frame, bin, stream): the rounding noise `power` (ear, stream, bin, frame), averaged
    like the covariances.

    `start` is the result before the first frame, (ear, frame, bin, stream).
    """
    state = np.zeros(power.shape[:3]) if start is None else np.swapaxes(start[:, -1], -1, -2)
    result = np.empty(power.shape)
    for frame in range(power.shape[-1]):
        new = forgetting * state + (1.0 - forgetting) * power[..., frame]
        state = np.where(update[:, frame, None, None], new, state)
        result[..., frame] = state
    return np.moveaxis(result, (1, 2, 3), (3, 2, 1))


def mean_noise(power: ndarray, update: ndarray) -> ndarray:
    """(ear, 1, bin, stream): rounding noise averaged over the frames where `update` is true."""
    count = np.maximum(update.sum(axis=1), 1)[:, None, None]
    mean = np.sum(power * update[:, None, None, :], axis=-1) / count
    return np.swapaxes(mean, 1, 2)[:, None]


def move_noise(speech: ndarray, noise: ndarray, power: ndarray) -> None:
    """Move `power` (ear, frame, bin, stream) from speech to noise in the last channels, in place.

    The rounding noise is already in the covariances; only the part that the mask counts as speech
    is moved. No power becomes negative.
    """
    local = speech.shape[-1] - power.shape[-1]
    for stream in range(power.shape[-1]):
        diagonal = (..., local + stream, local + stream)
        moved = np.minimum(power[..., stream], speech[diagonal].real)
        speech[diagonal] -= moved
        noise[diagonal] += moved
