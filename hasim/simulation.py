"""SimPy between programs and timeline: two ears and a link, played in integer nanoseconds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hasim.spec import Spec


class PlayoutSpec(Spec):
    """When output is due, how long a frame waits for the partner, what is heard instead of a late frame."""

    delay_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to its playout; auto: the smallest that the programs and a loss-free link need."""
    wait_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to giving up on the partner's packet; auto: as above."""
    missed: Literal["bypass", "mute"] = "bypass"
    """In place of a frame not ready in time: the reference microphone as it is, or silence."""
