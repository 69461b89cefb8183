"""Trained networks as the nodes call them: numpy spectra in, numpy masks out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from hasim.config.spec import InputError
from hasim.dsp.stft import FrontEndSpec
from hasim.networks import pretrained
from hasim.networks.front_end import FRONT_END, magnitude_scale
from hasim.networks.precision import PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.weights_file import MaskNetwork, load, read_precision, role

if TYPE_CHECKING:
    import torch


FLOATING = PrecisionSpec(weights=32, activations=32)


def networks(
    path: Path, *, groups: int, bins: int, precision: PrecisionSpec = FLOATING
) -> dict[str, MaskNetwork | QuantisedNetwork]:
    """The networks of a weights file, or of all weights files of a folder, by their role.

    Networks stored in floating point are quantised as `precision` says; those stored quantised
    must have been for just that precision.

    Roles are "sn_dnn" and "mn_dnn" (also for the compact one). What a scenario says about its
    networks must be true of them: `groups` of the multi-node network (0: not compact), and `bins`
    of the front end. InputError where it is not, and for files that are not weights.
    """
    found: dict[str, MaskNetwork | QuantisedNetwork] = {}
    for name, (file, network) in by_role(pretrained.files(path)).items():
        if network.spec.bins != bins:
            raise InputError(
                f"{file}: made for {network.spec.bins} bins, front_end has {bins} (window / 2 + 1)"
            )
        has = getattr(network.spec, "groups", 0)
        if name == "mn_dnn" and has != groups:
            raise InputError(f"{file}: has groups {has}, but algorithm.groups is {groups}")
        found[name] = _at(precision, network, file)
    return found


def by_role(files: Iterable[Path]) -> dict[str, tuple[Path, MaskNetwork | QuantisedNetwork]]:
    """File and network of every role, as stored; InputError for files that are not weights, and for
    a role twice."""
    found: dict[str, tuple[Path, MaskNetwork | QuantisedNetwork]] = {}
    for file in files:
        network = read(file)
        if (name := role(network)) in found:
            raise InputError(f"{file}: a second {name} in the same folder; keep one")
        found[name] = file, network
    return found


def read(file: Path) -> MaskNetwork | QuantisedNetwork:
    """The network of a file, as stored; InputError for one that is not weights, or is damaged."""
    with _damaged(file):
        return load(file)


def stored_precision(path: Path) -> PrecisionSpec:
    """What the networks of a file or folder were trained for: floating point, or so many bits.

    InputError for files that are not weights, and for networks of different precisions.
    """
    found: dict[Path, PrecisionSpec] = {}
    for file in pretrained.files(path):
        with _damaged(file):
            found[file] = read_precision(file)
    first = next(iter(found))
    for file, precision in found.items():
        if precision != found[first]:
            raise InputError(f"{file}: trained for another precision than {first}")
    return found[first]


@contextmanager
def _damaged(file: Path) -> Iterator[None]:
    """Whatever goes wrong with a file is the file's fault."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = str(error) if type(error) is ValueError else f"{file}: damaged ({error!r})"
        raise InputError(said) from error


def _at(
    precision: PrecisionSpec, network: MaskNetwork | QuantisedNetwork, file: Path
) -> MaskNetwork | QuantisedNetwork:
    """The network in this precision; InputError where it was trained for another."""
    if isinstance(network, QuantisedNetwork):
        for name in PrecisionSpec.model_fields:
            asked, has = getattr(precision, name), getattr(network.quantisation, name)
            if asked != has:
                raise InputError(
                    f"{file}: trained for {name} {has}, but algorithm.precision.{name} is {asked}"
                )
        return network
    if precision.floating:
        return network
    return quantised(network, QuantisationSpec(**precision.model_dump())).eval()


def estimator(
    networks: Mapping[str, MaskNetwork | QuantisedNetwork],
    front_end: FrontEndSpec = FRONT_END,
    stepped: ndarray | None = None,
    restarted: ndarray | None = None,
) -> Callable[..., ndarray]:
    """A function masks(network, *spectra) -> (ear, bin, frame), for spectra (ear, bin, frame) each.

    The first spectrum is the ear's own, the second (for the MN-DNN) what came from the other ear.
    Magnitudes of another `front_end` than the one of the training are scaled to what its window
    would have given.
    In frames that are not `stepped` (ear, frame) the network rests: its state and its mask stay,
    the mask being 0 before the first step. In frames that are `restarted` (ear, frame) it begins
    anew. Ears do not see one another. Static ranges that a quantised network does not have yet are
    those of its first call. InputError for a network not given.
    """
    import torch

    scale = magnitude_scale(front_end)

    def masks(network: str, *spectra: ndarray) -> ndarray:
        if network not in networks:
            raise InputError(
                f"no trained network {network}; there are {', '.join(networks) or 'none'}"
            )
        magnitude = scale * np.abs(np.stack(spectra, axis=1))  # (ear, channel, bin, frame)
        features = torch.from_numpy(np.swapaxes(magnitude, -1, -2).astype(np.float32))
        chosen = networks[network]
        if isinstance(chosen, QuantisedNetwork) and not chosen.ready:
            chosen.observe(features)
        with torch.inference_mode():
            if stepped is None or (stepped.all() and (restarted is None or not restarted.any())):
                found = chosen(features).numpy()  # (ear, frame, bin)
            else:
                found = np.stack(
                    [
                        _resting(chosen, features[ear], stepped[ear], _starts(ear))
                        for ear in range(len(features))
                    ]
                )
        return np.swapaxes(found, -1, -2).astype(float)

    def _starts(ear: int) -> list[int]:
        """Frames in which the ear's network begins anew."""
        if restarted is None or not restarted.any():
            return [0]
        return sorted({0, *np.flatnonzero(restarted[ear]).tolist()})

    return masks


def _resting(
    network: MaskNetwork | QuantisedNetwork,
    features: torch.Tensor,
    stepped: ndarray,
    starts: list[int],
) -> ndarray:
    """(frame, bin) of one ear, from features (channel, frame, bin)."""
    result = np.zeros((len(stepped), features.shape[-1]), dtype=np.float32)
    for start, end in zip(starts, [*starts[1:], len(stepped)], strict=True):
        there = np.zeros(len(stepped), dtype=bool)
        there[start:end] = stepped[start:end]
        steps = np.cumsum(there)[start:end]  # how many the network has made
        if steps.size and steps[-1]:
            found = network(features[:, there.nonzero()[0]][None])[0].numpy()
            result[start:end][steps > 0] = found[steps[steps > 0] - 1]
    return result
