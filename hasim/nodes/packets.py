"""Packets of exchanged signals: how many bits each carries, and how far the receiver lags behind.

A packet holds one hop of samples or one frame's spectrum, whichever the codec's `domain` says.
"""

from __future__ import annotations

from hasim.dsp.stft import FrontEndSpec
from hasim.simulation.link.codecs import CodecSpec


def packet_bits(codec: CodecSpec, front_end: FrontEndSpec, streams: int = 1) -> int:
    """Payload bits of one frame's packet for `streams` signals, the previous packet's copy
    included."""
    if codec.domain == "samples":
        numbers, parts = front_end.hop, 1
    else:
        numbers, parts = front_end.bins, 2
    copy = codec.copy_codec
    per_stream = codec.bits_for(numbers, parts) + (copy.bits_for(numbers, parts) if copy else 0)
    return streams * per_stream


def raw_lag_frames(codec: CodecSpec, front_end: FrontEndSpec) -> int:
    """Packets by which the receiver of a raw microphone lags behind: 0 unless the codec delays."""
    if codec.domain == "spectrum":
        return 0
    return -(-codec.delay_samples(front_end.hop) // front_end.hop)


def filtered_lag_frames(codec: CodecSpec, front_end: FrontEndSpec) -> int:
    """Packets by which the receiver of a filter output lags behind.

    A filter output is final only after overlap-add: as samples, the last hop that the receiver's
    frame n needs leaves with the sender's frame n + lag. A spectrum has no lag. The codec's delay
    is added.
    """
    if codec.domain == "spectrum":
        return 0
    overlap = front_end.synthesis_samples // front_end.hop - 1
    return overlap + raw_lag_frames(codec, front_end)
