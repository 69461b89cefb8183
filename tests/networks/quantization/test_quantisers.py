"""Quantisers: values and gradients computed by hand, observed ranges, state on disk."""

import math

import pytest
import torch
from torch import Tensor

from hasim.networks.quantization.quantisers import (
    ActivationQuantiser,
    FixedQuantiser,
    RuntimeQuantiser,
    WeightQuantiser,
)


def with_range(bits: int, low: float, high: float, **more: object) -> ActivationQuantiser:
    quantiser = ActivationQuantiser(bits, warm_up_steps=1, **more)  # type: ignore[arg-type]
    quantiser.train()(torch.tensor([low, high]))
    quantiser.end_pass()
    return quantiser


def test_weights_by_hand() -> None:
    # 3 bits: step 2 * 7 / 7 = 2, levels -4 ... 3 steps; 5 / 2 = 2.5 goes to the even 2.
    weight = torch.tensor([[7.0, -7.0, 5.0, 0.9, 1.1], [0.7, -0.7, 0.5, 0.09, 0.11]])
    quantiser = WeightQuantiser(weight, 3)
    expected = torch.tensor([[6.0, -8.0, 4.0, 0.0, 2.0], [0.6, -0.8, 0.4, 0.0, 0.2]])
    torch.testing.assert_close(quantiser(weight), expected)
    assert quantiser.limit.shape == (2, 1)
    levels = quantiser.grid().levels(weight)
    assert levels.tolist()[0] == [3, -4, 2, 0, 1]


def test_one_range_for_a_whole_matrix_leaves_little_for_small_rows() -> None:
    weight = torch.tensor([[7.0, -7.0], [0.7, -0.5]])
    assert WeightQuantiser(weight, 3, per="tensor")(weight)[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bits", range(2, 17))
@pytest.mark.parametrize("per", ["channel", "tensor"])
def test_weights_are_off_by_half_a_step_at_most(bits: int, per: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 64, dtype=torch.float64)
    quantiser = WeightQuantiser(weight, bits, per=per)  # type: ignore[arg-type]
    rounded, step = quantiser(weight), quantiser.grid().step
    # Also the largest: it lies exactly half a step outside. float64 rounds at 1e-16.
    assert ((rounded - weight).abs() <= step / 2 * (1 + 1e-9)).all()
    assert len(rounded.unique()) <= (5 if per == "channel" else 1) * 2**bits


def test_gradients_of_weights_by_hand() -> None:
    weight = torch.tensor([[7.0, -7.0, 5.0, 0.9]], requires_grad=True)
    quantiser = WeightQuantiser(weight, 3)
    pull = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    (quantiser(weight) * pull).sum().backward()
    # 3.5 steps round to 4, are clipped to 3: no way through. The others: straight through.
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0.0, 10.0, 100.0, 1000.0]]
    # To the step: 3 where clipped; level - w / step else. The step is 2 / 7 of the limit.
    to_step = 1 * 3 + 10 * (-4 + 3.5) + 100 * (2 - 2.5) + 1000 * (0 - 0.45)
    assert quantiser.limit.grad is not None
    assert quantiser.limit.grad.item() == pytest.approx(to_step * 2 / 7, rel=1e-6)


def test_gradient_scale() -> None:
    weight = torch.tensor([[7.0, -7.0, 5.0, 0.9]])
    plain, scaled = WeightQuantiser(weight, 3), WeightQuantiser(weight, 3, gradient_scale=True)
    for quantiser in (plain, scaled):
        quantiser(weight).sum().backward()
    assert plain.limit.grad is not None
    assert scaled.limit.grad is not None
    ratio = scaled.limit.grad / plain.limit.grad
    # levels up to 3, 4 numbers
    assert ratio.item() == pytest.approx(1 / math.sqrt(3 * 4))
    torch.testing.assert_close(scaled(weight), plain(weight))


def test_activations_with_an_integer_zero_by_hand() -> None:
    # 2 bits from -1 to 2: step 1, zero is level 1.
    quantiser = with_range(2, -1.0, 2.0)
    x = torch.tensor([-9.0, -0.6, 0.0, 0.4, 1.2, 1.8, 9.0], requires_grad=True)
    y = quantiser(x)
    assert y.tolist() == [-1.0, -1.0, 0.0, 0.0, 1.0, 2.0, 2.0]
    assert quantiser.grid().levels(x).tolist() == [0, 0, 1, 1, 2, 3, 3]
    pull = torch.tensor([1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6])
    (y * pull).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 10.0, 100.0, 1e3, 1e4, 1e5, 0.0]
    # The step is (high - low) / 3 and its gradient level - x / step inside. Outside the output is
    # the end of the range itself: low or high.
    to_step = 10 * -0.4 + 1e3 * -0.4 + 1e4 * -0.2 + 1e5 * 0.2
    assert quantiser.low.grad is not None
    assert quantiser.high.grad is not None
    assert quantiser.low.grad.item() == pytest.approx(1 - to_step / 3, rel=1e-5)
    assert quantiser.high.grad.item() == pytest.approx(1e6 + to_step / 3, rel=1e-5)


def test_activations_with_a_float_offset_by_hand() -> None:
    # 2 bits from 0.5 to 2: levels 0.5, 1, 1.5, 2; zero is none of them.
    quantiser = with_range(2, 0.5, 2.0, zero_point="float")
    x = torch.tensor([-1.0, 0.0, 0.8, 1.4, 3.0], requires_grad=True)
    y = quantiser(x)
    torch.testing.assert_close(y, torch.tensor([0.5, 0.5, 1.0, 1.5, 2.0]))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 1.0, 0.0]
    # Inside, in steps from the offset: 0.6 -> 1 and 1.8 -> 2, errors 0.4 and 0.2.
    assert quantiser.low.grad is not None
    assert quantiser.high.grad is not None
    assert quantiser.low.grad.item() == pytest.approx(2 - 0.6 / 3, rel=1e-5)
    assert quantiser.high.grad.item() == pytest.approx(1 + 0.6 / 3, rel=1e-5)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_an_integer_zero_point_represents_zero_exactly(bits: int) -> None:
    torch.manual_seed(1)
    for low, high in torch.randn(50, 2).sort(dim=1).values.tolist():
        quantiser = with_range(bits, low, high)
        assert quantiser(torch.zeros(1)).item() == 0.0
        runtime = RuntimeQuantiser(bits)
        assert runtime(torch.tensor([low, 0.0, high]))[1].item() == 0.0


@pytest.mark.parametrize("zero_point", ["integer", "float"])
def test_activations_inside_the_range_are_off_by_a_step_at_most(zero_point: str) -> None:
    torch.manual_seed(2)
    x = torch.randn(1000, dtype=torch.float64)
    for bits in range(2, 17):
        quantiser = with_range(bits, -1.3, 2.1, zero_point=zero_point)
        inside = x[(x > -1.3) & (x < 2.1)]
        # An integer zero point moves the range by up to half a step. (The range is float32.)
        bound = (1.0 if zero_point == "integer" else 0.5) * quantiser.grid().step * (1 + 1e-6)
        assert ((quantiser(inside) - inside).abs() <= bound).all()


def test_ranges_are_observed_bypassed_and_then_stand() -> None:
    quantiser = ActivationQuantiser(8, warm_up_steps=3, momentum=0.5).train()
    passes = [(-1.0, 4.0), (-3.0, 2.0), (-2.0, 8.0)]
    for number, extremes in enumerate(passes):
        assert not quantiser.ready
        x = torch.tensor(extremes)
        assert quantiser(x[:1]) is not None
        # not rounded meanwhile
        torch.testing.assert_close(quantiser(x), x, rtol=0, atol=0)
        quantiser.end_pass()
        assert int(quantiser.passes) == number + 1
        # no memory of a start
        if number == 0:
            assert (quantiser.low.item(), quantiser.high.item()) == (-1.0, 4.0)
    # Weights 1/4 : 1/2 : 1 of the three passes, together 1.
    assert quantiser.low.item() == pytest.approx((-1 / 4 - 3 / 2 - 2) / 1.75)
    assert quantiser.high.item() == pytest.approx((4 / 4 + 2 / 2 + 8) / 1.75)
    assert quantiser.ready
    before = quantiser.high.item()
    y = quantiser(torch.tensor([100.0]))
    quantiser.end_pass()
    assert y.item() == pytest.approx(before, abs=0.05)
    assert (quantiser.high.item(), int(quantiser.passes)) == (before, 3)


def test_nothing_is_observed_outside_training() -> None:
    quantiser = ActivationQuantiser(8, warm_up_steps=1).eval()
    quantiser(torch.tensor([1.0]))
    quantiser.end_pass()
    assert int(quantiser.passes) == 0
    with pytest.raises(ValueError, match="no pass has been observed"):
        quantiser.settle()


def test_counter_and_range_travel_in_the_state() -> None:
    quantiser = with_range(8, -1.0, 1.0)
    other = ActivationQuantiser(8, warm_up_steps=1)
    other.load_state_dict(quantiser.state_dict())
    assert other.ready
    x = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(other(x), quantiser(x), rtol=0, atol=0)


def test_ranges_that_are_not_learnt_have_no_gradient() -> None:
    quantiser = with_range(8, -1.0, 1.0, learn=False)
    weights = WeightQuantiser(torch.ones(2, 2), 8, learn=False)
    assert not any(p.requires_grad for q in (quantiser, weights) for p in q.parameters())


def test_runtime_ranges_belong_to_each_frame() -> None:
    x = torch.tensor([[0.1, 0.2, 0.31], [10.0, 20.0, -10.0]])
    by_frame, together = RuntimeQuantiser(3)(x), RuntimeQuantiser(3, None)(x)
    step = 0.31 / 7
    torch.testing.assert_close(by_frame[0], torch.tensor([2 * step, 5 * step, 7 * step]))
    # lost in a step of 30 / 7
    assert together[0].tolist() == [0.0, 0.0, 0.0]


def test_silence_stays_silence() -> None:
    zeros = torch.zeros(4, 3)
    for quantiser in (RuntimeQuantiser(8), with_range(8, 0.0, 0.0), WeightQuantiser(zeros, 8)):
        assert quantiser(zeros).tolist() == zeros.tolist()


def test_fixed_levels_include_both_ends() -> None:
    x: Tensor = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    torch.testing.assert_close(FixedQuantiser(2)(x), torch.tensor([0, 1 / 3, 2 / 3, 1.0, 1.0]))
