"""The contract of loss models: a decision for every attempt, in the order of the attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, Literal, TypeVar

Direction = Literal["left_to_right", "right_to_left"]
DIRECTIONS: tuple[Direction, Direction] = ("left_to_right", "right_to_left")
"""By sending ear."""

LossProcess = Callable[[int, int, int], bool]
"""lost(frame, start_ns, bits): whether the next attempt of this direction is lost. It carries a
piece of `frame`, begins at `start_ns`, and arrives only if none of its `bits` is wrong.

One call per attempt. A process of attempts draws the same number of random values for every attempt
and ignores the arguments, so attempt i of a direction is lost or not whatever the packets carry. A
process of time has a state for every moment, with or without attempts.
"""

MS_NS = 1_000_000
T = TypeVar("T")


class InTime(Generic[T]):
    """The states of a process, one for every time step from 0 on, drawn when first needed."""

    def __init__(self, states: Iterator[T], step_ns: int) -> None:
        self._states = states
        self._step_ns = step_ns
        self._known: list[T] = []

    def at(self, time_ns: int) -> T:
        """The state at `time_ns`, which may be before times of earlier calls."""
        step = time_ns // self._step_ns
        if step >= len(self._known):
            self._known.extend(islice(self._states, step + 1 - len(self._known)))
        return self._known[step]
