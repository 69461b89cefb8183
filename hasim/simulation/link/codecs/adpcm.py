"""Adaptive differential PCM: the difference to a prediction, in steps that follow the signal.

This is hasim's own adaptive DPCM, neither IMA ADPCM nor ITU-T G.726: no other decoder reads its
packets. It stands for the class of such codecs, at the same number of bits.

The predictor uses the two decoded samples before; the step of the mid-rise quantiser grows after
large codes and shrinks after small ones (Jayant, "Adaptive quantization with a one-word memory",
Bell System Technical Journal 52, 1973).

Predictor and step continue from packet to packet. Each packet begins with them (two samples of 16
bits and a step of 8), so that the receiver has the right state with the first packet after a loss.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.simulation.link.codecs.codec import RoundingCodec

PREDICTOR = (1.25, -0.35)
"""Weights of the last decoded sample and the one before: poles at 0.83 and 0.42, so that an error
decays within a few samples."""
STEPS_PER_OCTAVE = 16
# The smallest step is 2^-16 of full scale; 256 steps are 8 bits.
SMALLEST_OCTAVE = 16
STATE_BITS = 2 * 16 + 8
GROWTH = {
    2: (0.80, 1.60),
    3: (0.90, 0.90, 1.25, 1.75),
    4: (0.90, 0.90, 0.90, 0.90, 1.20, 1.60, 2.00, 2.40),
    5: (*(0.90,) * 4, *(0.95,) * 4, 1.20, 1.50, 1.80, 2.10, 2.40, 2.70, 3.00, 3.30),
}
"""What the step is multiplied with after a code of each magnitude (Jayant 1973, for differences of
speech), by bits; rounded to sixteenths of an octave."""


class Adpcm(RoundingCodec):
    """`bits` for the difference of each sample to its prediction, and the state in each packet; an
    adaptive DPCM of hasim, neither IMA nor G.726."""

    kind: Literal["adpcm"] = "adpcm"
    bits: int = Field(4, ge=2, le=5)
    """Bits per sample."""
    domain: Literal["samples"] = "samples"
    """What travels: hops of samples."""
    headroom_db: float = Field(24.0, ge=0, le=40)
    """Full scale above the microphone's root mean square; decoded samples are clipped there."""

    macs_per_number: ClassVar[tuple[int, int]] = (8, 5)

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (..., packet, sample) as decoded, one stream after the other."""
        scale = np.broadcast_to(np.asarray(full_scale), values.shape)[..., :1, :1]
        # A silent microphone has full scale 0.
        safe = np.where(scale > 0, scale, 1.0)
        streams = (values / safe).reshape(-1, *values.shape[-2:])
        decoded = np.stack([_stream(stream, self.bits) for stream in streams])
        return decoded.reshape(values.shape) * scale

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of `numbers` samples and of the state from which they start."""
        return numbers * parts * self.bits + STATE_BITS


def _stream(packets: ndarray, bits: int) -> ndarray:
    """One stream (packet, sample), relative to full scale, as decoded.

    In plain Python, because each sample needs the one before.
    """
    growth = [round(STEPS_PER_OCTAVE * np.log2(factor)) for factor in GROWTH[bits]]
    finest = STEPS_PER_OCTAVE * SMALLEST_OCTAVE - 1
    steps = [
        2.0 ** ((index + 1) / STEPS_PER_OCTAVE - SMALLEST_OCTAVE) for index in range(finest + 1)
    ]
    largest = 2 ** (bits - 1) - 1
    first, second = PREDICTOR
    index, last, before = finest // 2, 0.0, 0.0
    decoded = []
    for packet in packets.tolist():
        # As in the packet's header.
        last, before = round(last * 32768) / 32768, round(before * 32768) / 32768
        for sample in packet:
            predicted = first * last + second * before
            step = steps[index]
            difference = sample - predicted
            magnitude = min(int(abs(difference) / step), largest)
            moved = (magnitude + 0.5) * step
            value = predicted + moved if difference >= 0 else predicted - moved
            before, last = last, min(max(value, -1.0), 1.0)
            index = min(max(index + growth[magnitude], 0), finest)
            decoded.append(last)
    return np.array(decoded).reshape(packets.shape)
