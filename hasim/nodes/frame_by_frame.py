"""Adapter for algorithms that are written as one step per frame: a subclass has a `kind` and
`start`.

What a step sends to the partner arrives with the partner's next frame, as a spectrum, through the
codec and the losses of the link.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
from numpy import ndarray

from hasim.config.spec import Spec
from hasim.dsp.stft import FrontEndSpec
from hasim.networks.contract import MaskEstimator
from hasim.nodes.blocks import analysis, buffers, coding, synthesis
from hasim.nodes.exchange import Exchange
from hasim.nodes.node import Enhanced
from hasim.nodes.packets import packet_bits
from hasim.simulation.device.memory import Item
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.program import Compute, Program, Receive, Send


class Stepper(Protocol):
    """The algorithm of one ear, with its state."""

    def step(self, mics: ndarray, partner: ndarray | None) -> tuple[ndarray | None, ndarray]:
        """One frame: from the microphones (mic, bin) and the partner's previous packet (bin,),
        None where missing, to the packet for the partner (bin,), or None, and the output (bin,)."""


class FrameByFrame(Spec):
    """A node made of two steppers; subclasses add `kind`, their parameters and `start`."""

    exchanges: ClassVar[bool] = True
    """Whether steps send something to the partner."""
    macs_per_frame: ClassVar[int] = 0
    """Multiply-accumulates of a step; those of the transforms are added."""
    ram_bytes: ClassVar[int] = 0
    """The state of one ear."""

    def start(self, ear: int) -> Stepper:
        """A fresh stepper for ear 0 (left) or 1 (right)."""
        raise NotImplementedError(f"{type(self).__name__} must define start(ear)")

    def program(self, front_end: FrontEndSpec, codec: CodecSpec) -> Program:
        """Transform, receive the partner's previous packet, step, send, transform back."""
        step = Compute("step", self.macs_per_frame)
        if not self.exchanges:
            return (analysis(front_end), step, synthesis(front_end))
        if codec.domain != "spectrum":
            raise ValueError(
                f"link.codec.domain: a frame-by-frame node exchanges spectra (got {codec.domain}); "
                "set it to spectrum"
            )
        if codec.copy_codec:
            raise ValueError(
                "link.codec.fec_bits: a frame-by-frame node makes no use of copies; set it to 0"
            )
        send = Send("frame", packet_bits(codec, front_end))
        encode, decode = coding("frame", front_end, codec)
        return (
            analysis(front_end),
            Receive("frame", -1),
            *decode,
            step,
            *encode,
            send,
            synthesis(front_end),
        )

    def memory(self, front_end: FrontEndSpec, codec: CodecSpec) -> tuple[Item, ...]:
        """Buffers and the state that the class declares."""
        streams = 1 if self.exchanges else 0
        return (*buffers(front_end, codec, streams), Item("state", self.ram_bytes))

    def enhance(self, mics: ndarray, exchange: Exchange, masks: MaskEstimator) -> Enhanced:
        """Output (ear, bin, frame) of both ears, stepped frame by frame without skipped frames."""
        ears, _, bins, frames = mics.shape
        steppers = [self.start(ear) for ear in range(ears)]
        output = np.zeros((ears, bins, frames), dtype=complex)
        sent: list[ndarray | None] = [None, None]
        computed = exchange.timeline.computed
        on_time = exchange.timeline.channels["frame"].on_time if self.exchanges else None
        for frame in range(frames):
            received = [
                sent[1 - ear] if on_time is not None and frame and on_time[ear, frame - 1] else None
                for ear in range(ears)
            ]
            sent = [None, None]
            for ear, stepper in enumerate(steppers):
                if not computed[ear, frame]:
                    continue
                to_partner, output[ear, :, frame] = stepper.step(
                    mics[ear, :, :, frame], received[ear]
                )
                if to_partner is not None and on_time is not None:
                    scale = exchange.bin_full_scale[ear]
                    sent[ear] = exchange.codec.encode_decode(to_partner[None], scale)[0]
        return Enhanced(output, taps={"output": output}, output_tap="output")
