"""No loss at all."""

from __future__ import annotations

from typing import Literal

from numpy.random import Generator

from hasim.config.spec import Spec
from hasim.simulation.link.losses.process import Direction, LossProcess


class NoLoss(Spec):
    """Every packet arrives."""

    kind: Literal["none"] = "none"

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """Never lost."""
        return lambda frame, start_ns, bits: False

    def asked(self, frames: int) -> float:
        """Share of attempts lost in the long run."""
        return 0.0
