"""Measured responses to the four microphones from WAV, FLAC or SOFA, in place of room and head.

Responses are (ear, mic, tap); channels of the file are left front, left rear, right front, right
rear.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy import ndarray

from hasim.acoustics import sofa
from hasim.acoustics.audio_file import read_audio
from hasim.acoustics.room import EARLY_S, Response
from hasim.config.spec import InputError

DIRECT_S = 0.0025
"""The direct sound ends this long after its onset: before the floor, the nearest wall, answers."""
MAX_DURATION_S = 20.0
"""Longest response; the decay of a cathedral fits."""


def read(path: Path, direction: ndarray, sample_rate_hz: int) -> Response:
    """The response in an audio file with four channels, or in a SOFA file with four receivers.

    A SOFA file may hold several directions: the one nearest to `direction` (xyz, seen from the
    listener) is taken. Direct sound and early sound end with a half-cosine of 0.5 ms, `DIRECT_S`
    and `room.EARLY_S` after the onset at each microphone.

    Raises:
        InputError: the file cannot be used, or has another number of channels.
        LimitError: longer than `MAX_DURATION_S`, or a SOFA file of more than 512 MiB.
    """
    if path.suffix.lower() == ".sofa":
        file = sofa.read(path, sample_rate_hz)
        firs = file.firs[file.nearest(direction)]
    else:
        signal, rate_hz = read_audio(path, max_duration_s=MAX_DURATION_S)
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
    phase = np.clip((np.arange(taps) - ends[:, None]) / fade + 0.5, 0, 1)
    return 0.5 + 0.5 * np.cos(np.pi * phase)
