"""What a mask network is: a callable with a cost. `check` tests a network of one's own.

Spectra are complex, (ear, channel, bin, frame), masks real, (ear, bin, frame), in [0, 1]. Channel 0
is the ear's own signal; channel 1, for a multi-node network, what it received from the other ear.
No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy import ndarray

from hasim.dsp.stft import FrontEndSpec
from hasim.simulation.program import Layer, Precision

Role = Literal["sn_dnn", "mn_dnn"]
"""What a network is in an algorithm: the single-node network sees one channel, the multi-node
network two."""

CHANNELS: dict[Role, int] = {"sn_dnn": 1, "mn_dnn": 2}

CHECKED_FRAMES = 80
SAME_PAST = 50
TOLERANCE = 1e-5
"""Single precision adds in another order when there are other frames beside."""


@dataclass(frozen=True)
class NetworkCost:
    """What one network asks of one ear's device; ValueError for negative numbers."""

    macs: int
    """Multiply-accumulates per frame."""
    weight_bytes: int
    """Kept for good, in the device's non-volatile memory where it has some."""
    state_bytes: int = 0
    """Carried from frame to frame, in RAM."""
    precision: Precision = "fp32"
    """Decides how many MACs a device does per cycle, and how long it reads weights."""
    layer: Layer = "dense"
    """Some accelerators do convolutions faster than dense and recurrent layers."""

    def __post_init__(self) -> None:
        for name in ("macs", "weight_bytes", "state_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must be at least 0 (got {getattr(self, name)})")


class MaskNetwork(Protocol):
    """A mask network of one's own.

    A call is one run from the start: nothing is remembered from call to call. A mask of a frame may
    depend on that frame and on earlier ones, and on one ear's channels alone. There may be one ear
    or two, and any number of frames: those that a device skips are left out.
    """

    @property
    def cost(self) -> NetworkCost:
        """What it costs per frame and ear."""

    def __call__(self, spectra: ndarray) -> ndarray:
        """Masks (ear, bin, frame) in [0, 1] of complex spectra (ear, channel, bin, frame)."""


class MaskEstimator(Protocol):
    """Where a node gets its masks from: trained networks, networks of one's own, or an oracle."""

    def __call__(self, network: Role, *spectra: ndarray) -> ndarray:
        """Masks (ear, bin, frame) of the network with this role.

        `spectra` are complex, (ear, bin, frame) each: the ear's own, and for "mn_dnn" what came
        from the other ear.
        """


def check(
    network: MaskNetwork, role: Role = "mn_dnn", front_end: FrontEndSpec | None = None
) -> list[str]:
    """What keeps `network` from being a mask network of this role, one sentence each; [] if sound.

    It is run on noise with the default front end or another: shapes, range, silence, determinism,
    causality, ears apart, and the cost.
    """
    problems = []
    if not isinstance(getattr(network, "cost", None), NetworkCost):
        problems.append("cost: must be a NetworkCost (macs per frame, weight_bytes, state_bytes)")
    if isinstance(network, type) or not callable(network):
        return [*problems, f"must be callable with spectra (got {network!r}), not a class"]
    bins = (front_end or FrontEndSpec()).bins
    spectra = _noise(bins, CHANNELS[role])
    try:
        masks, wrong = _run(network, spectra)
        if wrong:
            return problems + wrong
        problems += _run(network, np.zeros_like(spectra))[1]
        problems += _differences(network, spectra, masks)
    except Exception as error:
        shape = "(ear, channel, bin, frame)"
        return [*problems, f"raises {error!r} on spectra of the shape {spectra.shape} {shape}"]
    return problems


def mask_problem(mask: object, shape: tuple[int, int, int]) -> str | None:
    """What is wrong with masks that should have this shape (ear, bin, frame), or None."""
    if not isinstance(mask, ndarray) or mask.dtype.kind != "f":
        got = mask.dtype if isinstance(mask, ndarray) else type(mask).__name__
        return f"mask: must be an array of floats (got {got})"
    if mask.shape != shape:
        return f"mask: must have the shape (ear, bin, frame) = {shape} (got {mask.shape})"
    if not np.isfinite(mask).all():
        return "mask: must be finite (has NaN or infinity)"
    lowest, highest = float(mask.min(initial=0)), float(mask.max(initial=0))
    if lowest < -TOLERANCE or highest > 1 + TOLERANCE:
        return f"mask: must be between 0 and 1 (got {lowest:.3g} to {highest:.3g})"
    return None


def _run(network: MaskNetwork, spectra: ndarray) -> tuple[ndarray, list[str]]:
    """Masks, and what is wrong with them or with how they were made."""
    given = spectra.copy()
    masks = network(given)
    ears, _, bins, frames = spectra.shape
    problem = mask_problem(masks, (ears, bins, frames))
    problems = [problem] if problem else []
    if problem and not spectra.any():
        problems = [f"with silence (all zeros): {problem}"]
    if not np.array_equal(given, spectra):
        problems.append("spectra: must be left as they are (the network has written into them)")
    return masks, problems


def _differences(network: MaskNetwork, spectra: ndarray, masks: ndarray) -> list[str]:
    """What depends on something that it must not depend on."""

    def same(one: ndarray, other: ndarray) -> bool:
        return bool(np.allclose(one, other, rtol=0, atol=TOLERANCE))

    # Another call in between, which must leave nothing behind.
    network(10 * spectra)
    if not np.array_equal(network(spectra.copy()), masks):
        return ["determinism: the same spectra must give the same masks in every call"]
    problems = []
    other_future = spectra.copy()
    other_future[..., SAME_PAST:] *= 10
    past = masks[..., :SAME_PAST]
    if not same(network(other_future)[..., :SAME_PAST], past):
        problems.append("causality: a mask must not depend on later frames")
    elif not same(network(spectra[..., :SAME_PAST].copy()), past):
        problems.append("causality: a mask must not depend on how many frames follow")
    alone = network(spectra[:1].copy())
    if alone.shape != masks[:1].shape or not same(alone, masks[:1]):
        problems.append("ears: each must get the mask that it gets alone (one ear in the batch)")
    return problems


def _noise(bins: int, channels: int) -> ndarray:
    """Complex noise (ear 2, channel, bin, frame) that rises and falls as speech does."""
    rng = np.random.default_rng(0)
    shape = (2, channels, bins, CHECKED_FRAMES)
    loudness = 0.1 * (1 + np.sin(np.arange(CHECKED_FRAMES) / 3)) + 1e-3
    return loudness * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
