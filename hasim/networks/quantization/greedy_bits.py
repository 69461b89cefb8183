"""Greedy search for the bits of each weight matrix under a limit of bytes, of quality, or of both.

No networks and no sound here: matrices are names with sizes, quality is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

WIDTHS = (8, 6, 5, 4, 3, 2)

Measure = Callable[[Mapping[str, int]], float]


@dataclass(frozen=True)
class BitAllocation:
    """Bits of each matrix, their size and their loss, and whether the limits hold."""

    bits: dict[str, int]
    bytes: int
    loss_db: float
    within_limits: bool
    # Of each step: matrix, its new bits, bytes of the network, loss in dB.
    steps: tuple[tuple[str, int, int, float], ...]


def greedy_bits(
    sizes: Mapping[str, int],
    measure: Measure,
    *,
    other_bytes: int = 0,
    max_bytes: int | None = None,
    max_loss_db: float | None = None,
    widths: tuple[int, ...] = WIDTHS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BitAllocation:
    """Start all matrices at the first of `widths`; repeatedly narrow the one that loses least per
    byte saved.

    The loss of a matrix at a width is measured once, with all others at the first width, and
    assumed not to depend on them; the joint loss is measured at every step. A step beyond
    `max_loss_db` is undone and its matrix is not narrowed again. Without `max_loss_db` the search
    ends when `max_bytes` are reached, without `max_bytes` when nothing can be narrowed further.
    `sizes` are numbers of weights per matrix, `other_bytes` the constant rest, `measure` gives the
    loss in dB of bits per matrix. ValueError without any limit.
    """
    if max_bytes is None and max_loss_db is None:
        raise ValueError("a search needs a limit: of bytes, of the loss in dB, or both")
    bits = dict.fromkeys(sizes, widths[0])
    loss = start = measure(bits)
    total = len(sizes) * (len(widths) - 1)
    alone = {(name, widths[0]): 0.0 for name in sizes}
    for number, name in enumerate(sizes):
        for index, width in enumerate(widths[1:]):
            alone[name, width] = measure({**bits, name: width}) - start
            progress(number * (len(widths) - 1) + index + 1, total)
    steps: list[tuple[str, int, int, float]] = []
    fixed: set[str] = set()
    while max_bytes is None or other_bytes + _bytes(sizes, bits) > max_bytes:
        prices: dict[str, tuple[float, int]] = {}
        for name in sizes:
            if name not in fixed and bits[name] != widths[-1]:
                width = widths[widths.index(bits[name]) + 1]
                saved = sizes[name] * (bits[name] - width)
                # At the same price, the larger step.
                prices[name] = ((alone[name, width] - alone[name, bits[name]]) / saved, -saved)
        if not prices:
            break
        name = min(prices, key=prices.__getitem__)
        tried = {**bits, name: widths[widths.index(bits[name]) + 1]}
        tried_loss = measure(tried)
        if max_loss_db is not None and tried_loss > max_loss_db:
            fixed.add(name)
            continue
        bits, loss = tried, tried_loss
        steps.append((name, bits[name], other_bytes + _bytes(sizes, bits), loss))
    size = other_bytes + _bytes(sizes, bits)
    fits = (max_bytes is None or size <= max_bytes) and (max_loss_db is None or loss <= max_loss_db)
    return BitAllocation(bits, size, loss, fits, tuple(steps))


def _bytes(sizes: Mapping[str, int], bits: Mapping[str, int]) -> int:
    return sum(-(-size * bits[name] // 8) for name, size in sizes.items())
