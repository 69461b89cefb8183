"""The one reader and writer of audio files, and the one resampler.

Signals are (channel, sample). Formats: WAV and RF64 (PCM of 16, 24, 32 bits, float, double), FLAC,
Ogg with Vorbis or Opus. Files come from anywhere, so the header is checked before data are read,
and the data against the header. Other formats and codings of libsndfile are refused: its rarer
decoders have a history of memory errors.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray

from hasim.config.spec import InputError, LimitError

MAX_DURATION_S = 600
MAX_CHANNELS = 64
MAX_RATE_HZ = 192_000
MIN_RATE_HZ = 4_000
MAX_NUMBERS = 2**28
"""2 GiB as float64."""

_PCM = {"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
_CODINGS = {
    "WAV": _PCM,
    "WAVEX": _PCM,
    "RF64": _PCM,
    "FLAC": {"PCM_S8", "PCM_16", "PCM_24"},
    "OGG": {"VORBIS", "OPUS"},
}
_BLOCK_FRAMES = 2**16


def read_audio(
    path: Path, channels: int | None = None, max_duration_s: float | None = MAX_DURATION_S
) -> tuple[ndarray, int]:
    """The first `channels` channels of a file (None: all), float64 (channel, sample), and its rate.

    Rate in Hz, full scale 1. All channels are checked, also those left out. A truncated Ogg file
    looks like a short one; every other file must hold what its header says. `max_duration_s` None:
    only the number of samples is limited.

    Raises:
        InputError: the file is missing, is no audio file, has another format, or holds no samples,
            fewer than its header says, or numbers that are not finite.
        LimitError: longer than `max_duration_s`, or more than 2**28 numbers.
    """
    with _opened(path, max_duration_s) as file:
        kept = file.channels if channels is None else channels
        if kept > file.channels:
            raise InputError(f"{path}: expected at least {kept} channels, found {file.channels}")
        if kept * file.frames > MAX_NUMBERS:
            raise LimitError(
                f"{path}: {kept} channels of {file.frames} samples, "
                f"the limit is {MAX_NUMBERS} numbers"
            )
        return _read_data(path, file, kept), file.samplerate


def read_length(path: Path, max_duration_s: float | None = MAX_DURATION_S) -> tuple[int, int]:
    """Samples per channel and rate in Hz, as the header of a file says; errors as `read_audio`."""
    with _opened(path, max_duration_s) as file:
        return file.frames, file.samplerate


def find_audio(place: Path) -> list[Path]:
    """Every audio file below a folder by its ending, in alphabetical order; a file is itself.

    Formats that `read_audio` refuses are among them: nothing is left out in silence.
    """
    import soundfile

    endings = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus"}
    found = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [file for file in found if file.is_file() and file.suffix.lower() in endings]


def resample(signal: ndarray, from_hz: int, to_hz: int) -> ndarray:
    """A signal (..., sample) at another sample rate; frequencies above half of it are removed.

    Polyphase filter, scipy.signal.resample_poly with its own window (Kaiser, beta 5).
    """
    if from_hz == to_hz:
        return signal
    from scipy.signal import resample_poly

    divisor = gcd(from_hz, to_hz)
    return resample_poly(signal, to_hz // divisor, from_hz // divisor, axis=-1)


def peak(waveforms: Iterable[ndarray]) -> float:
    """The largest absolute value of all; 0 where there is none."""
    return max((float(np.max(np.abs(x), initial=0.0)) for x in waveforms), default=0.0)


def wav_bytes(
    waveform: ndarray, sample_rate_hz: int, subtype: Literal["PCM_16", "PCM_24"]
) -> bytes:
    """A waveform (channel, sample) at full scale 1 as a WAV file; beyond full scale it is clipped.

    The same samples are the same bytes.
    """
    import soundfile

    if subtype == "PCM_16":
        # libsndfile would round down, half a step more noise than in rounding
        waveform = np.clip(np.rint(32767 * waveform), -32768, 32767).astype(np.int16)
    content = io.BytesIO()
    soundfile.write(content, waveform.T, sample_rate_hz, format="WAV", subtype=subtype)
    return content.getvalue()


@contextmanager
def _opened(path: Path, max_duration_s: float | None) -> Iterator[Any]:
    """A file whose header was checked; errors of libsndfile as InputError."""
    import soundfile

    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected an audio file, found {found}")
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file, max_duration_s)
            yield file
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path}: expected an audio file (WAV, FLAC, Ogg), found {_cause(path, error)}"
        ) from error


def _check_header(path: Path, file: Any, max_duration_s: float | None) -> None:
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
    if max_duration_s is not None and file.frames > max_duration_s * file.samplerate:
        raise LimitError(
            f"{path}: {file.frames / file.samplerate:.0f} s of sound, "
            f"the limit is {max_duration_s:g} s; cut the file"
        )


def _read_data(path: Path, file: Any, kept: int) -> ndarray:
    """Read block by block, so that channels left out take no memory."""
    signal = np.empty((kept, file.frames))
    read = 0
    for block in file.blocks(_BLOCK_FRAMES, always_2d=True):
        # block: (sample, channel)
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


def ogg_bytes(waveform: ndarray, sample_rate_hz: int, compression: float = 0.8) -> bytes:
    """(channel, sample) as Ogg Vorbis, with losses; beyond full scale 1 it is clipped.

    `compression` is from 0 (large and good) to 1; 0.8 is about 40 kbit/s in stereo at 16 kHz.
    """
    import soundfile

    content = io.BytesIO()
    with soundfile.SoundFile(
        content,
        "w",
        sample_rate_hz,
        len(waveform),
        format="OGG",
        subtype="VORBIS",
        compression_level=compression,
    ) as file:
        # libsndfile overflows its stack where Vorbis is given much at once.
        for begin in range(0, waveform.shape[-1], _BLOCK_FRAMES):
            file.write(np.clip(waveform[:, begin : begin + _BLOCK_FRAMES].T, -1, 1))
    return content.getvalue()
