"""Loss models: limits, monotony, stationary start; their statistics are closed-form cases."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from numpy import ndarray
from pydantic import TypeAdapter, ValidationError

from hasim.losses import Bernoulli, Gilbert, LossList, LossSpec, NoLoss
from hasim.losses.gilbert import bad_share, gilbert_elliott, mean_loss, transitions


def pattern(spec: LossSpec, attempts: int, seed: int = 1) -> ndarray:
    lost = spec.process(np.random.default_rng(seed), "left_to_right")
    return np.array([lost(frame, 0, 1) for frame in range(attempts)])


def test_no_loss_loses_nothing() -> None:
    assert not pattern(NoLoss(), 1000).any()


@pytest.mark.parametrize("spec", [Bernoulli(probability=0), Gilbert(mean_loss=0)])
def test_zero_loss_loses_nothing(spec: LossSpec) -> None:
    assert not pattern(spec, 1000).any()


@pytest.mark.parametrize(
    "spec", [Bernoulli(probability=1), Gilbert(mean_loss=1), Gilbert(mean_loss=1, mean_burst=7)]
)
def test_full_loss_loses_everything(spec: LossSpec) -> None:
    assert pattern(spec, 1000).all()


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (Bernoulli(probability=0.05), Bernoulli(probability=0.2)),
        (Gilbert(mean_loss=0.05, mean_burst=3), Gilbert(mean_loss=0.2, mean_burst=3)),
        (Gilbert(mean_loss=0.2, mean_burst=3), Gilbert(mean_loss=1)),
    ],
)
def test_more_loss_only_adds_lost_attempts(less: LossSpec, more: LossSpec) -> None:
    """One seed, two probabilities: what the better channel loses, the worse one loses too."""
    assert np.all(pattern(less, 20_000) <= pattern(more, 20_000))


def test_alternation_is_the_shortest_burst_at_half_loss() -> None:
    """Mean loss 1/2 with bursts of 1 leaves no freedom: p = r = 1, every other attempt is lost."""
    lost = pattern(Gilbert(mean_loss=0.5, mean_burst=1), 100)
    assert np.all(lost[1:] != lost[:-1])


def test_impossible_bursts_say_what_would_be_right() -> None:
    with pytest.raises(ValidationError, match=r"mean_burst must be at least .* = 9 .*\(got 2\)"):
        Gilbert(mean_loss=0.9, mean_burst=2)
    assert Gilbert(mean_loss=0.9, mean_burst=9)


def test_still_channel_has_no_stationary_state() -> None:
    with pytest.raises(ValueError, match="p and r must not both be 0"):
        bad_share(0, 0)


def test_general_channel_with_equal_states_is_independent_loss() -> None:
    """k = h: the state does not matter, neighbours are uncorrelated (3 sigma of 40 000 values)."""
    channel = gilbert_elliott(0.02, 0.25, k=0.7, h=0.7, rng=np.random.default_rng(3))
    lost = np.fromiter(islice(channel, 40_000), dtype=float)
    assert abs(lost.mean() - mean_loss(0.02, 0.25, 0.7, 0.7)) < 3 * np.sqrt(0.21 / 40_000)
    assert abs(np.corrcoef(lost[1:], lost[:-1])[0, 1]) < 3 / np.sqrt(40_000)


def test_stationary_from_the_first_attempt() -> None:
    """The first attempt of many runs is lost as often as any (3 sigma of 4000 runs)."""
    p, r = transitions(0.3, 4)
    first = [
        next(gilbert_elliott(p, r, k=1, h=0, rng=np.random.default_rng(seed)))
        for seed in range(4000)
    ]
    assert abs(np.mean(first) - 0.3) < 3 * np.sqrt(0.21 / 4000)


def test_list_loses_the_named_frames_of_each_direction_at_every_attempt() -> None:
    spec = LossList(left_to_right=(10, 11, 50), right_to_left=(3,))
    left = spec.process(np.random.default_rng(), "left_to_right")
    right = spec.process(np.random.default_rng(), "right_to_left")
    for _ in range(3):
        assert [frame for frame in range(100) if left(frame, 0, 1)] == [10, 11, 50]
        assert [frame for frame in range(100) if right(frame, 0, 1)] == [3]


def test_kind_defaults_to_gilbert() -> None:
    assert TypeAdapter(LossSpec).validate_python({"mean_loss": 0.05}) == Gilbert(mean_loss=0.05)
