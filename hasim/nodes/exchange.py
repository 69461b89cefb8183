"""The exchange between the ears: signals coded as sent, missing where lost or late, filled in.

Signals are (ear, stream, bin, frame). On the way in, the ear is the sender; on the way out, the
receiver. A packet's data may come in time, late, or once more as a coarse copy in the next packet;
only what is in time is filtered, while covariances may be updated with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from hasim.dsp import fractional_delay
from hasim.dsp.stft import FrontEndSpec, synthesise
from hasim.nodes.arrivals import arrivals
from hasim.nodes.packets import raw_lag_frames
from hasim.nodes.reception import (
    MISSING_IS_SILENT,
    Received,
    Reception,
    frames_of_hops,
    frames_of_spectra,
)
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.timeline import Deliveries, Timeline


class Exchange:
    """The way between the ears in one run: a timeline, a codec, and the microphones' levels.

    The full scale of the uniform codecs is fixed before the run, as in a device with a calibrated
    gain: the codec's headroom above the root mean square of the sender's reference microphone
    (samples), or of each of its bins (spectrum). `mics` (ear, mic, bin, frame) and `samples` (ear,
    mic, sample) are the same signals.

    `importance` is, for each channel, how much the receiver's filter makes of the signal, (ear,
    stream, bin) of the sender: each bin is multiplied by it before the codec and divided after.
    """

    def __init__(
        self,
        timeline: Timeline,
        codec: CodecSpec,
        front_end: FrontEndSpec,
        mics: ndarray,
        samples: ndarray,
        importance: Mapping[str, ndarray] | None = None,
    ) -> None:
        self.timeline = timeline
        self.codec = codec
        self.front_end = front_end
        self.importance = importance or {}
        self._mics, self._samples = mics, samples
        headroom = 10 ** (getattr(codec, "headroom_db", 0.0) / 20)
        self.full_scale = headroom * np.sqrt(np.mean(samples[:, 0] ** 2, axis=-1))
        """(ear,): of samples."""
        # A bin's power is shared by its real and its imaginary part.
        part_power = np.mean(np.abs(mics[:, 0]) ** 2, axis=-1) / 2
        self.bin_full_scale = headroom * np.sqrt(part_power)
        """(ear, bin): of the real and imaginary parts of spectra."""

    @property
    def renewed(self) -> ndarray:
        """(ear, frame), bool: the ear's device computed the frame and updated its filter."""
        return self.timeline.renewed

    def sent(self, channel: str) -> ndarray:
        """(ear, frame) of the sender, bool: it handed over a packet, finished in time or not."""
        return self.timeline.channels[channel].sent_ns >= 0

    def weighted(self, importance: Mapping[str, ndarray]) -> Exchange:
        """The same exchange with another `importance`."""
        return Exchange(
            self.timeline, self.codec, self.front_end, self._mics, self._samples, importance
        )

    def __call__(
        self,
        channel: str,
        signal: ndarray,
        how: Reception = MISSING_IS_SILENT,
        *,
        rounded: bool = True,
    ) -> Received:
        """Send `signal` (ear, stream, bin, frame) both ways on `channel`.

        `how` says what the receiver does with packets that are missing or late. With `rounded`
        False the codec does not round, which makes the exchange linear in the signal.
        """
        deliveries = self.timeline.channels[channel]
        sent = self._code(channel, signal, deliveries, how.age_frames, rounded)
        return self._receive(sent, deliveries, how)

    # ------------------------------------------------------------------------------------ sender

    def _code(
        self,
        channel: str,
        signal: ndarray,
        deliveries: Deliveries,
        age_frames: int,
        rounded: bool,
    ) -> _Sent:
        """Packets of `signal` after coding and decoding; the ear is the sender."""
        packets, full_scale = self._packets(signal)
        copy_codec = self.codec.copy_codec
        if not rounded:
            copies = packets if copy_codec else None
            return _Sent(self.codec.linear(packets), copies, None)
        weight = np.asarray(self.importance.get(channel, 1.0))
        if weight.ndim:
            weight = weight[:, :, None, :]
        weighted, scale = packets * weight, full_scale * weight
        noise = self.codec.noise_power(weighted, scale)
        return _Sent(
            self._decoded(weighted, scale, deliveries, age_frames) / weight,
            copy_codec.encode_decode(weighted, scale) / weight if copy_codec else None,
            None if noise is None else noise / weight**2,
        )

    def _packets(self, signal: ndarray) -> tuple[ndarray, ndarray]:
        """Packets (ear, stream, packet, number) of a signal, and the full scale of their
        numbers."""
        if self.codec.domain == "spectrum":
            return np.swapaxes(signal, -1, -2), self.bin_full_scale[:, None, None, :]
        frames, hop = signal.shape[-1], self.front_end.hop
        waveform = synthesise(signal, self.front_end, frames * hop)
        packets = waveform.reshape(*signal.shape[:2], frames, hop)
        return packets, self.full_scale[:, None, None, None]

    def _decoded(
        self, packets: ndarray, scale: ndarray, deliveries: Deliveries, age_frames: int
    ) -> ndarray:
        """Each packet coded at the step of the codec's ladder that its sender had bits for."""
        first, *fewer = self.codec.ladder
        decoded = first.encode_decode(packets, scale)
        if not fewer:
            return decoded
        frames = packets.shape[2]
        # Data n travels in packet n + lag.
        lag = max(deliveries.lag_frames + age_frames, 0)
        rung = np.broadcast_to(deliveries.rung, (2, frames))
        rung = np.pad(rung, ((0, 0), (0, lag)), mode="edge")[:, lag:, None]
        for step, codec in enumerate(fewer, start=1):
            at_step = codec.encode_decode(packets, scale)
            decoded = np.where((rung == step)[:, None], at_step, decoded)
        return decoded

    # ---------------------------------------------------------------------------------- receiver

    def _receive(self, sent: _Sent, deliveries: Deliveries, how: Reception) -> Received:
        """What arrives of `sent`, as frames; the ear is the receiver."""
        packets = self._by_own_clock(sent.packets[::-1])
        copies = packets if sent.copies is None else self._by_own_clock(sent.copies[::-1])
        # Data whose packet would come after the last frame is beyond the end of the sound: silent,
        # not missing.
        end = packets.shape[2] - deliveries.lag_frames - how.age_frames
        packets[:, :, end:] = 0.0
        copies[:, :, end:] = 0.0
        arrived = arrivals(
            self.timeline,
            deliveries,
            how.age_frames,
            copied=sent.copies is not None,
            spread=raw_lag_frames(self.codec, self.front_end),
        )
        if self.codec.domain == "samples":
            return frames_of_hops(packets, copies, arrived, how, self.front_end)
        received = frames_of_spectra(packets, copies, arrived, how, self.front_end)
        if sent.noise_power is None:
            return received
        return replace(received, rounding_noise=np.swapaxes(sent.noise_power[::-1], -1, -2))

    def _by_own_clock(self, packets: ndarray) -> ndarray:
        """Packets (receiving ear, stream, packet, number) as sampled by the receiver's clock."""
        skew = self.timeline.skew_samples
        if not skew.any():
            return packets.copy()
        if self.codec.domain == "samples":
            return fractional_delay.delayed(packets, skew)
        return fractional_delay.turned(packets, skew, self.front_end.window)


@dataclass(frozen=True)
class _Sent:
    """Packets as the receiver decodes them, (sending ear, stream, packet, number)."""

    packets: ndarray
    copies: ndarray | None
    """The coarse copy of each packet, which travels in the next one."""
    noise_power: ndarray | None
    """Expected power of the rounding error."""
