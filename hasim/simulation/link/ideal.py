"""A link without delay, losses or limits; the codec is all that remains."""

from __future__ import annotations

from math import inf
from typing import ClassVar, Literal

from hasim.config.spec import Spec
from hasim.simulation.link.air import Air, Piece
from hasim.simulation.link.codecs import CodecSpec
from hasim.simulation.link.codecs.pcm import Pcm
from hasim.simulation.link.losses import NoLoss


class IdealLink(Spec):
    """Every packet arrives immediately; the codec still rounds."""

    kind: Literal["ideal"] = "ideal"
    codec: CodecSpec = Pcm()

    ack_loss: ClassVar[float] = 0.0
    loss: ClassVar[NoLoss] = NoLoss()
    rate_kbps: ClassVar[float] = inf

    def air(self, bits: list[list[int]], hop_ns: int) -> Air:
        """Payloads of `bits[sending ear][channel]`, which take no time."""
        by_ear = tuple(float(sum(ear)) * 1e6 / hop_ns for ear in bits)
        payloads: list[list[tuple[Piece, ...]]] = [
            [(Piece(0, 0, payload),) for payload in ear] for ear in bits
        ]
        return Air(payloads, by_ear, (inf, inf), shared=False)
