"""Bring your own algorithm: spectral subtraction of the larger of both ears' noise floors."""

from typing import ClassVar, Literal

import numpy as np

import hasim


class Subtraction(hasim.FrameByFrame):
    kind: Literal["subtraction"] = "subtraction"
    least_gain: float = 0.2
    macs_per_frame: ClassVar[int] = 8 * 257
    ram_bytes: ClassVar[int] = 4 * 257

    def start(self, ear):
        return Stepper(self.least_gain)


class Stepper:
    def __init__(self, least_gain):
        self.least_gain, self.floor = least_gain, None

    def step(self, mics, partner):
        """(mic, bin) and the partner's last floor -> floor for the partner, output (bin,)."""
        level = np.abs(mics[0])
        # Minimum tracking: up by 1 % a frame, down at once.
        self.floor = level if self.floor is None else np.minimum(1.01 * self.floor, level)
        floor = self.floor if partner is None else np.maximum(self.floor, np.abs(partner))
        gain = np.maximum(1 - floor / np.maximum(level, 1e-12), self.least_gain)
        return self.floor.astype(complex), gain * mics[0]


if __name__ == "__main__":
    settings = {"link.codec.domain": "spectrum", "link.rate_kbps": 2000}
    settings |= {"duration_s": 4, "metrics": ["si_sdr"]}
    print(hasim.run("scenarios/noise_90deg.yaml", set=settings, algorithm=Subtraction()))
