"""LC3, the codec of Bluetooth LE Audio, through the optional package `lc3py` (`hasim[lc3]`).

Codec frames of 2.5 to 10 ms are independent of hops: a packet carries the codec frames that became
complete during its hop, and a hop can be decoded when all frames that overlap it have arrived. So a
hop needs its own packet and those of the next one or more hops; the simulation counts that delay in
whole hops. Frames of 2.5 and 5 ms belong to LC3plus (ETSI TS 103 634).

The decoder's concealment is not used: missing frames are concealed by the node.
"""

from __future__ import annotations

from math import gcd
from typing import ClassVar, Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.dsp.stft import SAMPLE_RATE_HZ
from hasim.simulation.link.codecs.codec import Codec

LOOK_AHEAD_SAMPLES = {2500: 40, 5000: 40, 7500: 64, 10000: 40}
"""Overlap of the codec's transform: 2.5 ms, or 4 ms with frames of 7.5 ms."""


class Lc3(Codec):
    """`octets` for each codec frame of `frame_us`."""

    kind: Literal["lc3"] = "lc3"
    frame_us: Literal[2500, 5000, 7500, 10000] = 10000
    """Length of a codec frame."""
    octets: int = Field(40, ge=20, le=400)
    """Octets per codec frame: 40 in 10 ms are 32 kbit/s."""
    domain: Literal["samples"] = "samples"
    """What travels: hops of samples."""
    headroom_db: float = Field(24.0, ge=0, le=40)
    """Full scale above the microphone's root mean square."""

    macs_per_number: ClassVar[tuple[int, int]] = (130, 40)
    """An estimate from the parts, not a measurement. Encoder: resampling to 12.8 kHz 48, pitch
    search 46, transform 12, shaping and rounding 24; decoder: transform 12, long-term post-filter
    and shaping 28."""

    @model_validator(mode="after")
    def _package_is_there(self) -> Self:
        from importlib.util import find_spec

        if find_spec("lc3") is None:
            raise ValueError("lc3 needs the package lc3py: install hasim[lc3]")
        return self

    @property
    def frame_samples(self) -> int:
        """Samples in a codec frame."""
        return self.frame_us * SAMPLE_RATE_HZ // 1_000_000

    def encode_decode(self, values: ndarray, full_scale: ndarray | float) -> ndarray:
        """`values` (..., packet, sample) as decoded, without the codec's delay."""
        scale = np.broadcast_to(np.asarray(full_scale), values.shape)[..., :1, :1]
        safe = np.where(scale > 0, scale, 1.0)
        streams = np.clip(values / safe, -1.0, 1.0).reshape(-1, values.shape[-2] * values.shape[-1])
        decoded = np.stack([self._stream(stream) for stream in streams])
        return decoded.reshape(values.shape) * scale

    def bits_for(self, numbers: int, parts: int = 1) -> int:
        """Payload bits of an average packet of `numbers` samples."""
        return -(-8 * self.octets * numbers * parts // self.frame_samples)

    def delay_samples(self, hop: int) -> int:
        """Longest time from the end of a hop until the last codec frame for it is complete."""
        frame, ahead = self.frame_samples, LOOK_AHEAD_SAMPLES[self.frame_us]
        ends = hop * np.arange(1, frame // gcd(frame, hop) + 1)
        return int((-(-(ends + ahead) // frame) * frame - ends).max())

    def _stream(self, samples: ndarray) -> ndarray:
        """One stream (sample,), from -1 to 1, encoded and decoded."""
        import lc3

        frame, delay = self.frame_samples, LOOK_AHEAD_SAMPLES[self.frame_us]
        encoder = lc3.Encoder(self.frame_us, SAMPLE_RATE_HZ)
        decoder = lc3.Decoder(self.frame_us, SAMPLE_RATE_HZ)
        frames = -(-(len(samples) + delay) // frame)
        padded = np.zeros(frames * frame, dtype=np.float32)
        padded[: len(samples)] = samples
        decoded = [
            np.array(decoder.decode(encoder.encode(block.tolist(), self.octets)))
            for block in padded.reshape(frames, frame)
        ]
        return np.concatenate(decoded)[delay : delay + len(samples)]
