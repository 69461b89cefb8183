"""Bring your own link: ultra-wideband packets (IEEE 802.15.4z, HRP) at 6.81 Mbit/s.

The entry point `uwb = "my_package:Uwb"` in the group `hasim.links` makes it a `kind` everywhere.
"""

from math import ceil
from typing import ClassVar, Literal

import hasim
from hasim import Air, Bernoulli, CodecSpec, LossSpec, Pcm, Piece, Spec


class Uwb(Spec):
    """One medium, on which the ears take turns."""

    kind: Literal["uwb"] = "uwb"
    preamble_symbols: int = 64
    ack_loss: float = 0.0
    rate_kbps: ClassVar[float] = 6810.0
    codec: CodecSpec = Pcm()
    loss: LossSpec = Bernoulli()

    def air(self, bits, hop_ns):
        """Payloads of `bits[sending ear][channel]` in every hop; 0 bits are not sent."""
        packets = [[self.packets(payload) for payload in ear] for ear in bits]
        busy_ns = sum(packet.airtime_ns for ear in packets for own in ear for packet in own)
        return Air(packets, (busy_ns / hop_ns * self.rate_kbps,), (self.rate_kbps,))

    def packets(self, payload):
        # Preamble, 8 symbols of delimiter, 21 of header, payload and 16 bits of check sum.
        ns = (self.preamble_symbols + 8) * 1018 + 21 * 1026 + ceil((payload + 16) * 1000 / 6.81)
        return (Piece(ns, ns, payload + 16),) if payload else ()


if __name__ == "__main__":
    print(hasim.run("scenarios/noise_90deg.yaml", set={"duration_s": 2}, link=Uwb()))
