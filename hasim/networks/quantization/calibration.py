"""Magnitudes to find activation ranges on: the bundled talkers in the bundled noises.

Arrays are (scene, channel, frame, bin), as the networks' input.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.acoustics import sources
from hasim.dsp import stft
from hasim.dsp.stft import SAMPLE_RATE_HZ
from hasim.networks.front_end import magnitude_scale

NOISES: tuple[sources.Recording, ...] = (
    "noise_market",
    "noise_harbour",
    "noise_rain",
    "noise_river",
)
# Of the talkers.
LEVELS_DBFS = (-45.0, -35.0, -30.0, -40.0)
# At the own ear of the even scenes.
SNRS_DB = (-5.0, 0.0, 5.0, 10.0)
# The noise is louder at the other ear.
NOISE_ELSEWHERE_DB = 6.0
SECONDS = 4


def demo_magnitudes(channels: int, bins: int) -> ndarray:
    """Each of four talkers in a noise, seen from both ears: 8 scenes of 4 s, float32.

    Channel 0 is the own ear, channel 1 (of two) the other one; the ears differ in the noise level
    alone. Scaled to the window energy of the training.
    """
    front_end = stft.FrontEndSpec(window=2 * (bins - 1), hop=bins - 1)
    rng = np.random.default_rng(0)
    samples = SECONDS * SAMPLE_RATE_HZ
    found = []
    scenes = zip(sources.TALKERS, NOISES, LEVELS_DBFS, SNRS_DB, strict=True)
    for talker, noise, level_dbfs, snr_db in scenes:
        speech, sound = (
            sources.render(sources.BundledSource(name=name), samples, SAMPLE_RATE_HZ, rng)
            for name in (talker, noise)
        )
        ears = [
            10 ** (level_dbfs / 20) * (speech + 10 ** ((louder - snr_db) / 20) * sound)
            for louder in (0.0, NOISE_ELSEWHERE_DB)
        ]
        found += [ears, ears[::-1]]
    spectra = stft.analyse(np.array(found)[:, :channels], front_end)
    magnitudes = magnitude_scale(front_end) * np.abs(spectra)
    return np.swapaxes(magnitudes, -1, -2).astype(np.float32)
