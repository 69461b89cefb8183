"""Random numbers by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np


def random_streams(seed: int) -> Callable[[str], np.random.Generator]:
    """A generator for each name: a change in one station leaves the others' random numbers
    alone."""

    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))

    return stream
