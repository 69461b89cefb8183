"""Rounding to a grid of few levels, and where the grid comes from: weights, observation, training,
or the values themselves at run time.

A grid has a step, a zero and limits in steps: y = step (clip(round(x / step) + zero) - zero).
Rounding is to the nearest level, ties to the even number of steps. Gradients go straight through
rounding (straight-through estimator); the gradient of a range comes from rounding errors inside and
from clipping outside, as in LSQ (Esser et al. 2020). Any shape; steps and zeros broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Tap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Grid:
    """Levels of a quantiser, as tensors with gradients to their range."""

    step: Tensor
    zero: Tensor
    # In steps.
    lowest: int
    highest: int
    # Value of level 0, where zero itself is not a level.
    offset: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Value of the nearest level."""
        if self.offset is None:
            return _rounded(x, self.step, self.zero, self.lowest, self.highest)
        moved = _rounded(x - self.offset, self.step, self.zero, self.lowest, self.highest)
        return moved + self.offset

    @torch.no_grad()
    def levels(self, x: Tensor) -> Tensor:
        """Number of the nearest level, int32."""
        x = x if self.offset is None else x - self.offset
        level = torch.round(x / self.step) + self.zero
        return level.clamp(self.lowest, self.highest).to(torch.int32)


class WeightQuantiser(nn.Module):
    """Symmetric, signed: step = 2 limit / (2^bits - 1), levels -2^(bits - 1) ... 2^(bits - 1) - 1.

    That is the step of FQSS (Cohen et al. 2024) and of PyTorch's observers. The largest positive
    weight lies half a step beyond the highest level and is clipped to it.
    """

    def __init__(
        self,
        weight: Tensor,
        bits: int,
        *,
        per: Literal["channel", "tensor"] = "channel",
        learn: bool = True,
        gradient_scale: bool = False,
    ) -> None:
        super().__init__()
        self.bits, self.gradient_scale = bits, gradient_scale
        largest = weight.detach().abs()
        limit = largest.amax(1, keepdim=True) if per == "channel" else largest.amax()
        # (channel, 1) or ()
        self.limit = nn.Parameter(limit.clone(), requires_grad=learn)

    def grid(self, numbers: int = 1) -> Grid:
        """`numbers` of weights per range scale its gradient."""
        limit: Tensor = self.limit
        if self.gradient_scale:
            limit = _with_gradient(limit, (numbers * (2 ** (self.bits - 1) - 1)) ** -0.5)
        step = (2 * limit / (2**self.bits - 1)).clamp_min(_tiny(limit))
        half = 2 ** (self.bits - 1)
        return Grid(step, torch.zeros_like(step), -half, half - 1)

    def forward(self, weight: Tensor) -> Tensor:
        """Weights (channel, input) on the grid."""
        rounded: Tensor = self.grid(weight.numel() // self.limit.numel())(weight)
        return rounded


class ActivationQuantiser(nn.Module):
    """Asymmetric, per tensor; its range is observed for some passes, then fixed or trained.

    While it is observed nothing is rounded. In training a pass is all between two calls of
    `end_pass`; its extremes enter an exponential average with bias correction, so that the first
    pass alone gives its own extremes. `low` and `high` are parameters, the number of passes is a
    buffer.
    """

    passes: Tensor

    def __init__(
        self,
        bits: int,
        *,
        zero_point: Literal["integer", "float"] = "integer",
        warm_up_steps: int = 50,
        momentum: float = 0.9,
        learn: bool = True,
        gradient_scale: bool = False,
    ) -> None:
        super().__init__()
        self.bits, self.zero_point, self.gradient_scale = bits, zero_point, gradient_scale
        self.warm_up_steps, self.momentum = warm_up_steps, momentum
        self.low = nn.Parameter(torch.zeros(()), requires_grad=learn)
        self.high = nn.Parameter(torch.zeros(()), requires_grad=learn)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        # The same number, read without waiting for the device.
        self._passes = 0
        self._seen: tuple[Tensor, Tensor] | None = None

    @property
    def ready(self) -> bool:
        """The range is known; values are rounded."""
        return self._passes >= max(self.warm_up_steps, 1)

    def grid(self, numbers: int = 1) -> Grid:
        """`numbers` of values per frame scale the range's gradient."""
        low: Tensor = self.low
        high: Tensor = self.high
        top = 2**self.bits - 1
        if self.gradient_scale:
            scale = (numbers * top) ** -0.5
            low, high = _with_gradient(low, scale), _with_gradient(high, scale)
        if self.zero_point == "integer":
            low, high = low.clamp_max(0), high.clamp_min(0)
        step = ((high - low) / top).clamp_min(_tiny(low))
        if self.zero_point == "float":
            return Grid(step, torch.zeros_like(step), 0, top, offset=low)
        exact = -low / step
        return Grid(step, exact + (exact.round() - exact).detach(), 0, top)

    def tap(self, numbers: int = 1) -> Tap:
        """The operation on the values of this pass: round, or observe and pass on."""
        if self.ready:
            return self.grid(numbers)
        return self._watch if self.training else _through

    def forward(self, x: Tensor) -> Tensor:
        """Values on the grid; the same values while the range is observed."""
        return self.tap(x.shape[-1])(x)

    @torch.no_grad()
    def end_pass(self) -> None:
        """Count the values seen since the last call as one more pass."""
        if self._seen is None:
            return
        self._passes += 1
        self.passes.fill_(self._passes)
        share = (1 - self.momentum) / (1 - self.momentum**self._passes)
        for bound, seen in zip((self.low, self.high), self._seen, strict=True):
            bound.add_(share * (seen - bound))
        self._seen = None

    @torch.no_grad()
    def settle(self) -> None:
        """Fix the range as it is, without further passes. ValueError if nothing was observed."""
        if not self._passes:
            raise ValueError("no pass has been observed: there is no range to settle on")
        self._passes = max(self._passes, self.warm_up_steps)
        self.passes.fill_(self._passes)

    def _watch(self, x: Tensor) -> Tensor:
        low, high = torch.aminmax(x.detach())
        if self._seen is not None:
            low, high = torch.minimum(low, self._seen[0]), torch.maximum(high, self._seen[1])
        self._seen = (low, high)
        return x

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *more)
        self._passes = int(self.passes)


class RuntimeQuantiser(nn.Module):
    """Asymmetric with an integer zero point; the range is that of the values themselves.

    It always contains zero. The values along `dims` share a range (None: all values).
    """

    def __init__(self, bits: int, dims: tuple[int, ...] | None = (-1,)) -> None:
        super().__init__()
        self.bits, self.dims = bits, dims

    def grid(self, x: Tensor) -> Grid:
        """The grid for these values."""
        x = x.detach()
        dims = tuple(range(x.ndim)) if self.dims is None else self.dims
        low = x.amin(dims, keepdim=True).clamp_max(0)
        high = x.amax(dims, keepdim=True).clamp_min(0)
        top = 2**self.bits - 1
        step = ((high - low) / top).clamp_min(_tiny(x))
        return Grid(step, (-low / step).round(), 0, top)

    def tap(self, numbers: int = 1) -> Tap:
        """As `ActivationQuantiser.tap`; there is nothing to learn."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Values on their grid."""
        rounded: Tensor = self.grid(x)(x)
        return rounded


class FixedQuantiser(nn.Module):
    """Values between 0 and 1 on 2^bits levels, both ends included."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        """Values on the grid."""
        top = 2**self.bits - 1
        step = torch.full((), 1 / top, dtype=x.dtype, device=x.device)
        rounded: Tensor = Grid(step, torch.zeros_like(step), 0, top)(x)
        return rounded


Quantiser = ActivationQuantiser | RuntimeQuantiser


def tap(quantiser: Quantiser | None, numbers: int = 1) -> Tap:
    """The operation on the values at a point in this pass; the identity where it is off."""
    return _through if quantiser is None else quantiser.tap(numbers)


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, zero: Tensor, lowest: int, highest: int
    ) -> Tensor:
        ctx.save_for_backward(x, step, zero)
        ctx.limits = (lowest, highest)
        level = (x / step).round_().add_(zero).clamp_(lowest, highest)
        return level.sub_(zero).mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, step, zero = ctx.saved_tensors
        lowest, highest = ctx.limits
        exact = x / step
        level = exact.round() + zero
        clipped = level.clamp(lowest, highest)
        inside = clipped == level
        to_x = gradient * inside
        to_step = to_zero = None
        # Inside: the rounding error; outside: the number of the limit.
        if ctx.needs_input_grad[1]:
            moved = clipped - zero - exact * inside
            to_step = (gradient * moved).sum_to_size(step.shape)
        # Inside, rounding cancels what the zero adds.
        if ctx.needs_input_grad[2]:
            to_zero = ((to_x - gradient) * step).sum_to_size(zero.shape)
        return to_x, to_step, to_zero, None, None


def _rounded(x: Tensor, step: Tensor, zero: Tensor, lowest: int, highest: int) -> Tensor:
    result: Tensor = _Round.apply(x, step, zero, lowest, highest)
    return result


def _with_gradient(x: Tensor, scale: float) -> Tensor:
    """The same value with a scaled gradient."""
    return scale * x + (x - scale * x).detach()


def _tiny(x: Tensor) -> float:
    """Smallest step, for ranges of width zero; too small to change others."""
    return 1e-30 if x.dtype != torch.float16 else 1e-7


def _through(x: Tensor) -> Tensor:
    return x
