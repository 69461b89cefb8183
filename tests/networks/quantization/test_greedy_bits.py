"""The greedy search over bits, on losses that can be reckoned by hand."""

from collections.abc import Mapping
from itertools import product

import pytest

from hasim.networks.quantization.greedy_bits import WIDTHS, greedy_bits

SIZES = {"large": 8000, "small": 800, "delicate": 8000}
# dB at 2 bits
PRICE = {"large": 0.01, "small": 0.02, "delicate": 1.0}


def loss(bits: Mapping[str, int]) -> float:
    """Each bit less doubles what a matrix loses; losses add up."""
    return sum(price * (2.0 ** (2 - bits[name]) - 2.0**-6) for name, price in PRICE.items())


def size(bits: Mapping[str, int]) -> int:
    return 100 + sum(SIZES[name] * bits[name] // 8 for name in SIZES)


def test_bytes_alone() -> None:
    found = greedy_bits(SIZES, loss, other_bytes=100, max_bytes=12_000)
    assert found.within_limits
    assert found.bytes == size(found.bits) <= 12_000
    assert found.loss_db == pytest.approx(loss(found.bits))
    # Nothing is narrowed after the limit is met.
    assert found.steps[-2][2] > 12_000
    # Here greed is as good as trying everything, but for what one step overshoots.
    choices = (dict(zip(SIZES, bits, strict=True)) for bits in product(WIDTHS, repeat=3))
    best = min(loss(bits) for bits in choices if size(bits) <= found.bytes)
    assert found.loss_db == pytest.approx(best)
    assert found.bits["large"] < found.bits["delicate"]


def test_quality_alone_goes_as_far_as_it_may() -> None:
    found = greedy_bits(SIZES, loss, max_loss_db=0.05)
    assert found.within_limits
    assert found.loss_db <= 0.05
    # no single further step would be allowed
    for name, bits in found.bits.items():
        if bits > 2:
            narrower = WIDTHS[WIDTHS.index(bits) + 1]
            assert loss({**found.bits, name: narrower}) > 0.05


def test_both_limits_may_be_too_much() -> None:
    found = greedy_bits(SIZES, loss, other_bytes=100, max_bytes=5000, max_loss_db=0.05)
    assert not found.within_limits
    assert found.loss_db <= 0.05
    assert found.bytes > 5000
    smallest = greedy_bits(SIZES, loss, other_bytes=100, max_bytes=10)
    assert not smallest.within_limits
    assert set(smallest.bits.values()) == {2}


def test_a_step_that_loses_too_much_together_is_taken_back() -> None:
    def together(bits: Mapping[str, int]) -> float:
        """No matrix loses anything alone; two below 8 bits lose a lot."""
        return 1.0 if sum(width < 8 for width in bits.values()) > 1 else 0.0

    found = greedy_bits(SIZES, together, max_loss_db=0.5)
    assert sorted(found.bits.values()) == [2, 8, 8]
    assert found.loss_db == 0.0


def test_no_limit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="a search needs a limit"):
        greedy_bits(SIZES, loss)
