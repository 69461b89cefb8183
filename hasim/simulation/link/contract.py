"""What a link has to fulfil, tested: `check(link)`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hasim.config.contract import Check, Checks, spec_problem
from hasim.config.spec import Spec
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.air import Air
from hasim.simulation.link.link import Link
from hasim.simulation.link.losses import NoLoss
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Timeline

HOPS_NS = (16_000_000, 7_500_000, 10_000_000, 4_000_000, 1_000_000)
"""Hops that are tried: a link with a rhythm of its own need not carry every hop."""
BITS = 480
FRAMES = 60


def check(link: Link) -> list[Check]:
    """Every point of the contract in `link.py` and `air.py`, in the order in which it is tested.

    One channel in both directions, with payloads of 480 bits.
    """
    checks = Checks()
    if not checks.run("is a Spec with a kind", lambda: spec_problem(link)):
        return checks.done
    if not checks.run("has codec, loss and acknowledgements", lambda: _parts(link)):
        return checks.done
    if not checks.run("lays payloads out on the air", lambda: _layout(link)):
        return checks.done
    checks.run("offers more for more bits, and nothing for none", lambda: _offered(link))
    if checks.run("can be played", lambda: _played(link)):
        checks.run("delivers every packet where nothing is lost", lambda: _delivered(link))
        checks.run("plays the same twice", lambda: _same_twice(link))
        checks.run("keeps up with what it says it can carry", lambda: _keeps_up(link))
    return checks.done


def _parts(link: Link) -> str | None:
    asked = ("codec", "loss", "ack_loss", "rate_kbps", "air")
    missing = [name for name in asked if not hasattr(link, name)]
    if missing:
        return f"lacks {', '.join(missing)}"
    if not 0 <= link.ack_loss <= 1:
        return f"ack_loss must be from 0 to 1 (got {link.ack_loss!r})"
    return None if link.rate_kbps > 0 else f"rate_kbps must be above 0 (got {link.rate_kbps!r})"


def _air(link: Link, bits: int = BITS) -> tuple[Air, int]:
    """The link with the same payload in both directions, and the hop that it carries."""
    refused: ValueError | None = None
    for hop_ns in HOPS_NS:
        try:
            return link.air([[bits], [bits]], hop_ns), hop_ns
        except ValueError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _layout(link: Link) -> str | None:
    air, _ = _air(link)
    if not isinstance(air, Air):
        return f"`air` must give an Air (got {type(air).__name__})"
    if [len(ear) for ear in air.payloads] != [1, 1]:
        return "payloads must be [sending ear][channel]: here two ears with one channel each"
    for ear in air.payloads:
        for pieces in ear:
            if not pieces:
                return f"a payload of {BITS} bits travels in no packet"
            if any(not 0 <= piece.airtime_ns <= piece.occupied_ns for piece in pieces):
                return "occupied_ns must be at least airtime_ns, and that at least 0"
            if sum(piece.bits for piece in pieces) < BITS:
                return f"the packets of a payload of {BITS} bits have fewer bits"
            shares = [piece.captured for piece in pieces]
            if shares != sorted(shares) or not shares[0] > 0 or shares[-1] != 1:
                return "captured must rise to 1 with the last packet of a payload"
    media = 1 if air.shared and not air.collides else 2
    if {len(air.offered_kbps), len(air.rate_kbps)} != {media}:
        return f"offered_kbps and rate_kbps must have {media} numbers, one for each medium"
    return None


def _offered(link: Link) -> str | None:
    little, hop_ns = _air(link, BITS // 4)
    much = link.air([[BITS], [BITS]], hop_ns)
    nothing = link.air([[0], [0]], hop_ns)
    if any(more <= less for more, less in zip(much.offered_kbps, little.offered_kbps, strict=True)):
        return f"offered_kbps does not rise from {BITS // 4} to {BITS} bits"
    return None if not any(nothing.offered_kbps) else "offered_kbps is above 0 where nobody sends"


def _play(link: Link, frames: int = FRAMES, bits: int = BITS) -> Timeline:
    """Both ears send and receive one channel; only the left one sends where both would collide."""
    air, hop_ns = _air(link, bits)
    send, receive, work = Send("signal", bits), Receive("signal"), Compute("work", 100)
    one_way: tuple[Program, Program] = ((send, work), (receive, work))
    both: tuple[Program, Program] = ((send, receive, work), (send, receive, work))
    device = DeviceSpec()
    return simulate(
        one_way if air.collides else both,
        frames=frames,
        hop_ns=hop_ns,
        devices=(device, device),
        link=link,
        playout=PlayoutSpec(),
        stream=lambda name: np.random.default_rng([5, *name.encode()]),
    )


def _lossless(link: Link) -> Link:
    """The same link without losses, as far as its keys allow."""
    assert isinstance(link, Spec)
    keys = {"loss": NoLoss(), "ack_loss": 0.0}
    own = {key: value for key, value in keys.items() if key in type(link).model_fields}
    return link.model_copy(update=own)


def _played(link: Link) -> str | None:
    timeline = _play(link)
    packets = timeline.packets
    if not len(packets):
        return "no packet is on the air"
    if np.any(packets["end_ns"] < packets["start_ns"]):
        return "a packet ends before it begins"
    early = packets["arrived_ns"] < packets["end_ns"]
    return "a packet arrives before its end" if np.any(early & ~packets["lost"]) else None


def _delivered(link: Link) -> str | None:
    deliveries = _play(_lossless(link)).channels["signal"]
    sent = deliveries.sent_ns[::-1] >= 0
    missing = int(np.sum(sent & (deliveries.arrived_ns < 0)))
    if missing:
        return f"{missing} of {int(np.sum(sent))} packets do not arrive"
    early = deliveries.arrived_ns < deliveries.sent_ns[::-1]
    return "a packet arrives before it is sent" if np.any(early) else None


def _same_twice(link: Link) -> str | None:
    first, second = _play(link).packets, _play(link).packets
    same = np.array_equal(first, second)
    return None if same else "the second time differs; random numbers must come from the streams"


def _keeps_up(link: Link) -> str | None:
    """Delays of the second half are no longer than those of the first."""
    air, hop_ns = _air(link)
    if any(need > has for need, has in zip(air.offered_kbps, air.rate_kbps, strict=True)):
        return None
    deliveries = _play(_lossless(link), 4 * FRAMES).channels["signal"]
    delay_ns = np.where(
        deliveries.arrived_ns < 0, 0, deliveries.arrived_ns - deliveries.sent_ns[::-1]
    )
    first, second = (part.max() for part in np.array_split(delay_ns[:, 20:], 2, axis=1))
    if second <= first + hop_ns:
        return None
    return (
        f"carries {_kbps(air.rate_kbps)} kbit/s and is offered {_kbps(air.offered_kbps)}, but its "
        f"packets take longer and longer: {first / 1e6:.2f} ms, then {second / 1e6:.2f} ms"
    )


def _kbps(rates: Sequence[float]) -> str:
    return " and ".join(f"{rate:.0f}" for rate in rates)
