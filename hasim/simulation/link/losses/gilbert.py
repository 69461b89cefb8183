"""Bursts: a channel with a good and a bad state (Gilbert 1960; Elliott 1963).

    p  probability of going from good to bad after a step
    r  probability of going from bad to good after a step
    k  probability that an attempt made in the good state succeeds
    h  probability that an attempt made in the bad state succeeds

The process emits from its current state and then moves, starting in the stationary distribution.
Gilbert's simple channel has k = 1 and h = 0: what is lost is the bad state itself.

A step is an attempt, or a fixed time: then the channel moves on whether or not somebody sends, and
an attempt that is repeated within a burst is lost as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from numpy.random import Generator
from pydantic import Field, model_validator

from hasim.config.presets import PresetLoss
from hasim.config.spec import Spec
from hasim.simulation.link.losses.process import MS_NS, Direction, InTime, LossProcess


class Gilbert(PresetLoss):
    """Two-state bursts by mean loss and mean burst length (Gilbert 1960), one step per attempt."""

    kind: Literal["gilbert"] = "gilbert"
    mean_loss: float = Field(0.01, ge=0, le=1)
    """Share of the steps that are lost in the long run."""
    mean_burst: float = Field(2.0, ge=1)
    """Mean number of consecutive lost steps."""
    step_ms: float | None = Field(None, gt=0, le=1000)
    """Duration of a step, with or without attempts; null: a step is an attempt."""

    @model_validator(mode="after")
    def _bursts_long_enough(self) -> Self:
        transitions(self.mean_loss, self.mean_burst)
        return self

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """Lost while the state is bad; at equal burst length, a higher loss adds losses."""
        p, r = transitions(self.mean_loss, self.mean_burst)
        return _stepped(gilbert_elliott(p, r, k=1.0, h=0.0, rng=rng), self.step_ms)

    def asked(self, frames: int) -> float:
        """Share of attempts lost in the long run."""
        return self.mean_loss


class GilbertElliott(Spec):
    """The same channel by its four probabilities, with losses in the good state and not all lost in
    the bad one (Elliott 1963)."""

    kind: Literal["gilbert_elliott"] = "gilbert_elliott"
    p: float = Field(0.02, ge=0, le=1)
    """Probability of going from good to bad after a step."""
    r: float = Field(0.25, ge=0, le=1)
    """Probability of going from bad to good after a step."""
    k: float = Field(1.0, ge=0, le=1)
    """Probability that an attempt in the good state succeeds."""
    h: float = Field(0.0, ge=0, le=1)
    """Probability that an attempt in the bad state succeeds."""
    step_ms: float | None = Field(None, gt=0, le=1000)
    """Duration of a step, with or without attempts; null: a step is an attempt."""

    @model_validator(mode="after")
    def _it_moves(self) -> Self:
        bad_share(self.p, self.r)
        return self

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """Every attempt succeeds with the probability of the state in which it is made."""
        if self.step_ms is None:
            return _stepped(gilbert_elliott(self.p, self.r, self.k, self.h, rng), None)
        # Attempts within a step share its state; whether they are lost is drawn for each.
        outcomes, moves = rng.spawn(2)
        bad = InTime(gilbert_elliott(self.p, self.r, 1.0, 0.0, moves), round(self.step_ms * MS_NS))
        succeeds = {False: self.k, True: self.h}
        return lambda frame, start_ns, bits: bool(outcomes.random() >= succeeds[bad.at(start_ns)])

    def asked(self, frames: int) -> float:
        """Share of attempts lost in the long run."""
        return mean_loss(self.p, self.r, self.k, self.h)


def _stepped(flags: Iterator[bool], step_ms: float | None) -> LossProcess:
    if step_ms is None:
        return lambda frame, start_ns, bits: next(flags)
    lost = InTime(flags, round(step_ms * MS_NS))
    return lambda frame, start_ns, bits: lost.at(start_ns)


def transitions(mean_loss: float, mean_burst: float) -> tuple[float, float]:
    """(p, r) of the simple channel: r = 1/B, p = r L/(1 - L); if all is lost, r = 0.

    Raises ValueError where bursts would have to be less than one good attempt apart (p > 1).
    """
    if mean_loss == 1:
        return 1.0, 0.0
    shortest = mean_loss / (1 - mean_loss)
    if mean_burst < shortest * (1 - 1e-12):
        raise ValueError(
            f"mean_burst must be at least mean_loss / (1 - mean_loss) = {shortest:.6g} "
            f"for mean_loss {mean_loss:g} (got {mean_burst:g})"
        )
    return min(shortest / mean_burst, 1.0), 1 / mean_burst


def gilbert_elliott(p: float, r: float, k: float, h: float, rng: Generator) -> Iterator[bool]:
    """Endless flags of lost attempts; two uniform values each.

    Raises ValueError where p = r = 0, which has no stationary distribution.
    """
    bad = bool(rng.random() < bad_share(p, r))
    while True:
        for emit, move in rng.random((512, 2)).tolist():
            yield emit >= (h if bad else k)
            # One value for both states: a larger p or a smaller r can only add bad states.
            bad = move < (1 - r if bad else p)


def mean_loss(p: float, r: float, k: float = 1.0, h: float = 0.0) -> float:
    """Share of attempts lost: (r (1 - k) + p (1 - h)) / (p + r)."""
    bad = bad_share(p, r)
    return (1 - bad) * (1 - k) + bad * (1 - h)


def bad_share(p: float, r: float) -> float:
    """Stationary probability of the bad state, p / (p + r)."""
    if p + r == 0:
        raise ValueError(
            "p and r must not both be 0: a channel that never moves has no stationary state"
        )
    return p / (p + r)
