"""What a notebook shows of a result: its table and players."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


PLAYER_S = 10.0
"""How much of the sound a notebook gets."""
