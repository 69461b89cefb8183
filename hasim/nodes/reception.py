"""From the packets that arrived to the spectra that the receiving ear uses.

A missing packet is replaced by a substitute, as `Reception` says. Packets are (ear, stream, packet,
number), where a number is a sample or a bin; spectra are (ear, stream, bin, frame); the ear is the
receiving one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy import ndarray

from hasim.dsp.stft import FrontEndSpec, analyse, analysis_window
from hasim.nodes.arrivals import NEVER, Arrivals, first_to_arrive

Fill = Literal["zero", "repeat", "repeat_phase"]


@dataclass(frozen=True)
class Reception:
    """How the receiver uses the packets of a channel."""

    fill: Fill = "zero"
    """In place of a missing packet: silence; the last packet; or the packet of one window earlier,
    which continues every bin's own frequency in phase."""
    fade: float = 1.0
    """Factor on a repeated packet, once more for each further repeat."""
    age_frames: int = 0
    """The receiver's frame n + age_frames is the first to need the partner's frame n."""
    late_updates: bool = False
    """Covariances are also updated with packets that come late or as a copy."""


MISSING_IS_SILENT = Reception()


@dataclass(frozen=True)
class Received:
    """What each ear gets of the other ear's signal.

    `signal` and `arrived` are for filtering, `update_signal` and `available_from` for updating the
    covariances.
    """

    signal: ndarray
    """(ear, stream, bin, frame): what frame n can be filtered with."""
    arrived: ndarray
    """(ear, frame), bool: everything that the frame needs was there in time."""
    update_signal: ndarray
    """(ear, stream, bin, frame): the partner's signal that belongs to local frame n."""
    available_from: ndarray
    """(ear, frame): the frame from which on `update_signal` is there, or NEVER."""
    rounding_noise: ndarray | None = None
    """(ear, stream, bin, frame): expected power of the rounding error in `update_signal`; None
    where the codec does not give it."""

    def older(self, frames: int) -> Self:
        """The same with each frame of the partner beside the local frame `frames` later."""

        def shifted(values: ndarray, before: complex) -> ndarray:
            result = np.roll(values, frames, axis=-1)
            result[..., :frames] = before
            return result

        noise = self.rounding_noise
        return replace(
            self,
            signal=shifted(self.signal, 0.0),
            arrived=shifted(self.arrived, False),
            update_signal=shifted(self.update_signal, 0.0),
            available_from=shifted(self.available_from, NEVER),
            rounding_noise=None if noise is None else shifted(noise, 0.0),
        )


def frames_of_spectra(
    packets: ndarray, copies: ndarray, arrived: Arrivals, how: Reception, front_end: FrontEndSpec
) -> Received:
    """Packets that are spectra: one for each frame. A copy comes too late to be filtered."""
    on_time = arrived.on_time
    _, filled = _filled(packets, on_time, how, front_end)
    signal = np.swapaxes(filled, -1, -2)
    if not how.late_updates:
        return Received(signal, on_time, signal, np.where(on_time, arrived.needed_by, NEVER))
    first, available_from = first_to_arrive(packets, copies, arrived)
    return Received(signal, on_time, np.swapaxes(first, -1, -2), available_from)


def frames_of_hops(
    packets: ndarray, copies: ndarray, arrived: Arrivals, how: Reception, front_end: FrontEndSpec
) -> Received:
    """Packets that are hops of samples, of which a frame's window spans several.

    A copy restores its hop for the frames after the first one that needed it.
    """
    usable = arrived.on_time | arrived.copy_on_time
    restored = np.where(arrived.on_time[:, None, :, None], packets, copies)
    substitute, filled = _filled(restored, usable, how, front_end)
    signal = _analysed(filled, front_end)
    complete = arrived.on_time & _all_but_newest(usable, front_end)
    newest = arrived.copy_on_time & ~arrived.on_time
    if newest.any():
        # The frame that was the first to need such a hop still had to do with its substitute.
        change = np.where(newest[:, None, :, None], substitute - filled, 0.0)
        signal += _spectra_of_newest(change, front_end)
    if not how.late_updates:
        return Received(signal, complete, signal, np.where(complete, arrived.needed_by, NEVER))
    first, hop_from = first_to_arrive(packets, copies, arrived)
    available_from = hop_from.copy()
    for earlier in range(1, _hops_per_window(front_end)):
        available_from[:, earlier:] = np.maximum(
            available_from[:, earlier:], hop_from[:, :-earlier]
        )
    return Received(signal, complete, _analysed(first, front_end), available_from)


def _hops_per_window(front_end: FrontEndSpec) -> int:
    return -(-front_end.window // front_end.hop)


def _analysed(hops: ndarray, front_end: FrontEndSpec) -> ndarray:
    """Spectra (ear, stream, bin, frame) of hops (ear, stream, hop, sample)."""
    frames, hop = hops.shape[-2:]
    return analyse(hops.reshape(*hops.shape[:2], frames * hop), front_end)[..., :frames]


def _spectra_of_newest(hops: ndarray, front_end: FrontEndSpec) -> ndarray:
    """Spectra (ear, stream, bin, frame) of frames that hold only their newest hop."""
    frames, hop = hops.shape[-2:]
    padded = np.zeros((*hops.shape[:2], frames, front_end.window))
    padded[..., -hop:] = hops * analysis_window(front_end)[-hop:]
    return np.swapaxes(np.fft.rfft(padded), -1, -2)


def _all_but_newest(usable: ndarray, front_end: FrontEndSpec) -> ndarray:
    """(ear, frame): the hops of the frame's window, the newest left out, are all usable."""
    result = np.ones_like(usable)
    for earlier in range(1, _hops_per_window(front_end)):
        result[:, earlier:] &= usable[:, :-earlier]
    return result


def _filled(
    packets: ndarray, present: ndarray, how: Reception, front_end: FrontEndSpec
) -> tuple[ndarray, ndarray]:
    """The substitute of every packet, and the packets with it where they are not `present` (ear,
    packet)."""
    number = np.arange(present.shape[1])
    source = _source_of_substitute(present, how.fill, front_end)
    gain = np.where(source >= 0, how.fade ** (number - source), 0.0)[:, None, :, None]
    index = np.maximum(source, 0)[:, None, :, None]
    substitute = np.take_along_axis(packets, index, axis=-2) * gain
    return substitute, np.where(present[:, None, :, None], packets, substitute)


def _source_of_substitute(present: ndarray, fill: Fill, front_end: FrontEndSpec) -> ndarray:
    """(ear, packet): which packet would replace this one, -1 for silence."""
    frames = present.shape[1]
    source = np.full(present.shape, -1)
    if fill == "repeat":
        last = np.maximum.accumulate(np.where(present, np.arange(frames), -1), axis=1)
        source[:, 1:] = last[:, :-1]
    elif fill == "repeat_phase":
        period = _hops_per_window(front_end)
        for packet in range(period, frames):
            before = packet - period
            source[:, packet] = np.where(present[:, before], before, source[:, before])
    return source
