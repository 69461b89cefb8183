"""Verdicts: every reason as a person reads it, and no reason without cause."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.memory import Item, MemoryLedger
from hasim.simulation.feasibility import judge
from hasim.simulation.link.losses import Bernoulli, NoLoss
from hasim.simulation.link.traffic import ConstantRate, LinkSpec
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.simulate import simulate

ROOMY = MemoryLedger((Item("weights", 1000, "nvm"), Item("buffers", 1000)), ram_kb=512, nvm_kb=1024)


def streams(name: str) -> np.random.Generator:
    return np.random.default_rng([1, *name.encode()])


def verdict(
    program: Program,
    *,
    left: DeviceSpec | None = None,
    link: LinkSpec | None = None,
    ledger: MemoryLedger = ROOMY,
    frames: int = 100,
    stream: Callable[[str], np.random.Generator] = streams,
    **playout: float | str,
) -> list[str]:
    given = {
        "devices": (left or DeviceSpec(), DeviceSpec()),
        "link": link or ConstantRate(loss=NoLoss()),
        "playout": PlayoutSpec(**playout),
    }
    timeline = simulate(
        (program, program), frames=frames, hop_ns=16_000_000, stream=stream, **given
    )
    pair = (program, program)
    judged = judge(timeline, too_late=None, programs=pair, ledgers=(ledger, ROOMY), **given)
    assert judged.feasible == (not judged.reasons)
    return list(judged.reasons)


def exchange(milliseconds: float = 5.0, bits: int = 2048) -> Program:
    """A raw microphone of 128 kbit/s in each direction, and so much work at 100 MMAC/s."""
    work = Compute("work", round(milliseconds * 100_000))
    return (Send("x", bits, while_capturing=True), Receive("x"), work)


def test_what_fits_has_no_reasons() -> None:
    assert verdict(exchange()) == []


@pytest.mark.parametrize("loss", [0.1, 1.0])
def test_lost_packets_are_no_reason(loss: float) -> None:
    link = ConstantRate(loss=Bernoulli(probability=loss))
    assert verdict(exchange(), link=link) == []
    # Not even where the frames that waited for them came late.
    assert verdict(exchange(), link=link, wait_ms=10, delay_ms=14.5) == []


def test_memory() -> None:
    ram = MemoryLedger((Item("weights", 624 * 1024),), ram_kb=512, nvm_kb=1024)
    assert verdict(exchange(), ledger=ram) == ["left: RAM short by 112 kB (needs 624, has 512)"]
    one_byte = MemoryLedger((Item("weights", 1024 * 1024 + 1, "nvm"),), ram_kb=512, nvm_kb=1024)
    assert verdict(exchange(), ledger=one_byte) == [
        "left: NVM short by 0.1 kB (needs 1024.1, has 1024)"
    ]


def test_utilisation() -> None:
    program = (Compute("work", round(65.7e6 * 0.016)),)
    reasons = verdict(program, left=DeviceSpec(mmac_per_s=50.2))
    assert reasons[0] == "left: utilisation 1.31 (65.7 MMAC/s asked, 50.2 available)"
    assert reasons[1].startswith("left: 99 of 100 frames late, by up to ")
    assert len(reasons) == 2


def test_utilisation_of_mixed_precisions_is_judged_by_their_mix() -> None:
    """8 ms at 10 and 12 ms at 40 MMAC/s: 0.56 MMAC in 20 ms is 28 MMAC/s."""
    program = (Compute("filter", 80_000), Compute("network", 480_000, "int8", "network"))
    left = DeviceSpec(mmac_per_s={"fp32": 10, "int8": 40})
    assert verdict(program, left=left)[0] == (
        "left: utilisation 1.25 (35.0 MMAC/s asked, 28.0 available)"
    )


def test_skipped_frames() -> None:
    left = DeviceSpec(mmac_per_s=100 / 1.2, overload="skip_frame")
    reasons = verdict((Compute("work", 1_600_000),), left=left)
    assert reasons[1:] == ["left: 50 of 100 frames skipped"]


def test_frames_computed_with_less_are_counted() -> None:
    work = (Compute("network", 800_000, renews=True), Compute("apply", 100_000))
    left = DeviceSpec(mmac_per_s=50, overload="hold_filter")
    reasons = verdict(work, left=left, delay_ms=40)
    assert reasons[1:] == ["left: 50 of 100 frames with a held filter"]


def test_link_rate() -> None:
    half = ConstantRate(rate_kbps=208, overhead_octets=0, loss=NoLoss())
    assert verdict(exchange(bits=2056), link=half)[0] == "link needs 257 kbit/s, has 208"
    full = ConstantRate(rate_kbps=100, overhead_octets=0, loss=NoLoss(), duplex="full")
    assert verdict(exchange(), link=full)[:2] == [
        "link left to right needs 128 kbit/s, has 100",
        "link right to left needs 128 kbit/s, has 100",
    ]


def test_playout_too_early() -> None:
    """Ready after (2048 + 88) / 600 kbit/s twice, 1 ms and 5 ms: 13.12 ms; the right one sooner."""
    assert verdict(exchange(), delay_ms=10) == ["left: 100 of 100 frames late, by up to 3.2 ms"]


def test_wait_too_short() -> None:
    reasons = verdict(exchange(), wait_ms=6)
    assert reasons == ["left: 100 of 100 packets of 'x' late (wait_ms is 6, the slowest took 8.2)"]


def test_packets_late_behind_repeats_are_random_losses() -> None:
    """Every other acknowledgement is lost: repeats delay packets beyond the automatic wait."""
    link = ConstantRate(loss=NoLoss(), attempts=2, ack_loss=0.5)
    assert verdict(exchange(bits=2800), link=link) == []
    assert "packets of 'x' late" in verdict(exchange(bits=2800), link=link, wait_ms=14)[0]
