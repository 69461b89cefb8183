"""Rooms: image sources of a shoebox, seen by all microphones of one head. The door to pyroomacoustics."""

from __future__ import annotations

from pydantic import Field

from hasim.spec import Spec


class RoomSpec(Spec):
    """A shoebox room by size and reverberation time, and where the listener stands in it."""

    size_m: tuple[float, float, float] = (6.0, 4.5, 2.7)
    """Length (x), width (y), height (z)."""
    t60_s: float = Field(0.3, ge=0, le=2)
    """Reverberation time asked for; 0: no walls at all."""
    listener_m: tuple[float, float, float] | None = None
    """Centre of the head; null: a little off the middle of the room, 1.2 m high."""
    heading_deg: float = Field(0.0, ge=-180, le=180)
    """Where the listener looks, counter-clockwise from the x axis."""
