"""What every loss model gives: a decision for every attempt, in the order of the attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Direction = Literal["left_to_right", "right_to_left"]
DIRECTIONS: tuple[Direction, Direction] = ("left_to_right", "right_to_left")
"""By sending ear."""

LossProcess = Callable[[int], bool]
"""lost(frame): is the next attempt of this direction, which carries a piece of `frame`, lost?

One call per attempt. A stochastic process takes the same number of random values for every attempt
and looks at nothing else, so attempt i of a direction has the same fate whatever the packets carry.
"""
