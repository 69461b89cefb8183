"""Front end of the training of all mask networks: 512 samples of Hann every 256 at 16 kHz."""

from __future__ import annotations

import math

from hasim.dsp.stft import FrontEndSpec, window_energy

FRONT_END = FrontEndSpec()

NOISE_MAGNITUDE = math.sqrt(window_energy(FRONT_END))
"""STFT magnitude (root mean square) of white noise of unit power: sqrt(192), as a periodic Hann
window of 512 samples has the energy 192."""


def magnitude_scale(front_end: FrontEndSpec) -> float:
    """Factor that brings STFT magnitudes of another window to those of the training."""
    return math.sqrt(window_energy(FRONT_END) / window_energy(front_end))
