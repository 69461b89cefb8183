"""Building blocks of programs and memory maps: transforms, packets, buffers."""

from __future__ import annotations

from hasim.dsp.stft import FrontEndSpec, transform_macs
from hasim.nodes.packets import filtered_lag_frames, packet_bits, raw_lag_frames
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Compute, Program, Receive, Send

MICS = 2
FLOAT_BYTES = 4


def analysis(front_end: FrontEndSpec) -> Compute:
    """The step that transforms both local microphones."""
    return Compute("stft", MICS * transform_macs(front_end))


def synthesis(front_end: FrontEndSpec) -> Compute:
    """The step that transforms the output back to samples."""
    return Compute("istft", transform_macs(front_end))


def raw_exchange(
    channel: str,
    front_end: FrontEndSpec,
    codec: CodecSpec,
    streams: int = 1,
    age_frames: int = 0,
) -> Program:
    """The steps from capture to the partner's spectrum, for `streams` raw microphones.

    Microphones leave before anything is computed, unless the codec has to compute. `age_frames`
    is the age of the partner's frame that is used.
    """
    encode, decode = coding(channel, front_end, codec, streams)
    as_samples = codec.domain == "samples"
    first, *fewer = (packet_bits(step, front_end, streams) for step in codec.ladder)
    send = Send(channel, first, as_samples and not encode, tuple(fewer))
    receive = Receive(channel, raw_lag_frames(codec, front_end) - age_frames)
    if not as_samples:
        return (analysis(front_end), *encode, send, receive, *decode)
    received = Compute(f"stft_{channel}", streams * transform_macs(front_end))
    return (*encode, send, analysis(front_end), receive, *decode, received)


def filtered_exchange(
    channel: str, front_end: FrontEndSpec, codec: CodecSpec, age_frames: int = 0
) -> Program:
    """The steps from a filter output to the partner's.

    As samples it is transformed back and forth, and arrives one hop later.
    """
    encode, decode = coding(channel, front_end, codec)
    first, *fewer = (packet_bits(step, front_end) for step in codec.ladder)
    send = Send(channel, first, ladder=tuple(fewer))
    receive = Receive(channel, filtered_lag_frames(codec, front_end) - age_frames)
    if codec.domain == "spectrum":
        return (*encode, send, receive, *decode)
    there = Compute(f"istft_{channel}", transform_macs(front_end))
    back = Compute(f"stft_{channel}", transform_macs(front_end))
    return (there, *encode, send, receive, *decode, back)


def coding(
    channel: str, front_end: FrontEndSpec, codec: CodecSpec, streams: int = 1
) -> tuple[tuple[Compute, ...], tuple[Compute, ...]]:
    """The steps of the codec before sending and after receiving; none where it costs nothing."""
    numbers = streams * (front_end.hop if codec.domain == "samples" else front_end.bins)
    copies = 2 if codec.copy_codec else 1

    def steps(name: str, macs_per_number: int) -> tuple[Compute, ...]:
        macs = copies * numbers * macs_per_number
        return (Compute(f"{name}_{channel}", macs, "int16"),) if macs else ()

    encode, decode = codec.macs_per_number
    return steps("encode", encode), steps("decode", decode)


def buffers(
    front_end: FrontEndSpec, codec: CodecSpec | None = None, streams: int = 0
) -> tuple[Item, ...]:
    """Memory for samples, spectra, window tables and packets, at 32 bits per number, with
    `streams` exchanged streams.

    A received stream has its own samples and spectrum. A filter output waits `lag` frames for the
    partner's, so the local spectra of those frames are kept as well (counted once per stream).
    """
    spectrum = 2 * FLOAT_BYTES * front_end.bins
    items = [
        Item("microphone samples", MICS * FLOAT_BYTES * front_end.window),
        Item("microphone spectra", MICS * spectrum),
        Item("output overlap-add", FLOAT_BYTES * front_end.synthesis_samples + spectrum),
        Item("windows", FLOAT_BYTES * (front_end.window + front_end.synthesis_samples), "nvm"),
    ]
    if codec is not None and streams:
        waiting = filtered_lag_frames(codec, front_end)
        received = FLOAT_BYTES * front_end.window if codec.domain == "samples" else 0
        packets = 2 * (waiting + 1) * -(-packet_bits(codec, front_end, streams) // 8)
        items += [
            Item("exchanged spectra", streams * (spectrum + received) + waiting * MICS * spectrum),
            Item("packets", packets),
        ]
    return tuple(items)
