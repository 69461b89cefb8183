"""The signal flow of each algorithm through networks and filters, for both ears, differentiable.

Each is that of the node of the same name with an ideal link and covariances over the whole segment.
Both inverted variants exchange the first filter's output; without that, B-star's first stage would
not reach its output. Microphones are complex, (batch, ear, mic, bin, frame), mic 0 the reference;
the result is the last filter's output (batch, ear, bin, frame) and the masks of every network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hasim.networks import variants
from hasim.networks.training.filters import TrainingFilter, enhance
from hasim.networks.training.mixing import magnitude

Algorithm = Literal["mn_tango", "tango", "inverted_dagger", "inverted_star", "local"]

NETWORKS: dict[Algorithm, tuple[str, ...]] = {
    algorithm: variants.NETWORKS[algorithm] for algorithm in get_args(Algorithm)
}
"""Networks of an algorithm in the order of the signal's path; all are trained together."""


@dataclass(frozen=True)
class Flow:
    """The result of a dataflow."""

    # network -> (batch, ear, bin, frame), in order
    masks: dict[str, Tensor]
    # (batch, ear, channel, bin, frame): what the last filter filters
    channels: Tensor
    # (batch, ear, bin, frame); None without the last filter
    output: Tensor | None


def run(
    algorithm: Algorithm,
    networks: Mapping[str, nn.Module],
    mics: Tensor,
    mu: float = 1.0,
    mask_power: int = 2,
    filter_name: TrainingFilter = "sdw_mwf",
    last_filter: bool = True,
) -> Flow:
    """Run `algorithm` on microphones, differentiable in the weights of its networks.

    Without `last_filter` it ends at the last mask, which is enough for a mask loss.
    """
    reference = mics[:, :, 0]
    if algorithm == "local":
        found = {"sn_dnn": masks(networks["sn_dnn"], reference)}
        channels = mics
    elif algorithm == "tango":
        mask_1 = masks(networks["sn_dnn"], reference)
        z = enhance(mics, mask_1, mu, mask_power, filter_name)
        mask_2 = masks(networks["mn_dnn"], reference, other_ear(z))
        found = {"sn_dnn": mask_1, "mn_dnn": mask_2}
        channels = _append(mics, other_ear(z))
    else:
        mask_1 = masks(networks["mn_dnn"], reference, other_ear(reference))
        found = {"mn_dnn": mask_1}
        channels = _append(mics, other_ear(reference))
        if algorithm != "mn_tango":
            z = enhance(channels, mask_1, mu, mask_power, filter_name)
            mask_2 = masks(networks["sn_dnn"], z if algorithm == "inverted_dagger" else reference)
            found["sn_dnn"] = mask_2
            channels = _append(mics, other_ear(z))
    if not last_filter:
        return Flow(found, channels, None)
    last_mask = list(found.values())[-1]
    return Flow(found, channels, enhance(channels, last_mask, mu, mask_power, filter_name))


def masks(network: nn.Module, *spectra: Tensor) -> Tensor:
    """Masks (batch, ear, bin, frame) of a network, from one spectrum of that shape per channel."""
    found = network(features(*spectra))
    # Back from reduced precision, where the network runs in it.
    return found.to(spectra[0].real.dtype).transpose(-1, -2).unflatten(0, (-1, 2))


def features(*spectra: Tensor) -> Tensor:
    """Magnitudes as networks take them, (batch, channel, frame, bin), both ears in one batch."""
    both = torch.stack([magnitude(s) for s in spectra], dim=2)
    return both.flatten(0, 1).transpose(-1, -2)


def other_ear(signal: Tensor) -> Tensor:
    """The signal that each ear (axis 1) gets from the other."""
    return signal.flip(1)


def _append(mics: Tensor, remote: Tensor) -> Tensor:
    return torch.cat([mics, remote[:, :, None]], dim=2)
