"""The contract of a mask network: sound ones pass, and each fault is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from numpy import ndarray

from hasim.networks.contract import NetworkCost, check, mask_problem


@dataclass
class Sound:
    """A one-pole average of magnitudes, compared with the present one."""

    cost: ClassVar = NetworkCost(macs=514, weight_bytes=4, state_bytes=4 * 257)

    def __call__(self, spectra: ndarray) -> ndarray:
        level = np.abs(spectra).mean(axis=1)
        average, masks = np.zeros(level.shape[:2]), np.empty(level.shape)
        for frame in range(level.shape[-1]):
            average = 0.9 * average + 0.1 * level[..., frame]
            masks[..., frame] = level[..., frame] / (level[..., frame] + average + 1e-9)
        return masks


class NoCost:
    __call__ = Sound.__call__


class Shape(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        return super().__call__(spectra).swapaxes(1, 2)


class Range(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        return 3 * super().__call__(spectra)


class Complex(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        return super().__call__(spectra).astype(complex)


class Silence(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        level = np.abs(spectra[:, 0])
        with np.errstate(invalid="ignore"):
            return level / (level + np.abs(spectra).sum(axis=1))


class WritesInput(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        masks = super().__call__(spectra)
        spectra *= 0.5
        return masks


class KeepsState(Sound):
    """The average of the call before."""

    def __init__(self) -> None:
        self.before = 0.0

    def __call__(self, spectra: ndarray) -> ndarray:
        masks = super().__call__(spectra) / (1 + self.before)
        self.before = float(masks.mean())
        return masks


class LooksAhead(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        return super().__call__(np.roll(spectra, -1, axis=-1))


class WholeUtterance(Sound):
    """The number of frames matters, the future's content does not."""

    def __call__(self, spectra: ndarray) -> ndarray:
        return super().__call__(spectra) / spectra.shape[-1]


class SeesBothEars(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        return super().__call__(spectra + spectra.mean(axis=0, keepdims=True))


class Raises(Sound):
    def __call__(self, spectra: ndarray) -> ndarray:
        raise RuntimeError("weights not found")


@pytest.mark.parametrize("role", ["sn_dnn", "mn_dnn"])
def test_a_sound_network_has_no_problems(role):
    assert check(Sound(), role) == []


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (NoCost(), "cost: must be a NetworkCost"),
        (Sound, "not a class"),
        (Shape(), r"must have the shape .* \(got \(2, 80, 257\)\)"),
        (Range(), "between 0 and 1"),
        (Complex(), "must be an array of floats \\(got complex128\\)"),
        (Silence(), "silence.*finite"),
        (WritesInput(), "left as they are"),
        (KeepsState(), "determinism"),
        (LooksAhead(), "later frames"),
        (WholeUtterance(), "how many frames"),
        (SeesBothEars(), "ears"),
        (Raises(), "raises RuntimeError\\('weights not found'\\)"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_each_fault_is_named(network, said):
    problems = check(network)
    assert len(problems) == 1, problems
    assert re.search(said, problems[0]), problems


def test_trained_networks_keep_the_contract():
    """What hasim's own do is what is asked of others."""
    from hasim.networks.mask_estimator import estimator, read
    from hasim.networks.pretrained import FOLDER

    for file, role in (("local/sn_dnn", "sn_dnn"), ("mn_tango_g8/mn_dnn", "mn_dnn")):
        masks = estimator({role: read(FOLDER / f"{file}.safetensors")})

        class Trained(Sound):
            def __call__(self, spectra, role=role, masks=masks):
                return masks(role, *spectra.swapaxes(0, 1))

        assert check(Trained(), role) == []


def test_costs_are_not_negative():
    with pytest.raises(ValueError, match=r"state_bytes: must be at least 0 \(got -1\)"):
        NetworkCost(macs=1, weight_bytes=1, state_bytes=-1)


def test_masks_may_be_off_by_rounding():
    mask = np.full((2, 3, 4), 1 + 1e-7)
    assert mask_problem(mask, (2, 3, 4)) is None
    assert "got 0 to 1.1" in str(mask_problem(mask + 0.1, (2, 3, 4)))
