"""Bring your own mask network: a gain over a tracked noise floor, in place of the MN-DNN."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import hasim


@dataclass(frozen=True)
class FloorTracker:
    rise: float = 1.02
    """How fast the noise floor may rise, per frame of 16 ms."""
    cost: ClassVar = hasim.NetworkCost(macs=6 * 257, weight_bytes=4, state_bytes=4 * 257)

    def __call__(self, spectra):
        """Complex (ear, channel, bin, frame) -> masks (ear, bin, frame) in [0, 1]."""
        power = np.mean(np.abs(spectra) ** 2, axis=1)
        floor = np.full(power.shape[:2], np.inf)
        masks = np.empty(power.shape)
        for frame in range(power.shape[-1]):
            # Minimum tracking: up slowly, down at once.
            floor = np.minimum(self.rise * floor, power[..., frame])
            masks[..., frame] = 1 - floor / np.maximum(power[..., frame], 1e-12)
        return masks


if __name__ == "__main__":
    network = FloorTracker()
    settings = {"duration_s": 4, "metrics": ["si_sdr"]}
    result = hasim.run("scenarios/noise_90deg.yaml", set=settings, networks={"mn_dnn": network})
    print(result)
    print(f"network: {result.numbers['network_mmac_per_s']:.3f} MMAC/s")
