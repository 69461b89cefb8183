"""The two ears, in the order of the first axis of every array."""

from __future__ import annotations

EARS = ("left", "right")
