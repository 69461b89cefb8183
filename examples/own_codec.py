"""Bring your own codec: A-law companding (ITU-T G.711), 8 bits a sample.

The entry point `alaw = "my_package:ALaw"` in the group `hasim.codecs` makes it a `kind` everywhere.
"""

from typing import Literal

import numpy as np

import hasim

A = 87.6


class ALaw(hasim.Codec):
    """Logarithmic above 1/87.6 of full scale, linear below."""

    kind: Literal["alaw"] = "alaw"
    domain: Literal["samples"] = "samples"
    headroom_db: float = 24.0

    def encode_decode(self, values, full_scale):
        """`values` (..., packet, sample) as the receiver decodes them."""
        x = np.clip(np.abs(values) / np.maximum(full_scale, 1e-12), 0, 1) * A
        y = np.where(x < 1, x, 1 + np.log(np.maximum(x, 1))) / (1 + np.log(A))
        y = (np.minimum(np.floor(y * 128), 127) + 0.5) / 128 * (1 + np.log(A))
        return np.copysign(np.where(y < 1, y, np.exp(y - 1)) / A * full_scale, values)

    def bits_for(self, numbers, parts=1):
        """Payload bits of a packet."""
        return 8 * numbers * parts


if __name__ == "__main__":
    settings = {"duration_s": 2, "metrics": ["si_sdr"]}
    print(hasim.run("scenarios/noise_90deg.yaml", set=settings, codec=ALaw()))
