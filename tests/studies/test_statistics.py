"""Intervals of means and of ratios: closed forms, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hasim.studies.statistics import Interval, interval, mean_interval, ratio_interval

COUNTS = (3, 6, 12, 60)


def coverage(covered: np.ndarray) -> tuple[float, float]:
    """Share of intervals that hold the truth, and four standard errors of it at 95 %."""
    return float(np.mean(covered)), 4 * math.sqrt(0.95 * 0.05 / len(covered))


def ratio_covers(draws: np.ndarray, truth: float) -> np.ndarray:
    """Whether the intervals of the ratio of means of draws (draw, 2, observation) hold `truth`, of
    those draws that have one."""
    found = [ratio_interval(x, y) for x, y in draws]
    given = [one for one in found if one.low is not None]
    assert len(given) > 0.98 * len(found)
    return np.array([one.low <= truth <= one.high for one in given])


def paired(draws: int, count: int, seed: int = 1) -> np.ndarray:
    """Improvements of about 4 and 5 dB on the same scenes: (draw, 2, scene), correlated."""
    rng = np.random.default_rng(seed)
    scene, own = rng.normal(0, 0.8, (draws, 1, count)), rng.normal(0, 0.4, (draws, 2, count))
    return np.array([4.0, 5.0])[:, None] + scene + own


def test_means_have_students_intervals():
    """Against the closed form for n = 4, t(0.975, 3) = 3.182446, and against SciPy."""
    values = np.array([1.0, 2.0, 4.0, 5.0])
    mean, half, count = interval(values)
    assert (mean, count) == (3.0, 4)
    assert half == pytest.approx(3.1824463 * np.std(values, ddof=1) / 2, rel=1e-7)
    span = mean_interval(np.append(values, np.nan))
    assert (span.low, span.high) == pytest.approx(
        stats.t.interval(0.95, 3, loc=3.0, scale=stats.sem(values)), rel=1e-12
    )
    mean, half, count = interval(np.array([[0.1, 0.1, 0.1], [7.0, np.nan, np.nan]]))
    assert half.tolist() == [0.0, math.inf]
    assert count.tolist() == [3, 1]


@pytest.mark.parametrize("count", COUNTS)
def test_intervals_of_means_hold_the_truth_in_95_of_100_cases(count):
    draws = np.random.default_rng(count).normal(2, 3, (20_000, count))
    mean, half, _ = interval(draws)
    found, tolerance = coverage(np.abs(mean - 2) <= half)
    assert found == pytest.approx(0.95, abs=tolerance)


@pytest.mark.parametrize("count", COUNTS)
def test_intervals_of_ratios_hold_the_truth_in_95_of_100_cases(count):
    found, tolerance = coverage(ratio_covers(paired(2000, count), 4 / 5))
    assert found == pytest.approx(0.95, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
def test_coverage_in_many_draws(count):
    """Means to 0.1 %, ratios to 0.4 %."""
    draws = np.random.default_rng(count).normal(2, 3, (800_000, count))
    mean, half, _ = interval(draws)
    found, tolerance = coverage(np.abs(mean - 2) <= half)
    assert found == pytest.approx(0.95, abs=tolerance)
    found, tolerance = coverage(ratio_covers(paired(50_000, count, seed=2), 4 / 5))
    assert found == pytest.approx(0.95, abs=tolerance)


def test_a_ratio_of_means_has_the_ends_at_which_the_difference_is_barely_clear():
    """At an end r the Student interval of x - r y ends at zero."""
    ((x, y),) = paired(1, 12)
    span = ratio_interval(x, y)
    assert span.mean == x.mean() / y.mean()
    assert span.low < span.mean < span.high
    for end, sign in ((span.low, 1), (span.high, -1)):
        mean, half, _ = interval(x - end * y)
        assert sign * mean == pytest.approx(half, rel=1e-9)


def test_values_in_proportion_have_a_ratio_without_width():
    x = np.array([10.0, 11.0, 12.0])
    span = ratio_interval(x, 2 * x)
    assert (span.low, span.high) == pytest.approx((0.5, 0.5))


def test_no_interval_where_the_observations_are_too_few():
    assert mean_interval(np.full(3, np.nan)) is None
    assert mean_interval(np.array([1.9, np.nan])) == Interval(1.9, None, None, 1)
    assert mean_interval(np.array([1.9])).text("+.1f") == "+1.9"
    assert not mean_interval(np.array([1.9])).excludes_zero
    assert ratio_interval(np.full(3, np.nan), np.ones(3)) is None
    assert ratio_interval(np.array([1.0]), np.array([2.0])) == Interval(0.5, None, None, 1)
    assert ratio_interval(np.array([1.0, 2.0]), np.array([1.0, -1.0])) is None
    # The denominators may as well be zero, so the ratio has no bound.
    unclear = ratio_interval(np.array([1.0, 2.0, 1.5]), np.array([1.0, -1.0, 0.5]))
    assert (unclear.low, unclear.high) == (None, None)
