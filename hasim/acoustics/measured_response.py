"""Measured room responses to the four microphones: WAV, FLAC or SOFA in place of room and head.

Responses are (ear, mic, tap), in the file as left front, left rear, right front, right rear.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from hasim.acoustics import sofa
from hasim.acoustics.audio_file import read_audio
from hasim.acoustics.room import EARLY_S, Response
from hasim.config.spec import InputError, LimitError

DIRECT_S = 0.0025
"""The direct sound ends this long after its onset: before the floor, the nearest wall, answers."""
MAX_DURATION_S = 20.0


def read(path: Path, direction: ndarray, sample_rate_hz: int) -> Response:
    """The response in a file with four channels, or in a SOFA file with four receivers.

    A SOFA file may hold several directions: the one nearest to `direction` (xyz, seen from the
    listener) is taken. Direct sound and early sound are cut out with a half-cosine of 0.5 ms
    behind the onset at each microphone.

    Raises InputError or LimitError where the file is not such a file.
    """
    if path.suffix.lower() == ".sofa":
        file = sofa.read(path, sample_rate_hz)
        firs = file.firs[file.nearest(direction)]
    else:
        signal, rate_hz = read_audio(path)
        if signal.shape[-1] > MAX_DURATION_S * rate_hz:
            raise LimitError(
                f"{path}: {signal.shape[-1] / rate_hz:.0f} s of response, "
                f"the limit is {MAX_DURATION_S:g} s"
            )
        firs = sofa.resample_responses(signal, rate_hz, sample_rate_hz)
    if len(firs) != 4:
        raise InputError(
            f"{path}: expected 4 channels (left front, left rear, right front, right rear), "
            f"found {len(firs)}"
        )
    onsets = np.array([sofa.first_onset(fir) for fir in firs])
    direct, early = (
        firs * _until(onsets + length_s * sample_rate_hz, firs.shape[-1], sample_rate_hz)
        for length_s in (DIRECT_S, EARLY_S)
    )
    return Response(*(part.reshape(2, 2, -1) for part in (direct, early, firs)))


def _until(ends: ndarray, taps: int, sample_rate_hz: int) -> ndarray:
    """Windows (mic, tap) that are 1 before and 0 after their end."""
    fade = 0.0005 * sample_rate_hz
    place = np.clip((np.arange(taps) - ends[:, None]) / fade + 0.5, 0, 1)
    return 0.5 + 0.5 * np.cos(np.pi * place)
