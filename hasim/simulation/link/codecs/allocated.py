"""Bit allocation by band: each band gets the bits that reduce the error of the filter most.

The error that rounding leaves in the receiver's output is, per bin, |w|^2 times the rounding noise,
w being the filter's weight on the exchanged channel. With D(b) the noise of a quantiser at b bits,
the best distribution of a given total is reverse water-filling on |w|^2 times the signal's power
(Srinivasan and den Brinker, "Rate-constrained beamforming in binaural hearing aids", EURASIP
Journal on Advances in Signal Processing 2009; the principle is Huang and Schultheiss 1963). Here
bits are whole numbers per band, so they are assigned one by one to the band that gains most.

The exchange multiplies each bin by |w| before the codec and divides after it, so the level that the
codec gets is already weighted.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.dsp.erb import erb_rate
from hasim.dsp.stft import SAMPLE_RATE_HZ
from hasim.simulation.link.codecs.codec import RoundingCodec
from hasim.simulation.link.codecs.pcm import round_midrise

BANDS = 24
# Of each band's scale in each packet: 64 steps of 1.5 dB.
SCALE_BITS = 6
MOST_BITS = 16


class Allocated(RoundingCodec):
    """`bits` per number on average, distributed over bands; a scale per band follows the signal."""

    kind: Literal["allocated"] = "allocated"
    bits: int = Field(4, ge=1, le=16)
    """Bits per number, on average."""
    domain: Literal["spectrum"] = "spectrum"
    """What travels: frames of spectra."""

    macs_per_number: ClassVar[tuple[int, int]] = (2, 2)
    """Both parts by the scale and the weight."""
    uses_importance: ClassVar[bool] = True

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (..., packet, bin), complex, as decoded. `full_scale` (..., 1, bin) is the level
        of each bin, known to sender and receiver, by which the bits are allocated."""
        return self._rounded(values, full_scale)[0]

    def noise_power(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """Expected power of the rounding error (..., packet, bin), from the step sizes, which the
        receiver knows; 0 in bands without bits, which are silent."""
        return self._rounded(values, full_scale)[1]

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits: the total that is allocated, and the scales."""
        return numbers * parts * self.bits + SCALE_BITS * len(band_edges(numbers)[:-1])

    def allocation(self, level: ndarray) -> ndarray:
        """Bits per part for each band, (band,), from levels (bin,): greedy, within the total."""
        edges = band_edges(len(level))
        widths = np.diff(edges)
        power = np.add.reduceat(level**2, edges[:-1])
        left = self.bits * len(level)
        bits = np.zeros(len(widths), dtype=int)
        # One more bit takes away three quarters of a band's error and costs its width.
        gain = power / widths
        while True:
            affordable = (widths <= left) & (bits < MOST_BITS) & (power > 0)
            if not affordable.any():
                return bits
            best = int(np.argmax(np.where(affordable, gain, -1.0)))
            bits[best] += 1
            gain[best] /= 4.0
            left -= widths[best]

    def _rounded(self, values: ndarray, full_scale: ndarray | float) -> tuple[ndarray, ndarray]:
        bins = values.shape[-1]
        level = np.broadcast_to(np.asarray(full_scale), values.shape)
        decoded = np.zeros(values.shape, dtype=complex)
        noise = np.zeros(values.shape)
        edges = band_edges(bins)
        for stream in np.ndindex(values.shape[:-2]):
            bits = self.allocation(level[stream][0])
            for band, (start, stop) in enumerate(pairwise(edges)):
                if not bits[band]:
                    continue
                part = values[stream][:, start:stop]
                scale = _band_scale(part, level[stream][0, start:stop])
                coded = round_midrise(part, scale, int(bits[band]))
                step = 2 * scale / 2.0 ** bits[band]
                decoded[(*stream, slice(None), slice(start, stop))] = coded
                noise[(*stream, slice(None), slice(start, stop))] = step**2 / 6
        return decoded, noise


@lru_cache(maxsize=8)
def band_edges(bins: int) -> ndarray:
    """First bin of each band, and the number of bins: about equally wide on the ERB scale."""
    rate = erb_rate(np.linspace(0, SAMPLE_RATE_HZ / 2, bins))
    edges = np.searchsorted(rate, np.linspace(0, rate[-1], BANDS + 1)[:-1])
    return np.append(np.unique(edges), bins)


def _band_scale(part: ndarray, level: ndarray) -> ndarray:
    """(packet, 1): the largest part in the band, rounded up to one of the 64 scales around the
    level."""
    largest = np.maximum(np.abs(part.real), np.abs(part.imag)).max(axis=-1, keepdims=True)
    reference = np.sqrt(np.mean(level**2))
    if reference == 0:
        return np.zeros_like(largest)
    steps = np.ceil(4 * np.log2(np.maximum(largest / reference, 2.0**-11)))
    return reference * 2.0 ** (np.clip(steps, -43, 20) / 4)
