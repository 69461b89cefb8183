"""95 % intervals of means and of ratios of means, over seeds or scenes.

Both are Student's: exact for normal values at any number of observations from two on, where a
bootstrap of few scenes is too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds or scenes, and where it lies with 95 % confidence."""

    mean: float
    low: float | None
    """None, like `high`, where the observations are too few to say."""
    high: float | None
    count: int
    """The number of observations."""

    @property
    def excludes_zero(self) -> bool:
        """The mean differs from zero with 95 % confidence."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def as_dict(self, counted: str) -> dict[str, float | int | None]:
        """`mean`, `low_95`, `high_95`, and the number of observations under the name `counted`."""
        return {"mean": self.mean, "low_95": self.low, "high_95": self.high, counted: self.count}

    def text(self, form: str) -> str:
        """Mean and ends, each in the given format; the mean alone where there is no interval.

        >>> Interval(1.5, 1.0, 2.0, 4).text("+.1f"), Interval(1.5, None, None, 1).text("+.1f")
        ('+1.5 [+1.0, +2.0]', '+1.5')
        """
        if self.low is None or self.high is None:
            return format(self.mean, form)
        return f"{self.mean:{form}} [{self.low:{form}}, {self.high:{form}}]"


def student_quantile(degrees_of_freedom: ndarray | int) -> ndarray:
    """Student's t that is exceeded to either side in 5 % of all cases: half widths per standard
    error of the mean."""
    # scipy.stats.t.ppf calls this function; scipy.stats itself takes half a second to import.
    from scipy.special import stdtrit

    return np.asarray(stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2))


def interval(values: ndarray, axis: int = -1) -> tuple[ndarray, ndarray, ndarray]:
    """(mean, half width of the interval, count) along an axis; NaN are left out.

    Where all values are equal the half width is 0; for a single value it is infinite.

    >>> mean, half, count = interval(np.array([1.0, 3.0]))
    >>> float(mean), round(float(half), 3)
    (2.0, 12.706)
    """
    there = ~np.isnan(values)
    count = there.sum(axis)
    safe = np.where(there, values, 0.0)
    mean = np.where(count > 0, safe.sum(axis) / np.maximum(count, 1), np.nan)
    off = np.where(there, values - np.expand_dims(mean, axis), 0.0)
    spread = np.where(
        # equal values: summing may have rounded the mean
        np.where(there, values, np.inf).min(axis) == np.where(there, values, -np.inf).max(axis),
        0.0,
        np.sqrt((off**2).sum(axis) / np.maximum(count - 1, 1)),
    )
    half = student_quantile(np.maximum(count - 1, 1)) * spread / np.sqrt(np.maximum(count, 1))
    return mean, np.where(count > 1, half, np.inf), count


def mean_interval(values: ndarray) -> Interval | None:
    """The mean of values (observation,) and its interval; NaN are left out, None without a value.

    >>> mean_interval(np.array([2.0, np.nan]))
    Interval(mean=2.0, low=None, high=None, count=1)
    """
    mean, half, count = interval(values)
    if not count:
        return None
    if not np.isfinite(half):
        return Interval(float(mean), None, None, int(count))
    return Interval(float(mean), float(mean - half), float(mean + half), int(count))


def ratio_interval(numerators: ndarray, denominators: ndarray) -> Interval | None:
    """The ratio of two means of paired values, both (observation,), and its interval.

    Pairs with NaN are left out. None without a pair, and where the mean of the denominators is
    zero. No interval where the denominators' mean does not differ from zero with 95 % confidence:
    then it has no bound.

    Source: E. C. Fieller, J. R. Stat. Soc. B 16 (1954) 175-185: the ratios r for which the mean of
    numerator - r denominator does not differ from zero.
    """
    there = ~np.isnan(numerators + denominators)
    x, y = numerators[there], denominators[there]
    count = len(x)
    if not count or y.mean() == 0:
        return None
    ratio = float(x.mean() / y.mean())
    if count < 2:
        return Interval(ratio, None, None, count)
    covariance = np.cov(x, y) * student_quantile(count - 1) ** 2 / count
    # a r^2 - 2 b r + c <= 0
    a = y.mean() ** 2 - covariance[1, 1]
    b = x.mean() * y.mean() - covariance[0, 1]
    c = x.mean() ** 2 - covariance[0, 0]
    if a <= 0:
        return Interval(ratio, None, None, count)
    root = np.sqrt(max(b**2 - a * c, 0.0))
    return Interval(ratio, float((b - root) / a), float((b + root) / a), count)
