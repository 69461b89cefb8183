"""Losses of listed frames, for tests."""

from __future__ import annotations

from typing import Annotated, Literal

from numpy.random import Generator
from pydantic import Field

from hasim.config.spec import Spec
from hasim.simulation.link.losses.process import Direction, LossProcess


class LossList(Spec):
    """Exactly the listed frames are lost, by direction."""

    kind: Literal["list"] = "list"
    left_to_right: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Frames whose packets from the left ear are lost."""
    right_to_left: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Frames whose packets from the right ear are lost."""

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """Every attempt of every piece of a listed frame is lost, and nothing else."""
        listed = frozenset(getattr(self, direction))
        return lambda frame, start_ns, bits: frame in listed

    def asked(self, frames: int) -> float:
        """Share of the run's frames that are listed."""
        listed = (*self.left_to_right, *self.right_to_left)
        return sum(frame < frames for frame in listed) / (2 * frames)
