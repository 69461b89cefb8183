"""Sound and its pictures as data URIs: 16-bit WAV and spectrograms as palette PNG.

Waveforms are (sample). The player's script draws the axes; a picture holds nothing but levels.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy import ndarray

from hasim.acoustics.audio_file import wav_bytes

LEVELS = 48
COLUMNS = 600
COLOURS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
"""From quiet to loud, told apart by every reader and in print (viridis, van der Walt and Smith)."""


def wav_uri(waveforms: ndarray, sample_rate_hz: int) -> str:
    """(channel, sample) at full scale 1 as a 16-bit WAV file; beyond full scale it is clipped."""
    return uri("audio/wav", wav_bytes(waveforms, sample_rate_hz, "PCM_16"))


def spectrogram_uri(levels_db: ndarray, range_db: float) -> str:
    """(bin, column) in dB, 0 the loudest that is told apart, as a PNG with the high bins on top.

    Neighbouring bins and columns share a pixel, which is as bright as the loudest of them.
    """
    bins, columns = levels_db.shape
    bins -= bins % 2
    along = -(-columns // COLUMNS)
    filled = ((0, 0), (0, -columns % along))
    levels_db = np.pad(levels_db[:bins], filled, constant_values=-np.inf)
    loudest = levels_db.reshape(bins // 2, 2, -1, along).max(axis=(1, 3))
    share = np.clip(loudest / range_db + 1, 0, 1)
    return uri("image/png", _png(np.round(share * (LEVELS - 1)).astype(np.uint8)[::-1]))


def uri(kind: str, content: bytes) -> str:
    """A file as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _png(numbers: ndarray) -> bytes:
    """Numbers of colours (row, column) as a PNG file (RFC 2083: signature and four chunks)."""
    rows, columns = numbers.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)  # 8 bits per pixel, palette
    unfiltered = np.pad(numbers, ((0, 0), (1, 0))).tobytes()  # every row begins with its filter, 0
    chunks = {b"IHDR": header, b"PLTE": _palette(), b"IDAT": zlib.compress(unfiltered, 9)}
    packed = b"".join(_chunk(name, data) for name, data in [*chunks.items(), (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + packed


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _palette() -> bytes:
    anchors = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS])
    at = np.linspace(0, len(anchors) - 1, LEVELS)
    mixed = [np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.round(np.stack(mixed, axis=-1)).astype(np.uint8).tobytes()
