"""What one ear gets of the other's signal: coded as sent, missing where lost or late, concealed as
configured.

Signals are (ear, stream, bin, frame). On the way in, the ear is the sender; on the way out, the
receiver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy import ndarray

from hasim.codecs import CodecSpec
from hasim.stft import FrontEndSpec, analyse, synthesise
from hasim.timeline import Timeline

Fill = Literal["zero", "repeat"]


@dataclass(frozen=True)
class Received:
    """What each ear got of the other ear's signal."""

    signal: ndarray  # (ear, stream, bin, frame)
    arrived: ndarray  # (ear, frame): everything that the frame needs came in time


class Exchange:
    """The way between the ears in one run: a timeline, a codec, and what the microphones' levels
    are.

    The full scale of the uniform codecs is fixed before the run, as in a device with a calibrated
    gain: the codec's headroom above the root mean square of the sender's reference microphone
    (samples), or of each of its bins (spectrum). `mics` (ear, mic, bin, frame) and `samples` (ear,
    mic, sample) are the same signals.
    """

    def __init__(
        self,
        timeline: Timeline,
        codec: CodecSpec,
        front_end: FrontEndSpec,
        mics: ndarray,
        samples: ndarray,
    ) -> None:
        self.timeline = timeline
        self.codec = codec
        self.front_end = front_end
        headroom = 10 ** (getattr(codec, "headroom_db", 0.0) / 20)
        level = np.sqrt(np.mean(samples[:, 0] ** 2, axis=-1))
        bin_level = np.sqrt(
            np.mean(np.abs(mics[:, 0]) ** 2, axis=-1) / 2
        )  # of real and imaginary part
        self.full_scale = headroom * level  # (ear)
        self.bin_full_scale = headroom * bin_level  # (ear, bin)

    @property
    def computed(self) -> ndarray:
        """(ear, frame): the ear's own device worked on the frame."""
        return self.timeline.computed

    def __call__(
        self, channel: str, signal: ndarray, fill: Fill = "zero", *, rounded: bool = True
    ) -> Received:
        """Send `signal` both ways; where packets are missing, `fill` in silence or the last good
        packet.

        With `rounded` false the codec is left out, which makes the exchange linear in the signal.
        """
        if self.codec.domain == "samples":
            return self._as_samples(channel, signal, fill, rounded)
        return self._as_spectrum(channel, signal, fill, rounded)

    def _as_spectrum(self, channel: str, signal: ndarray, fill: Fill, rounded: bool) -> Received:
        arrived = self.timeline.channels[channel].on_time
        if rounded:
            frames = np.swapaxes(signal, -1, -2)  # a packet is a row of bins
            scale = self.bin_full_scale[:, None, None]
            signal = np.swapaxes(self.codec.encode_decode(frames, scale), -1, -2)
        return Received(_concealed(signal[::-1], arrived, fill), arrived)

    def _as_samples(self, channel: str, signal: ndarray, fill: Fill, rounded: bool) -> Received:
        deliveries = self.timeline.channels[channel]
        hop, frames = self.front_end.hop, signal.shape[-1]
        waveform = synthesise(signal, self.front_end, frames * hop)
        hops = waveform.reshape(*signal.shape[:2], frames, hop)
        if rounded:
            hops = self.codec.encode_decode(hops, self.full_scale[:, None, None, None])
        # Hop j travels in packet j + lag; the hops whose packet would come after the last frame
        # lie beyond the end of the sound: not missing, but silent.
        lag = deliveries.lag_frames
        present = np.ones((2, frames), dtype=bool)
        present[:, : frames - lag] = deliveries.on_time[:, lag:]
        hops = _concealed(np.swapaxes(hops[::-1], -1, -2), present, fill)
        hops[..., frames - lag :] = 0.0
        received = np.swapaxes(hops, -1, -2).reshape(*signal.shape[:2], frames * hop)
        arrived = present.copy()
        for earlier in range(1, -(-self.front_end.window // hop)):  # a window spans several hops
            arrived[:, earlier:] &= present[:, :-earlier]
        return Received(analyse(received, self.front_end)[..., :frames], arrived)


def payload_bits(codec: CodecSpec, front_end: FrontEndSpec, streams: int = 1) -> int:
    """Bits that one frame's packet carries for so many streams."""
    if codec.domain == "samples":
        return streams * codec.bits_for(front_end.hop)
    return streams * codec.bits_for(front_end.bins, parts=2)


def filtered_lag_frames(codec: CodecSpec, front_end: FrontEndSpec) -> int:
    """Packets that the receiver of a filter output lags behind.

    A filter output is final only after overlap-add: as samples, the last hop that frame n of the
    receiver needs leaves with the sender's frame n + lag. A spectrum has no lag.
    """
    if codec.domain == "spectrum":
        return 0
    return front_end.synthesis_samples // front_end.hop - 1


def _concealed(packets: ndarray, present: ndarray, fill: Fill) -> ndarray:
    """(ear, stream, number, packet) with missing packets silent, or the last one that was
    present."""
    if present.all():
        return packets.copy()
    if fill == "zero":
        return packets * present[:, None, None, :]
    index = np.where(present, np.arange(present.shape[1]), -1)
    last = np.maximum.accumulate(index, axis=1)  # -1 while nothing has come yet
    repeated = np.take_along_axis(packets, np.maximum(last, 0)[:, None, None, :], axis=-1)
    return repeated * (last >= 0)[:, None, None, :]
