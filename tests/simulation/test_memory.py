"""The ledger of bytes."""

from __future__ import annotations

from hasim.simulation.device.memory import Item, MemoryLedger


def test_case_34_weights_fit_only_where_there_is_non_volatile_memory() -> None:
    """0.508 MB of int8 weights on a part with 256 kB of RAM and 1 MB of NVM."""
    weights, buffers = 508_000, Item("buffers", 100_000)
    in_ram = MemoryLedger((Item("weights", weights, "ram"), buffers), ram_kb=256, nvm_kb=1024)
    in_nvm = MemoryLedger((Item("weights", weights, "nvm"), buffers), ram_kb=256, nvm_kb=1024)
    assert not in_ram.fits
    assert in_nvm.fits


def test_shortage_is_exact_and_full_to_the_last_byte_fits() -> None:
    full = MemoryLedger((Item("a", 1024), Item("b", 1024)), ram_kb=2, nvm_kb=1)
    assert full.fits
    assert full.shortage_kb("ram") == 0
    over = MemoryLedger((*full.items, Item("c", 512)), ram_kb=2, nvm_kb=1)
    assert not over.fits
    assert over.shortage_kb("ram") == 0.5
    assert over.needed_bytes("ram") == 2560
    assert over.needed_bytes("nvm") == 0
