"""Independent losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from hasim.config.spec import Spec
from hasim.simulation.link.losses.process import Direction, LossProcess


class Bernoulli(Spec):
    """Every attempt is lost with the same probability, independently."""

    kind: Literal["bernoulli"] = "bernoulli"
    probability: float = Field(0.01, ge=0, le=1)
    """Probability that an attempt is lost."""

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """Lost where a uniform value is below the probability, so that a higher one adds losses."""
        flags = independent(self.probability, rng)
        return lambda frame, start_ns, bits: next(flags)

    def asked(self, frames: int) -> float:
        """Share of attempts lost in the long run."""
        return self.probability


def independent(probability: float, rng: Generator) -> Iterator[bool]:
    """Endless independent flags, true with `probability`; one uniform value each."""
    while True:
        for uniform in rng.random(512).tolist():
            yield uniform < probability
