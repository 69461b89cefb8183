"""Parameters of the Gilbert channel from a recorded trace, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GilbertFit:
    """Parameters of the simple Gilbert channel, one step per packet."""

    packets: int
    bursts: int
    """Runs of lost packets."""
    mean_loss: Estimate
    mean_burst: Estimate
    p: Estimate
    r: Estimate
    evidence: float
    """Log likelihood ratio against independent losses; above about 2 it is evidence of bursts."""


def fit_gilbert(lost: Sequence[bool]) -> GilbertFit:
    """Fit by maximum likelihood: p and r are the shares of good and bad packets before a change.

    Intervals of p and r are Wilson's; the mean burst is 1/r; that of the mean loss, p / (p + r),
    comes from those of p and r as independent errors on a logarithmic scale.

    Raises ValueError where nothing or everything was lost, or nothing changes.
    """
    flags = np.asarray(lost, dtype=bool)
    if flags.ndim != 1 or len(flags) < 2:
        raise ValueError(f"a trace needs at least two packets (got shape {flags.shape})")
    if flags.all() or not flags.any():
        what = "every" if flags.all() else "no"
        raise ValueError(f"{what} packet was lost: there are no bursts to measure")
    before, after = flags[:-1], flags[1:]
    good, bad = int(np.sum(~before)), int(np.sum(before))
    begun, ended = int(np.sum(~before & after)), int(np.sum(before & ~after))
    if begun == 0 or ended == 0:
        raise ValueError(
            "the trace has no complete burst between packets that arrived; record for longer"
        )
    p, r = _share(begun, good), _share(ended, bad)
    odds = p.value / r.value
    spread = sqrt(sum(((log(e.high) - log(max(e.low, 1e-300))) / 2) ** 2 for e in (p, r)))
    low, high = odds * np.exp(-spread), odds * np.exp(spread)
    return GilbertFit(
        packets=len(flags),
        bursts=begun + int(flags[0]),
        mean_loss=Estimate(odds / (1 + odds), float(low / (1 + low)), float(high / (1 + high))),
        mean_burst=Estimate(1 / r.value, 1 / r.high, 1 / r.low),
        p=p,
        r=r,
        evidence=_likelihood(begun, good)
        + _likelihood(ended, bad)
        - _likelihood(int(np.sum(after)), len(after)),
    )


def _share(hits: int, trials: int) -> Estimate:
    """A probability from `hits` of `trials`."""
    from scipy.stats import binomtest

    bounds = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return Estimate(hits / trials, float(bounds.low), float(bounds.high))


def _likelihood(hits: int, trials: int) -> float:
    """Logarithm of the likelihood of `hits` of `trials` at their own share."""
    misses = trials - hits
    return sum(count * log(count / trials) for count in (hits, misses) if count)
