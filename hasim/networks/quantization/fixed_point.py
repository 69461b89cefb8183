"""Fixed point: levels, rescaling by a multiplier and a shift, tables of sigmoid and tanh.

A level is a signed integer of b bits, -2^(b - 1) ... 2^(b - 1) - 1; it stands for the number step *
(level - zero). Rescaling by a real factor M is rescaling by the integer multiplier m and the shift
s with m / 2^s next to M:

    floor((x m + 2^(s - 1)) / 2^s)

in 64 bits, so halves go up. All functions take arrays of any shape and are exact. Floating point
is used to make multipliers and tables alone, and only in operations that IEEE 754 or the decimal
arithmetic of Python's standard library define to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
from numpy import ndarray

MULTIPLIER_BITS = 31
# Fractional bits of the input of the last sigmoid.
LOGIT_BITS = 16
# The distance of the last sigmoid's knots is 1/32.
KNOT_BITS = 5
# What `sigmoid` returns for 1.
SIGMOID_TOP = 65535 << LOGIT_BITS - KNOT_BITS
# Beyond, a 16-bit sigmoid is 0 or 1.
SIGMOID_RANGE = 16


@dataclass(frozen=True)
class Levels:
    """A grid of 2^bits numbers: step * (level - zero)."""

    bits: int
    zero: int
    step: float

    @property
    def lowest(self) -> int:
        """The lowest level."""
        return -(2 ** (self.bits - 1))

    @property
    def highest(self) -> int:
        """The highest level."""
        return 2 ** (self.bits - 1) - 1

    def clip(self, moved: ndarray) -> ndarray:
        """Levels, from numbers of steps away from zero."""
        return np.clip(moved + self.zero, self.lowest, self.highest)

    def away(self, levels: ndarray) -> ndarray:
        """Numbers of steps away from zero, from levels."""
        return levels.astype(np.int64) - self.zero

    def numbers(self, levels: ndarray) -> ndarray:
        """Values of the levels, in floating point."""
        return self.step * self.away(levels)


@dataclass(frozen=True)
class Scale:
    """Integer multipliers below 2^31 and shifts 0 to 62, of one shape."""

    # int32
    multiplier: ndarray
    # uint8
    shift: ndarray

    def __call__(self, x: ndarray) -> ndarray:
        """x times multiplier / 2^shift, to the nearest integer, halves up; |x| below 2^31."""
        return shifted(x * self.multiplier.astype(np.int64), self.shift)

    def rows(self, x: ndarray) -> ndarray:
        """The same with one multiplier per (group, output), for x (group, row, output)."""
        return Scale(self.multiplier[:, None], self.shift[:, None])(x)


def shifted(x: ndarray, shift: ndarray | int) -> ndarray:
    """x / 2^shift to the nearest integer, halves up."""
    shift = np.asarray(shift, dtype=np.int64)
    half = (np.int64(1) << shift) >> 1
    return (x + half) >> shift


def scale(*factors: float | ndarray) -> Scale:
    """Multiplier and shift for a product of positive factors, with as many bits as fit.

    ValueError for factors from 2^31 on, whose results would not be integers of 32 bits.
    """
    real = np.asarray(factors[0], dtype=np.float64)
    for factor in factors[1:]:
        real = real * factor
    if not (np.all(real > 0) and np.all(real < 2.0**MULTIPLIER_BITS)):
        raise ValueError(
            f"a step is too small or too large for fixed point: factor {real.min():g} to "
            f"{real.max():g}, must be above 0 and below 2^31; were the ranges found on sound?"
        )
    # real = fraction * 2^exponent, fraction in [0.5, 1)
    _, exponent = np.frexp(real)
    shift = np.clip(MULTIPLIER_BITS - exponent, 0, 62)
    multiplier = np.rint(np.ldexp(real, shift)).astype(np.int64)
    # Rounded up to 2^31.
    over = multiplier >= 2**MULTIPLIER_BITS
    multiplier, shift = (
        np.where(over, multiplier >> 1, multiplier),
        np.where(over, shift - 1, shift),
    )
    return Scale(multiplier.astype(np.int32), shift.astype(np.uint8))


def common_scale(a: float, b: float) -> tuple[int, int, int]:
    """Multipliers below 2^30 of two factors, and the one shift of both.

    Sums of two numbers of 16 bits so scaled stay below 2^48, and are rounded once.
    """
    larger = Fraction(max(a, b))
    shift = 0
    while shift < 62 and larger * 2 ** (shift + 1) < 2**30 - 1:
        shift += 1
    if larger * 2**shift >= 2**30:
        raise ValueError(f"factors {a:g} and {b:g} are too large for fixed point")
    return round(Fraction(a) * 2**shift), round(Fraction(b) * 2**shift), shift


def table(function: Callable[[Decimal], Decimal], entering: Levels, leaving: Levels) -> ndarray:
    """Levels of the function for all levels from the lowest on, int8 (2^bits of `entering`)."""
    step, to = Decimal(entering.step), Decimal(leaving.step)
    found = []
    with localcontext() as context:
        context.prec = 40
        for level in range(entering.lowest, entering.highest + 1):
            moved = function(step * (level - entering.zero)) / to
            # Halves to even, as in the quantiser.
            found.append(int(moved.to_integral_value()))
    return leaving.clip(np.array(found)).astype(np.int8)


def thresholds(entering: Levels, leaving: Levels) -> ndarray:
    """tanh between fine and coarse levels, int16: a result is the lowest level plus the number of
    thresholds that the level has reached.

    Thresholds that no level reaches are left out.
    """
    step, to = Decimal(entering.step), Decimal(leaving.step)
    found = []
    with localcontext() as context:
        context.prec = 40
        for level in range(leaving.lowest + 1, leaving.highest + 1):
            value = to * (level - leaving.zero - Decimal("0.5"))
            if value >= 1:
                break
            first = entering.lowest
            if value > -1:
                crossed = ((1 + value) / (1 - value)).ln() / 2 / step + entering.zero
                first = max(first, int(crossed.to_integral_value(rounding="ROUND_CEILING")))
            if first > entering.highest:
                break
            found.append(first)
    return np.array(found, dtype=np.int16)


def logistic(x: Decimal) -> Decimal:
    """The sigmoid."""
    return 1 / (1 + (-x).exp())


def hyperbolic_tangent(x: Decimal) -> Decimal:
    """tanh."""
    square = (2 * x).exp()
    return (square - 1) / (square + 1)


def sigmoid_knots() -> ndarray:
    """65535 sigmoid(x) at x = 0, 1/32, ... 16, to the nearest integer, uint16 (513,)."""
    with localcontext() as context:
        context.prec = 40
        values = [
            65535 * logistic(Decimal(k) / 2**KNOT_BITS)
            for k in range((SIGMOID_RANGE << KNOT_BITS) + 1)
        ]
        return np.array([int(v.to_integral_value()) for v in values], dtype=np.uint16)


def sigmoid(x: ndarray, knots: ndarray) -> ndarray:
    """The sigmoid times `SIGMOID_TOP` of x / 2^16: straight lines between the knots, int64.

    Straight lines are at most 0.8 / 65535 below the curve (the square of a knot's distance, 1/32,
    times the largest second derivative, 0.0962, divided by 8), knots at most 0.5 / 65535 beside it.
    """
    parts = LOGIT_BITS - KNOT_BITS
    size = np.minimum(np.abs(x), SIGMOID_RANGE << LOGIT_BITS)
    index = np.minimum(size >> parts, len(knots) - 2)
    left, right = knots[index].astype(np.int64), knots[index + 1].astype(np.int64)
    found = (left << parts) + (right - left) * (size - (index << parts))
    return np.where(x < 0, SIGMOID_TOP - found, found)
