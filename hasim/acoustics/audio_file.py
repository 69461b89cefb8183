"""Audio files, read with distrust: header before data, data against header.

Signals are (channel, sample). Formats: WAV and RF64 (PCM of 16, 24, 32 bits, float, double), FLAC,
Ogg with Vorbis or Opus. Other formats and codings of libsndfile stay closed: its rarer decoders
have a history of memory errors.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.config.spec import InputError, LimitError

if TYPE_CHECKING:
    pass

MAX_DURATION_S = 600
MAX_CHANNELS = 64
MAX_RATE_HZ = 192_000
MIN_RATE_HZ = 4_000
MAX_NUMBERS = 2**28  # 2 GiB as float64

_PCM = {"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
_CODINGS = {
    "WAV": _PCM,
    "WAVEX": _PCM,
    "RF64": _PCM,
    "FLAC": {"PCM_S8", "PCM_16", "PCM_24"},
    "OGG": {"VORBIS", "OPUS"},
}
_BLOCK_FRAMES = 2**16


def read_audio(path: Path, channels: int | None = None) -> tuple[ndarray, int]:
    """Read a file: its first `channels` channels (None: all), (channel, sample), and its rate.

    Rate in Hz, full scale 1. All channels are checked, also those left out. A truncated Ogg file
    cannot be told from a short one; every other file must hold what its header says.

    Raises:
        InputError: the file is missing, is no audio file, has another format, or holds no samples,
            fewer than its header says, or numbers that are not finite.
        LimitError: more than 600 s, or more than 2**28 numbers.
    """
    import soundfile

    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected an audio file, found {found}")
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file)
            kept = file.channels if channels is None else channels
            if kept > file.channels:
                raise InputError(
                    f"{path}: expected at least {kept} channels, found {file.channels}"
                )
            if kept * file.frames > MAX_NUMBERS:
                raise LimitError(
                    f"{path}: {kept} channels of {file.frames} samples, "
                    f"the limit is {MAX_NUMBERS} numbers"
                )
            return _read_data(path, file, kept), file.samplerate
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: expected an audio file (WAV, FLAC, Ogg), found {_cause(path, error)}"
        ) from error


def _check_header(path: Path, file: Any) -> None:
    """Refuse what the header alone shows to be wrong."""
    codings = _CODINGS.get(file.format, set())
    if file.subtype not in codings:
        raise InputError(
            f"{path}: expected WAV or RF64 ({', '.join(sorted(_PCM))}), FLAC, or Ogg "
            f"(VORBIS, OPUS), found {file.format} ({file.subtype})"
        )
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        raise InputError(
            f"{path}: expected a sample rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, "
            f"found {file.samplerate} Hz"
        )
    if not 1 <= file.channels <= MAX_CHANNELS:
        raise InputError(
            f"{path}: expected 1 to {MAX_CHANNELS} channels, found {file.channels} channels"
        )
    # libsndfile silently shortens a truncated WAV file to what is there, but says so in its log.
    shortened = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if shortened:
        raise InputError(
            f"{path}: the header says {shortened[1]} bytes of sound, found {shortened[2]}: "
            "the file is truncated"
        )
    if file.frames == 0:
        raise InputError(f"{path}: expected sound, found no samples")
    if file.frames > MAX_DURATION_S * file.samplerate:
        raise LimitError(
            f"{path}: {file.frames / file.samplerate:.0f} s of sound, "
            f"the limit is {MAX_DURATION_S} s; cut the file"
        )


def _read_data(path: Path, file: Any, kept: int) -> ndarray:
    """Read block by block, so that channels left out never pile up in memory."""
    signal = np.empty((kept, file.frames))
    read = 0
    for block in file.blocks(_BLOCK_FRAMES, always_2d=True):  # (sample, channel)
        finite = np.isfinite(block)
        if not finite.all():
            sample, channel = np.argwhere(~finite)[0]
            raise InputError(
                f"{path}: expected finite numbers, found {block[sample, channel]} at sample "
                f"{read + sample} of channel {channel}"
            )
        signal[:, read : read + len(block)] = block[:, :kept].T
        read += len(block)
    if read != file.frames:
        raise InputError(
            f"{path}: the header says {file.frames} samples, found {read}: the file is truncated"
        )
    return signal


def _cause(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "an empty file"
    return str(getattr(error, "error_string", error)).rstrip(". ").lower()


def peak(waveforms: Iterable[ndarray]) -> float:
    return max((float(np.max(np.abs(x), initial=0.0)) for x in waveforms), default=0.0)


def wav_bytes(waveform: ndarray, sample_rate_hz: int, subtype: str) -> bytes:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, waveform.T, sample_rate_hz, format="WAV", subtype=subtype)
    return content.getvalue()
