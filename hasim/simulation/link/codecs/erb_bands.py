"""A band-wise spectrum: low bins as they are, high ones as one complex number per ERB band.

A spatial filter needs the phase between the ears, bin by bin. In the low bins it has it. Above,
each band's bins are replaced by the nearest spectrum that is linear between the centres of
neighbouring bands, with phases counted from the middle of the window. That is a short piece of the
frame around its middle: of a noise that fills the frame, a band of K bins keeps about 1/K of the
energy. So the high bands carry the partner's level and a little of its phase, which is not enough
for the filter to null a source. Magnitudes alone would not help it at all and are not offered.

Without rounding the codec is a linear map of the spectrum, so target and noise can be sent through
it separately.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.dsp.erb import erb_bank
from hasim.simulation.link.codecs.codec import RoundingCodec
from hasim.simulation.link.codecs.pcm import round_midrise


class ErbBands(RoundingCodec):
    """`bits` per part of each low bin and each high band."""

    kind: Literal["erb_bands"] = "erb_bands"
    bits: int = Field(8, ge=1, le=16)
    """Bits per number."""
    domain: Literal["spectrum"] = "spectrum"
    """What travels: frames of spectra."""
    linear_bins: int = Field(64, ge=8, le=2048)
    """Bins from 0 Hz up that are sent one by one: 64 of 257 reach to 2 kHz."""
    bands: int = Field(32, ge=2, le=128)
    """ERB bands above."""
    headroom_db: float = Field(18.0, ge=0, le=40)
    """Full scale above the root mean square of the sender's reference microphone in each bin."""

    macs_per_number: ClassVar[tuple[int, int]] = (8, 4)
    """Two bands per bin, and a tridiagonal system for the nearest spectrum."""

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (..., packet, bin), complex, as decoded."""
        low, centres = self._coded(values)
        scale = np.broadcast_to(np.asarray(full_scale), values.shape)
        analysis, _ = _bank(self.linear_bins, self.bands, values.shape[-1])
        band_scale = scale[..., self.linear_bins :] @ np.abs(analysis).T
        return self._decoded(
            round_midrise(low, scale[..., : self.linear_bins], self.bits),
            round_midrise(centres, band_scale, self.bits),
            values.shape[-1],
        )

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of a spectrum: of the numbers that are sent, not of `numbers`."""
        # Refuses bands that do not fit.
        _bank(self.linear_bins, self.bands, numbers)
        return (self.linear_bins + self.bands) * parts * self.bits

    def linear(self, values: ndarray) -> ndarray:
        """The spectrum (..., bin) as decoded without rounding."""
        return self._decoded(*self._coded(values), values.shape[-1])

    def _coded(self, values: ndarray) -> tuple[ndarray, ndarray]:
        """Low bins, and the values at the bands' centres."""
        analysis, _ = _bank(self.linear_bins, self.bands, values.shape[-1])
        centred = values * _middle(values.shape[-1])
        return values[..., : self.linear_bins], centred[..., self.linear_bins :] @ analysis.T

    def _decoded(self, low: ndarray, centres: ndarray, bins: int) -> ndarray:
        _, bank = _bank(self.linear_bins, self.bands, bins)
        high = (centres @ bank) * _middle(bins)[self.linear_bins :]
        return np.concatenate([low, high], axis=-1)


@lru_cache(maxsize=8)
def _bank(linear_bins: int, bands: int, bins: int) -> tuple[ndarray, ndarray]:
    """(band, high bin) twice: from a spectrum to the nearest centres, and from centres to bins."""
    bank = erb_bank(linear_bins, bands, bins)
    return np.linalg.solve(bank @ bank.T, bank), bank


def _middle(bins: int) -> ndarray:
    """Factors (bin,) that move the phase reference from the start of a window of 2 (bins - 1)
    samples to its middle."""
    return np.where(np.arange(bins) % 2, -1.0, 1.0)
