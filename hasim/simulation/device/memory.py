"""What lies in which memory of a device, and what does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Region = Literal["ram", "nvm"]
REGIONS: tuple[Region, ...] = get_args(Region)


@dataclass(frozen=True)
class Item:
    """A block of memory: weights may lie in "nvm", state and buffers only in "ram"."""

    name: str
    bytes: int
    region: Region = "ram"


@dataclass(frozen=True)
class MemoryLedger:
    """The blocks of one device, and the memory that it has; 1 kB is 1024 bytes.

    >>> items = Item("weights", 700_000, "nvm"), Item("buffers", 300_000)
    >>> ledger = MemoryLedger(items, ram_kb=256, nvm_kb=1024)
    >>> ledger.needed_bytes("ram"), ledger.fits
    (300000, False)
    >>> round(ledger.shortage_kb("ram"), 2), ledger.shortage_kb("nvm")
    (36.97, 0.0)
    """

    items: tuple[Item, ...]
    ram_kb: float
    nvm_kb: float

    def room_bytes(self, region: Region) -> float:
        """Size of `region` in bytes."""
        return 1024 * {"ram": self.ram_kb, "nvm": self.nvm_kb}[region]

    def needed_bytes(self, region: Region) -> int:
        """Bytes needed in `region`."""
        return sum(item.bytes for item in self.items if item.region == region)

    def shortage_kb(self, region: Region) -> float:
        """kB missing in `region`, 0 where everything fits."""
        return max(0.0, self.needed_bytes(region) - self.room_bytes(region)) / 1024

    @property
    def fits(self) -> bool:
        """Whether everything fits."""
        return all(self.shortage_kb(region) == 0 for region in REGIONS)
