"""Random generators by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np


def random_streams(seed: int) -> Callable[[str], np.random.Generator]:
    """stream(name): a fresh random generator for each name, so that one part of a run can change
    without changing the random numbers of the others."""

    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))

    return stream
