"""Bring your own algorithm: a spectral subtraction per ear that asks the partner how loud its
noise is.

Run it with `python examples/own_node.py`.
"""

from typing import ClassVar, Literal

import numpy as np

import hasim
from hasim.nodes import FrameByFrame


class Subtraction(FrameByFrame):
    """Subtract a tracked noise floor, the larger of both ears' in each bin."""

    kind: Literal["subtraction"] = "subtraction"
    floor: float = 0.2

    macs_per_frame: ClassVar[int] = 8 * 257
    ram_bytes: ClassVar[int] = 4 * 257

    def start(self, ear: int) -> "Stepper":
        return Stepper(self.floor)


class Stepper:
    def __init__(self, floor: float) -> None:
        self.floor, self.noise = floor, None

    def step(self, mics, partner):
        level = np.abs(mics[0])
        rising = level if self.noise is None else np.minimum(1.01 * self.noise, level)
        self.noise = rising  # minimum tracking: up by 1 % a frame, down at once
        noise = self.noise if partner is None else np.maximum(self.noise, np.abs(partner))
        gain = np.maximum(1 - noise / np.maximum(level, 1e-12), self.floor)
        return self.noise.astype(complex), gain * mics[0]


if __name__ == "__main__":
    spectra = {"link.codec.domain": "spectrum", "link.rate_kbps": 2000}
    result = hasim.run("scenarios/noise_90deg.yaml", set=spectra, algorithm=Subtraction())
    print(result)
