"""The links between the ears, and the traffic that programs put on them.

Other packages add links by the entry-point group `hasim.links`.
"""

from __future__ import annotations

from typing import Annotated

from hasim.config.spec import by_kind
from hasim.simulation.link.acl import Acl
from hasim.simulation.link.cis import Cis
from hasim.simulation.link.constant_rate import ConstantRate
from hasim.simulation.link.ideal import IdealLink
from hasim.simulation.link.link import Link
from hasim.simulation.link.tdma import Nfmi, Tdma
from hasim.simulation.program import Program, Send

LinkSpec = Annotated[
    Link,
    by_kind("constant_rate", *(ConstantRate, Tdma, Cis, Acl, Nfmi, IdealLink), group="hasim.links"),
]


def payload_bits(
    programs: tuple[Program, Program], rung: int = 0
) -> tuple[list[str], list[list[int]]]:
    """All channels, sorted, and `bits[sending ear][channel]` in every frame, 0 where an ear does
    not send. `rung` is the step of the codec's ladder, -1 the last."""
    bits = [
        {step.channel: _at(step, rung) for step in program if isinstance(step, Send)}
        for program in programs
    ]
    channels = sorted(bits[0] | bits[1])
    return channels, [[ear.get(channel, 0) for channel in channels] for ear in bits]


def _at(step: Send, rung: int) -> int:
    steps = (step.bits, *step.ladder)
    return steps[-1 if rung < 0 else min(rung, len(steps) - 1)]


def rungs(programs: tuple[Program, Program]) -> int:
    """Number of steps of the longest ladder."""
    steps = (step for program in programs for step in program)
    return 1 + max((len(step.ladder) for step in steps if isinstance(step, Send)), default=0)


def offered_kbps(
    programs: tuple[Program, Program], link: LinkSpec, hop_ns: int
) -> tuple[float, ...]:
    """Rate in kbit/s that the ears send on each medium, overhead included, without repeats.

    One medium where the directions share it; else two (left to right, right to left). With a ladder
    of payloads this is the smallest.
    """
    return link.air(payload_bits(programs, rung=-1)[1], hop_ns).offered_kbps


def carried_kbps(
    programs: tuple[Program, Program], link: LinkSpec, hop_ns: int
) -> tuple[float, ...]:
    """Rate in kbit/s that each medium can carry of such packets, counted like `offered_kbps`."""
    return link.air(payload_bits(programs, rung=-1)[1], hop_ns).rate_kbps


__all__ = [
    "Acl",
    "Cis",
    "ConstantRate",
    "IdealLink",
    "Link",
    "LinkSpec",
    "Nfmi",
    "Tdma",
    "carried_kbps",
    "offered_kbps",
    "payload_bits",
    "rungs",
]
