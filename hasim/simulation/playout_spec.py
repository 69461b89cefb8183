"""When a frame is played, and what is played if it is not finished."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hasim.config.spec import Spec


class PlayoutSpec(Spec):
    """When output is due, how long a frame waits for the partner, what is heard of a late frame."""

    delay_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to its playout; auto: the smallest for a loss-free link."""
    wait_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to giving up on a packet; auto: as above, by ear and channel."""
    missed: Literal["bypass", "mute"] = "bypass"
    """In place of a frame not ready in time: the reference microphone as it is, or silence."""
