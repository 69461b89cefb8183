"""Running normalisation against its definition, frame by frame in a loop."""

import math

import pytest
import torch

from hasim.networks.level_norm import BLOCK_FRAMES, EPSILON, LevelNorm


def features(frames: int) -> torch.Tensor:
    torch.manual_seed(1)
    level = torch.rand(2, frames, 1, dtype=torch.float64) + 0.1
    return level * torch.rand(2, frames, 9, dtype=torch.float64)


def test_averages_are_those_of_the_definition() -> None:
    x, memory = features(2 * BLOCK_FRAMES + 7), 20.0
    y, _ = LevelNorm(9, memory).double()(x)
    for n in (0, 1, BLOCK_FRAMES - 1, BLOCK_FRAMES, x.shape[1] - 1):
        weights = torch.tensor(
            [math.exp(-(n - m) / memory) for m in range(n + 1)], dtype=torch.float64
        )
        weights /= weights.sum()
        mean = (weights[:, None] * x[:, : n + 1]).sum(1).mean(-1, keepdim=True)
        square = (weights[:, None] * x[:, : n + 1] ** 2).sum(1).mean(-1, keepdim=True)
        expected = (x[:, n] - mean) / (square - mean**2 + EPSILON).sqrt()
        # order of additions
        torch.testing.assert_close(y[:, n], expected, rtol=0, atol=1e-12)


def test_without_memory_it_is_layer_norm() -> None:
    x = features(5)
    ours, theirs = LevelNorm(9, 0).double(), torch.nn.LayerNorm(9).double()
    torch.testing.assert_close(ours(x)[0], theirs(x), rtol=0, atol=1e-12)


def test_a_pause_stays_quiet() -> None:
    x = features(40)
    x[:, 20:] *= 0.1
    with_memory, _ = LevelNorm(9, 125).double()(x)
    without, _ = LevelNorm(9, 0).double()(x)
    spread = with_memory[:, 20:].std(-1)
    assert spread.max() < 0.3
    assert without[:, 20:].std(-1).min() > 0.6


@pytest.mark.parametrize("split", [1, 10, BLOCK_FRAMES, BLOCK_FRAMES + 1])
def test_a_sequence_in_two_parts(split: int) -> None:
    norm, x = LevelNorm(9, 50).double(), features(2 * BLOCK_FRAMES)
    whole, after = norm(x)
    first, sums = norm(x[:, :split])
    second, end = norm(x[:, split:], sums)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(end, after, rtol=0, atol=1e-12)
