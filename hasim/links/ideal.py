"""The link that is no limit: what is left is the codec."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import ClassVar, Literal

from hasim.codecs import CodecSpec
from hasim.codecs.pcm import Pcm
from hasim.losses import NoLoss
from hasim.spec import Spec


class IdealLink(Spec):
    """Everything arrives at once and nothing is lost; the codec still rounds."""

    kind: Literal["ideal"] = "ideal"
    codec: CodecSpec = Pcm()

    # What `ConstantRate` asks for is given here.
    rate_kbps: ClassVar[float] = inf
    latency_ms: ClassVar[float] = 0.0
    jitter_ms: ClassVar[float] = 0.0
    duplex: ClassVar[Literal["half", "full"]] = "full"
    packets_per_hop: ClassVar[int] = 1
    attempts: ClassVar[int] = 1
    retry_spacing_ms: ClassVar[float] = 0.0
    ack_loss: ClassVar[float] = 0.0
    loss: ClassVar[NoLoss] = NoLoss()

    def packet_bits(self, payload_bits: int) -> Fraction:
        """The payload alone."""
        return Fraction(payload_bits)

    def airtime_ns(self, payload_bits: int) -> int:
        """Nothing takes time."""
        return 0
