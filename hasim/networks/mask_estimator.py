"""Trained networks as nodes call them: numpy spectra in, numpy masks out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from hasim.config.spec import InputError
from hasim.dsp.stft import FrontEndSpec
from hasim.networks import pretrained
from hasim.networks.contract import MaskEstimator, Role
from hasim.networks.front_end import FRONT_END, magnitude_scale
from hasim.networks.precision import FLOATING, PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.steps import masks_in_steps
from hasim.networks.weights_file import StoredNetwork, load, read_precision, role

if TYPE_CHECKING:
    import torch


def networks(
    path: Path, *, groups: int, bins: int, precision: PrecisionSpec = FLOATING
) -> dict[Role, StoredNetwork]:
    """Networks of a weights file, or of all weights files of a folder, by role.

    Networks stored in floating point are quantised as `precision` says; those stored quantised must
    have been trained for exactly that precision. `groups` (0: not compact) must be that of the
    multi-node network and `bins` that of all; InputError where they are not, and for files that are
    not weights.
    """
    found: dict[Role, StoredNetwork] = {}
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


def by_role(files: Iterable[Path]) -> dict[Role, tuple[Path, StoredNetwork]]:
    """File and network of each role, as stored; InputError for files that are not weights, and for
    two networks of one role."""
    found: dict[Role, tuple[Path, StoredNetwork]] = {}
    for file in files:
        network = read(file)
        if (name := role(network)) in found:
            raise InputError(f"{file}: a second {name} in the same folder; keep one")
        found[name] = file, network
    return found


def read(file: Path) -> StoredNetwork:
    """The network of a file, as stored; InputError for a file that is damaged or not weights."""
    with _damaged(file):
        return load(file)


def stored_precision(path: Path) -> PrecisionSpec:
    """Precision that the networks of a file or folder were trained for.

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
    """Turns every error of reading a file into an InputError that names it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = str(error) if type(error) is ValueError else f"{file}: damaged ({error!r})"
        raise InputError(message) from error


def _at(precision: PrecisionSpec, network: StoredNetwork, file: Path) -> StoredNetwork:
    """The network at this precision; InputError where it was trained for another one."""
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
    networks: Mapping[Role, StoredNetwork],
    front_end: FrontEndSpec = FRONT_END,
    stepped: ndarray | None = None,
    restarted: ndarray | None = None,
) -> MaskEstimator:
    """Masks of trained networks.

    Magnitudes of another window than that of the training are scaled to its energy. `stepped` and
    `restarted` (ear, frame) are as in `masks_in_steps`. Static ranges that a quantised network
    lacks are found on its first call. InputError, from the estimator, for a network not given.
    """
    import torch

    scale = magnitude_scale(front_end)

    def features(channels: ndarray) -> torch.Tensor:
        """(ear, channel, frame, bin) from complex (ear, channel, bin, frame)."""
        magnitude = scale * np.abs(channels)
        return torch.from_numpy(np.swapaxes(magnitude, -1, -2).astype(np.float32))

    def masks(network: Role, *spectra: ndarray) -> ndarray:
        if network not in networks:
            raise InputError(
                f"no trained network {network}; there are {', '.join(networks) or 'none'}"
            )
        chosen = networks[network]
        channels = np.stack(spectra, axis=1)
        if isinstance(chosen, QuantisedNetwork) and not chosen.ready:
            chosen.observe(features(channels))

        def run(some: ndarray) -> ndarray:
            with torch.inference_mode():
                found: ndarray = chosen(features(some)).numpy()
            return np.swapaxes(found, -1, -2).astype(float)

        return masks_in_steps(run, channels, stepped, restarted)

    return masks
