"""Ledger of bytes: what lies in which memory of a device, and what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Item:
    """Something that occupies `bytes` of a region: weights may lie in "nvm", state and buffers only in "ram"."""

    name: str
    bytes: int
    region: Literal["ram", "nvm"] = "ram"
