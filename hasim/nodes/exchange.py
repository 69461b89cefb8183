"""What one ear gets of the other's signal: coded as sent, missing where lost or late, filled in as
asked for.

Signals are (ear, stream, bin, frame). On the way in, the ear is the sender; on the way out, the
receiver. A packet's data may come in time, late, or once more as a coarse copy in the next packet;
only what is in time is filtered, while covariances may learn from the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy import ndarray

from hasim.dsp import fractional_delay
from hasim.dsp.stft import FrontEndSpec, analyse, analysis_window, synthesise
from hasim.nodes.arrivals import NEVER, Arrivals, arrivals, best_of
from hasim.simulation.link.codecs import Allocated, Codec, CodecSpec
from hasim.simulation.timeline import Deliveries, Timeline

Fill = Literal["zero", "repeat", "repeat_phase"]


@dataclass(frozen=True)
class Received:
    """What each ear got of the other ear's signal.

    `signal` and `arrived` are what frame n can be filtered with. `lesson` and `known` are what
    covariances can be taught: the partner's signal that belongs to local frame n, and the frame
    from which on it is known.
    """

    signal: ndarray  # (ear, stream, bin, frame)
    arrived: ndarray  # (ear, frame): everything that the frame needs came in time
    lesson: ndarray  # (ear, stream, bin, frame)
    known: ndarray  # (ear, frame): a frame's number, or NEVER
    noise: ndarray | None = None
    """Power of the rounding noise in `lesson`, of the same shape, where the codec tells it."""

    def older(self, frames: int) -> Self:
        """The same with each frame of the partner beside a local frame that much later."""

        def shifted(values: ndarray, before: complex) -> ndarray:
            result = np.roll(values, frames, axis=-1)
            result[..., :frames] = before
            return result

        return replace(
            self,
            signal=shifted(self.signal, 0.0),
            arrived=shifted(self.arrived, False),
            lesson=shifted(self.lesson, 0.0),
            known=shifted(self.known, NEVER),
            noise=None if self.noise is None else shifted(self.noise, 0.0),
        )


class Exchange:
    """The way between the ears in one run: a timeline, a codec, and what the microphones' levels
    are.

    The full scale of the uniform codecs is fixed before the run, as in a device with a calibrated
    gain: the codec's headroom above the root mean square of the sender's reference microphone
    (samples), or of each of its bins (spectrum). `mics` (ear, mic, bin, frame) and `samples` (ear,
    mic, sample) are the same signals.

    `importance`, for each channel (ear, stream, bin) of the sender, is how much the receiver's
    filter makes of the signal: each bin is multiplied by it before the codec and divided after.
    """

    def __init__(
        self,
        timeline: Timeline,
        codec: CodecSpec,
        front_end: FrontEndSpec,
        mics: ndarray,
        samples: ndarray,
        importance: dict[str, ndarray] | None = None,
    ) -> None:
        self.timeline = timeline
        self.codec = codec
        self.front_end = front_end
        self.importance = importance or {}
        headroom = 10 ** (getattr(codec, "headroom_db", 0.0) / 20)
        level = np.sqrt(np.mean(samples[:, 0] ** 2, axis=-1))
        bin_level = np.sqrt(
            np.mean(np.abs(mics[:, 0]) ** 2, axis=-1) / 2
        )  # of real and imaginary part
        self.full_scale = headroom * level  # (ear)
        self.bin_full_scale = headroom * bin_level  # (ear, bin)
        self._mics, self._samples = mics, samples

    @property
    def renewed(self) -> ndarray:
        """(ear, frame): the ear's own device worked on the frame, and learnt from it."""
        return self.timeline.renewed

    def sent(self, channel: str) -> ndarray:
        """(ear, frame) of the sender: it had something to send, even if it did not finish."""
        return self.timeline.channels[channel].sent_ns >= 0

    def weighted(self, importance: dict[str, ndarray]) -> Exchange:
        """The same exchange for a codec that knows what matters."""
        return Exchange(
            self.timeline, self.codec, self.front_end, self._mics, self._samples, importance
        )

    def __call__(
        self,
        channel: str,
        signal: ndarray,
        fill: Fill = "zero",
        *,
        fade: float = 1.0,
        age_frames: int = 0,
        late: bool = False,
        rounded: bool = True,
    ) -> Received:
        """Send `signal` both ways, and fill in what is missing when it is needed.

        fill "zero" is silence; "repeat" the last packet again, times `fade` for each packet since;
        "repeat_phase" the packet of one window earlier, so that every bin's own frequency goes on
        in phase. With `age_frames` the receiver's frame n + age is the first to need frame
        n. With `late`, `lesson` holds what came late or as a copy too. With `rounded` false the
        codec's rounding is left out, which makes the exchange linear in the signal.
        """
        deliveries = self.timeline.channels[channel]
        as_samples = self.codec.domain == "samples"
        if as_samples:
            frames = signal.shape[-1]
            waveform = synthesise(signal, self.front_end, frames * self.front_end.hop)
            packets = waveform.reshape(*signal.shape[:2], frames, self.front_end.hop)
            scale = self.full_scale[:, None, None, None]
        else:
            packets = np.swapaxes(signal, -1, -2)  # a packet is a row of bins
            scale = self.bin_full_scale[:, None, None, :]
        weight = np.asarray(self.importance.get(channel, 1.0))
        if weight.ndim:
            weight = weight[:, :, None, :]
        copies, noise = None, None
        copy_codec = self.codec.copy_codec
        if copy_codec is not None:
            copies = packets if not rounded else _coded(copy_codec, packets, scale, weight)
        if not rounded:
            packets = self.codec.linear(packets)
        else:
            if isinstance(self.codec, Allocated):
                noise = self.codec.noise_power(packets * weight, scale * weight) / weight**2
            packets = self._coded_by_rung(packets, scale, weight, deliveries, age_frames)
        # From here on the ear is the receiver.
        packets = self._by_own_clock(packets[::-1])
        copies = packets if copies is None else self._by_own_clock(copies[::-1])
        # Data n travels in packet n + lag; data whose packet would come after the last frame lies
        # beyond the end of the sound: not missing, but silent.
        lag = deliveries.lag_frames + age_frames
        packets[:, :, packets.shape[2] - lag :] = 0.0
        copies[:, :, packets.shape[2] - lag :] = 0.0
        spread = raw_lag_frames(self.codec, self.front_end)
        copied = copy_codec is not None
        fates = arrivals(self.timeline, deliveries, age_frames, copied=copied, spread=spread)
        if as_samples:
            return self._frames_of_hops(packets, copies, fates, fill, fade, late)
        result = self._frames_of_spectra(packets, copies, fates, fill, fade, late)
        if noise is None:
            return result
        return replace(result, noise=np.swapaxes(noise[::-1], -1, -2))

    def _coded_by_rung(
        self,
        packets: ndarray,
        scale: ndarray,
        weight: ndarray,
        deliveries: Deliveries,
        age_frames: int,
    ) -> ndarray:
        """Each packet by the codec that its sender had bits for."""
        first, *fewer = self.codec.ladder
        coded = _coded(first, packets, scale, weight)
        if not fewer:
            return coded
        frames = packets.shape[2]
        lag = max(deliveries.lag_frames + age_frames, 0)
        rung = np.broadcast_to(deliveries.rung, (2, frames))
        rung = np.pad(rung, ((0, 0), (0, lag)), mode="edge")[:, lag:, None]  # of the data
        for step, codec in enumerate(fewer, start=1):
            by_codec = _coded(codec, packets, scale, weight)
            coded = np.where((rung == step)[:, None], by_codec, coded)
        return coded

    def _by_own_clock(self, packets: ndarray) -> ndarray:
        """Packets (receiving ear, stream, packet, number) as they are by the receiver's clock."""
        skew = self.timeline.skew_samples
        if not skew.any():
            return packets.copy()
        if self.codec.domain == "samples":
            return fractional_delay.delayed(packets, skew)
        return fractional_delay.turned(packets, skew, self.front_end.window)

    def _frames_of_spectra(
        self,
        packets: ndarray,
        copies: ndarray,
        fates: Arrivals,
        fill: Fill,
        fade: float,
        late: bool,
    ) -> Received:
        """A packet is a frame: a copy comes too late to be filtered."""
        arrived = fates.in_time
        _, filled = self._filled(packets, arrived, fill, fade)
        signal = np.swapaxes(filled, -1, -2)
        if not late:
            return Received(signal, arrived, signal, np.where(arrived, fates.due, NEVER))
        lesson, known = best_of(packets, copies, fates)
        return Received(signal, arrived, np.swapaxes(lesson, -1, -2), known)

    def _frames_of_hops(
        self,
        packets: ndarray,
        copies: ndarray,
        fates: Arrivals,
        fill: Fill,
        fade: float,
        late: bool,
    ) -> Received:
        """A packet is a hop, and a frame's window spans several. A copy makes a hop good for the
        frames after the first one that needed it."""
        streams, (frames, hop) = packets.shape[:2], packets.shape[-2:]
        usable = fates.in_time | fates.copy_in_time
        patched = np.where(fates.in_time[:, None, :, None], packets, copies)
        stand_in, filled = self._filled(patched, usable, fill, fade)
        signal = self._analysed(filled)
        arrived = fates.in_time & self._all_but_newest(usable)
        newest = fates.copy_in_time & ~fates.in_time
        if newest.any():  # at its own frame such a hop was still missing
            change = np.where(newest[:, None, :, None], stand_in - filled, 0.0)
            window = analysis_window(self.front_end)[-hop:]
            padded = np.zeros((*streams, frames, self.front_end.window))
            padded[..., -hop:] = change * window
            signal += np.swapaxes(np.fft.rfft(padded), -1, -2)
        if not late:
            return Received(signal, arrived, signal, np.where(arrived, fates.due, NEVER))
        best, known = best_of(packets, copies, fates)
        lesson = self._analysed(best)
        first = known.copy()
        for earlier in range(1, -(-self.front_end.window // hop)):
            known[:, earlier:] = np.maximum(known[:, earlier:], first[:, :-earlier])
        return Received(signal, arrived, lesson, known)

    def _analysed(self, hops: ndarray) -> ndarray:
        frames, hop = hops.shape[-2:]
        return analyse(hops.reshape(*hops.shape[:2], frames * hop), self.front_end)[..., :frames]

    def _all_but_newest(self, usable: ndarray) -> ndarray:
        """(ear, frame): the hops of the frame's window, the newest left out, are all usable."""
        result = np.ones_like(usable)
        for earlier in range(1, -(-self.front_end.window // self.front_end.hop)):
            result[:, earlier:] &= usable[:, :-earlier]
        return result

    def _filled(
        self, packets: ndarray, present: ndarray, fill: Fill, fade: float
    ) -> tuple[ndarray, ndarray]:
        """Packets (ear, stream, packet, number): what would stand in for each if it were missing,
        and the packets with that in place of those that are."""
        frames = present.shape[1]
        number = np.arange(frames)
        if fill == "repeat":
            last = np.maximum.accumulate(np.where(present, number, -1), axis=1)
            source = np.pad(last, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        elif fill == "repeat_phase":
            period = -(-self.front_end.window // self.front_end.hop)
            source = np.full((2, frames), -1)
            for packet in range(period, frames):
                before = packet - period
                source[:, packet] = np.where(present[:, before], before, source[:, before])
        else:
            source = np.full((2, frames), -1)
        gain = np.where(source >= 0, fade ** (number - source), 0.0)[:, None, :, None]
        index = np.maximum(source, 0)[:, None, :, None]
        stand_in = np.take_along_axis(packets, index, axis=-2) * gain
        return stand_in, np.where(present[:, None, :, None], packets, stand_in)


def payload_bits(codec: CodecSpec, front_end: FrontEndSpec, streams: int = 1) -> int:
    """Bits that one frame's packet carries for so many streams, a copy of the previous one
    included."""
    if codec.domain == "samples":
        numbers, parts = front_end.hop, 1
    else:
        numbers, parts = front_end.bins, 2
    copy = codec.copy_codec
    once = codec.bits_for(numbers, parts) + (copy.bits_for(numbers, parts) if copy else 0)
    return streams * once


def raw_lag_frames(codec: CodecSpec, front_end: FrontEndSpec) -> int:
    """Packets that the receiver of a microphone lags behind: none, unless the codec delays."""
    if codec.domain == "spectrum":
        return 0
    return -(-codec.delay_samples(front_end.hop) // front_end.hop)


def filtered_lag_frames(codec: CodecSpec, front_end: FrontEndSpec) -> int:
    """Packets that the receiver of a filter output lags behind.

    A filter output is final only after overlap-add: as samples, the last hop that frame n of the
    receiver needs leaves with the sender's frame n + lag. A spectrum has no lag. The codec's delay
    comes on top.
    """
    if codec.domain == "spectrum":
        return 0
    overlap = front_end.synthesis_samples // front_end.hop - 1
    return overlap + raw_lag_frames(codec, front_end)


def _coded(codec: Codec, packets: ndarray, scale: ndarray, weight: ndarray) -> ndarray:
    return codec.encode_decode(packets * weight, scale * weight) / weight
