"""Bluetooth LE on the air: the duration of a packet on each PHY.

A packet is preamble, access address (4 octets), header (2), payload, integrity code (MIC, 4, where
encrypted and not empty) and check sum (3). Bluetooth Core Specification, volume 6, part B, 2.
"""

from __future__ import annotations

from typing import Literal

Phy = Literal["1M", "2M", "coded_s2", "coded_s8"]

INTER_FRAME_NS = 150_000
"""Between packets of one exchange (T_IFS), and at least between sub-events (T_MSS)."""
SMALLEST_SUB_EVENT_NS = 400_000
UNIT_NS = 1_250_000
"""Intervals of connections and isochronous streams are multiples of this."""

RATE_KBPS: dict[Phy, float] = {"1M": 1000.0, "2M": 2000.0, "coded_s2": 500.0, "coded_s8": 125.0}
BANDWIDTH_MHZ: dict[Phy, float] = {"1M": 1.0, "2M": 2.0, "coded_s2": 1.0, "coded_s8": 1.0}


def airtime_ns(phy: Phy, octets: int, mic: bool = False) -> int:
    """Airtime of a packet with a payload of `octets`.

    The preamble is 1 octet on 1M and 2 on 2M. On the coded PHY preamble (80 us), access address
    (256), coding indicator (16) and its tail (24) are sent at 125 kbit/s, the rest and a tail of 3
    bits with 2 or 8 symbols of 1 us a bit.

    >>> airtime_ns("2M", 251) // 1000, airtime_ns("2M", 251, mic=True) // 1000
    (1048, 1064)
    """
    body = 2 + octets + _mic_octets(octets, mic) + 3
    if phy == "1M":
        return (1 + 4 + body) * 8_000
    if phy == "2M":
        return (2 + 4 + body) * 4_000
    symbols = {"coded_s2": 2, "coded_s8": 8}[phy]
    return (80 + 256 + 16 + 24 + (body * 8 + 3) * symbols) * 1_000


def exposed_bits(octets: int, mic: bool = False) -> int:
    """Bits of a packet that must all be right for it to arrive: all but the preamble."""
    return 8 * (4 + 2 + octets + _mic_octets(octets, mic) + 3)


def _mic_octets(octets: int, mic: bool) -> int:
    return 4 if mic and octets else 0
