"""Sound and its pictures as data URIs: 16-bit WAV and spectrograms as palette PNG.

Waveforms are (sample). The player's script draws the axes; a picture holds nothing but levels.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy import ndarray

from hasim.acoustics.audio_file import wav_bytes

LEVELS = 48
COLUMNS = 600
COLOURS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
"""From quiet to loud: viridis by van der Walt and Smith, which all readers can tell apart, in print
as well."""


def wav_uri(waveforms: ndarray, sample_rate_hz: int) -> str:
    """(channel, sample) at full scale 1 as a 16-bit WAV file; beyond full scale it is clipped."""
    return uri("audio/wav", wav_bytes(waveforms, sample_rate_hz, "PCM_16"))


def spectrogram_uri(levels_db: ndarray, range_db: float) -> str:
    """Levels (bin, column) in dB as a PNG with the high bins on top; from 0 dB on all is brightest.

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
    """Numbers of colours (row, column) as a PNG file with a palette, 8 bits per pixel."""
    from PIL import Image

    rows, columns = numbers.shape
    image = Image.frombytes("P", (columns, rows), numbers.tobytes())
    image.putpalette(_palette())
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=9)
    return content.getvalue()


def _palette() -> bytes:
    anchors = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS])
    at = np.linspace(0, len(anchors) - 1, LEVELS)
    mixed = [np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.round(np.stack(mixed, axis=-1)).astype(np.uint8).tobytes()
