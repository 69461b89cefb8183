"""Oracle masks on hand-made bins."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.dsp.oracle_masks import oracle_mask

SPEECH = np.array([3.0 + 0j, 0.0, 1.0j, 2.0, 0.0])
NOISE = np.array([1.0 + 0j, 2.0, 1.0j, -1.0, 0.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("irm1", [0.75, 0, 0.5, 2 / 3, 0]),
        ("irm2", [0.9, 0, 0.5, 0.8, 0]),
        ("ibm", [1, 0, 0, 1, 0]),
        ("iam1", [0.75, 0, 0.5, 1, 0]),
        ("iam2", [0.5625, 0, 0.25, 1, 0]),
        ("psm", [0.75, 0, 0.5, 1, 0]),
    ],
)
def test_hand_computed(kind, expected):
    np.testing.assert_allclose(oracle_mask(kind, SPEECH, NOISE), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["irm1", "irm2", "ibm", "iam1", "iam2", "psm"])
def test_between_zero_and_one(kind, rng):
    speech, noise = rng.standard_normal((2, 50, 7)) + 1j * rng.standard_normal((2, 50, 7))
    mask = oracle_mask(kind, speech, noise)
    assert mask.min() >= 0
    assert mask.max() <= 1


@pytest.mark.parametrize("power", [1, 2])
def test_speech_and_noise_masks_of_a_ratio_mask_sum_to_one(power, rng):
    speech, noise = rng.standard_normal((2, 50, 7))
    kind = f"irm{power}"
    np.testing.assert_allclose(
        oracle_mask(kind, speech, noise) + oracle_mask(kind, noise, speech), 1
    )
