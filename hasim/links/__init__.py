"""Shelf: the radio between the ears."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.links.constant_rate import ConstantRate
from hasim.links.ideal import IdealLink
from hasim.program import Program, Send
from hasim.spec import by_kind

LinkSpec = Annotated[
    Annotated[ConstantRate, Tag("constant_rate")] | Annotated[IdealLink, Tag("ideal")],
    by_kind("constant_rate"),
]


def offered_kbps(
    programs: tuple[Program, Program], link: LinkSpec, hop_ns: int
) -> tuple[float, ...]:
    """What the ears want to send on each medium in kbit/s, overhead included and without retries.

    One medium where half duplex; two (left to right, right to left) where full duplex. Each can
    carry `link.rate_kbps`.
    """
    by_ear = [
        float(
            sum(
                link.packets_per_hop * link.packet_bits(step.bits)
                for step in program
                if isinstance(step, Send)
            )
            * 10**6
            / hop_ns
        )
        for program in programs
    ]
    return (sum(by_ear),) if link.duplex == "half" else tuple(by_ear)


__all__ = ["ConstantRate", "IdealLink", "LinkSpec", "offered_kbps"]
