"""Devices in time: cores, accelerators, memories, interrupts, clocks, overload and reboots."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hasim.simulation.device.device import BandwidthSpec, DeviceSpec, InterruptSpec, RebootSpec
from hasim.simulation.device.memory import Item, MemoryLedger
from hasim.simulation.feasibility import judge
from hasim.simulation.link.losses import NoLoss
from hasim.simulation.link.traffic import ConstantRate, IdealLink, LinkSpec, Tdma
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Mode, Status, Timeline

HOP_NS = 16_000_000
MS = 1_000_000
ROOMY = MemoryLedger((), ram_kb=512, nvm_kb=1024)


def streams(seed: int) -> Callable[[str], np.random.Generator]:
    return lambda name: np.random.default_rng([seed, *name.encode()])


def play(
    program: Program,
    device: DeviceSpec,
    *,
    right: DeviceSpec | None = None,
    frames: int = 50,
    link: LinkSpec | None = None,
    **playout: float | str,
) -> Timeline:
    """Both ears run `program`; the right one on a fast device unless it is given."""
    return simulate(
        (program, program),
        frames=frames,
        hop_ns=HOP_NS,
        devices=(device, right or DeviceSpec(mmac_per_s=1e5)),
        link=link or IdealLink(),
        playout=PlayoutSpec(**playout),
        stream=streams(1),
    )


def work(milliseconds: float, name: str = "work", **more: object) -> Compute:
    """A step of so many milliseconds at 100 MMAC/s."""
    return Compute(name, round(milliseconds * 100_000), **more)


def network(milliseconds: float, **more: object) -> Compute:
    return work(milliseconds, "network", part="network", renews=True, **more)


def response_ms(timeline: Timeline) -> list[float]:
    """Of the left ear's frames; -1 where nothing came of one."""
    took = (timeline.finished_ns - timeline.released_ns)[0] / MS
    return np.where(timeline.computed[0], took, -1).tolist()


# ----------------------------------------------------------------------------- rates and memories


def test_convolutions_have_rates_of_their_own() -> None:
    rates = {"fp32": 10, "int8": 40, "convolution": {"int8": 160}}
    device = DeviceSpec(mmac_per_s=rates)
    steps = [
        Compute("x", 160, precision, kind=kind)
        for precision in ("int8", "int4")
        for kind in ("dense", "convolution")
    ]
    assert [device.compute_ns(step) for step in steps] == [4000, 1000, 16_000, 16_000]


def test_the_slower_of_computing_and_reading_counts() -> None:
    """86 952 weights of a byte, each used once: 0.1 GB/s of flash take 0.87 ms, whatever the
    engine can do; from RAM at 1.6 GB/s it is 54 us."""
    step = Compute("layer", 86_952, "int8", weight_bytes=86_952)
    both = BandwidthSpec(nvm_gb_per_s=0.1, ram_gb_per_s=1.6)
    engine = DeviceSpec(mmac_per_s=25_600, bandwidth=both)
    assert engine.compute_ns(step) == 869_520
    assert engine.model_copy(update={"weights_in": "ram"}).compute_ns(step) == 54_345
    slow = DeviceSpec(mmac_per_s=10, bandwidth=both)
    assert slow.compute_ns(step) == 8_695_200


def test_case_34_weights_in_ram_or_in_nvm() -> None:
    """int8 MN-TANGO, 0.508 MB, on a part with 256 kB and 1 MB."""
    items = (Item("weights", 508_000, "nvm"), Item("buffers", 100_000))
    ledger = MemoryLedger(items, ram_kb=256, nvm_kb=1024)
    assert DeviceSpec().placed(ledger).fits
    in_ram = DeviceSpec(weights_in="ram").placed(ledger)
    assert not in_ram.fits
    assert in_ram.needed_bytes("ram") == 608_000
    assert in_ram.needed_bytes("nvm") == 508_000  # where they come from


# ----------------------------------------------------------------------------- two processors


def test_network_and_signal_processing_go_on_side_by_side() -> None:
    """6 + 8 + 6 ms of a frame: too much for one core, not for a core and an accelerator."""
    program = (work(6, "before"), network(8), work(6, "after"))
    device = DeviceSpec(mmac_per_s=100, accelerator_mmac_per_s=100)
    timeline = play(program, device)
    assert response_ms(timeline)[:4] == [20, 28, 20, 28]
    second = timeline.steps[(timeline.steps["ear"] == 0) & (timeline.steps["frame"] == 1)]
    # The core is with the first frame's end when the second is released, and with the third one's
    # beginning when the second comes back from the accelerator.
    assert (second["start_ns"] / MS).tolist() == [36, 42, 54]
    assert timeline.queue["accelerator_left_utilisation"] == pytest.approx(0.5, abs=0.02)
    assert device.loads(program, HOP_NS) == {"core": 0.75, "accelerator": 0.5}
    overloaded = play(program, DeviceSpec(mmac_per_s=100))
    assert response_ms(overloaded)[-1] == 20 + 49 * 4


def test_busy_time_counts_both_processors_once() -> None:
    program = (work(6, "before"), network(8), work(6, "after"))
    timeline = play(program, DeviceSpec(mmac_per_s=100, accelerator_mmac_per_s=100))
    mine = timeline.steps[timeline.steps["ear"] == 0]
    moments = np.sort(np.concatenate([mine["start_ns"], mine["end_ns"]]))
    middles = (moments[1:] + moments[:-1]) / 2
    doing = ((mine["start_ns"] <= middles[:, None]) & (middles[:, None] < mine["end_ns"])).any(1)
    assert timeline.busy_ns[0] == np.sum(np.diff(moments)[doing])
    assert timeline.busy_ns[0] < np.sum(mine["end_ns"] - mine["start_ns"])


def test_overloaded_accelerator_is_a_reason() -> None:
    program = (work(2), network(20))
    device = DeviceSpec(mmac_per_s=100, accelerator_mmac_per_s=100)
    given = {"devices": (device, device), "link": IdealLink(), "playout": PlayoutSpec()}
    given |= {"too_late": None}
    timeline = play(program, device, right=device)
    reasons = judge(timeline, programs=(program,) * 2, ledgers=(ROOMY,) * 2, **given).reasons
    assert "left: utilisation of the accelerator 1.25 (125.0 MMAC/s asked, 100.0 available)" in (
        reasons
    )


# ----------------------------------------------------------------------------- interrupts


@pytest.mark.parametrize(
    ("takes_ms", "every_ms", "slowest_ms"), [(0.37, 2.5, 11.85), (0.74, 10, 11.48)]
)
def test_case_16_preemptive_radio(takes_ms: float, every_ms: float, slowest_ms: float) -> None:
    """10 ms of signal processing every 16 ms; the response time satisfies R = C + ceil(R/T) c."""
    interrupts = InterruptSpec(every_ms=every_ms, takes_us=takes_ms * 1e3)
    timeline = play((work(10),), DeviceSpec(mmac_per_s=100, interrupts=interrupts), frames=200)
    assert max(response_ms(timeline)) == slowest_ms
    assert np.ceil(slowest_ms / every_ms) * takes_ms + 10 == pytest.approx(slowest_ms)
    assert min(response_ms(timeline)) < slowest_ms  # not every frame meets the worst moment
    assert timeline.playout_delay_ns == slowest_ms * MS
    assert timeline.heard.all()


def test_interrupted_steps_last_longer_and_leave_no_gap_unexplained() -> None:
    """Released at 16 ms; 1 ms of interrupt every 4 ms, from 16 on: 3 ms of work are 4 ms."""
    interrupts = InterruptSpec(every_ms=4, takes_us=1000)
    program = (work(3, "a"), work(4, "b"))
    timeline = play(program, DeviceSpec(mmac_per_s=100, interrupts=interrupts), frames=1)
    mine = timeline.steps[timeline.steps["ear"] == 0]
    assert (mine["start_ns"] / MS).tolist() == [17, 21]
    assert (mine["end_ns"] / MS).tolist() == [20, 26]  # b: 21 to 24, interrupted, 25 to 26
    assert response_ms(timeline) == [10]


def test_every_packet_interrupts_both_ears() -> None:
    """Sent at 16 and 17 ms, 1 ms each: interrupts at 17 and 18 ms, in the midst of 5 ms."""
    link = ConstantRate(rate_kbps=1000, latency_ms=0, overhead_octets=0, loss=NoLoss())
    program = (Send("x", 1000, while_capturing=True), work(5), Receive("x"))
    device = DeviceSpec(mmac_per_s=100, interrupts=InterruptSpec(per_packet_us=250))
    timeline = play(program, device, right=device, link=link)
    took = timeline.finished_ns - timeline.released_ns
    assert (took == 5_500_000).all()
    assert timeline.busy_ns.tolist() == [50 * 5_500_000] * 2


@settings(max_examples=30, deadline=None)
@given(
    c=st.integers(1, 90), takes=st.integers(1, 20), every=st.integers(25, 120), n=st.integers(1, 4)
)
def test_interrupts_take_exactly_their_time(c: int, takes: int, every: int, n: int) -> None:
    """Step by step of 0.1 ms, by hand: interrupts first, then the oldest frame's work."""
    interrupts = InterruptSpec(every_ms=every / 10, takes_us=takes * 100)
    program = tuple(work(c / 10 / n, f"{k}") for k in range(n))
    c = round(sum(step.macs for step in program) / 10_000)
    device = DeviceSpec(mmac_per_s=100, interrupts=interrupts)
    timeline = play(program, device, frames=6, delay_ms=1000, wait_ms=0)
    left, pending, finished = [c] * 6, 0, [0] * 6
    for tick in range(6000):
        pending += takes if tick % every == 0 else 0
        if pending:
            pending -= 1
            continue
        frame = next((k for k in range(6) if left[k] and 160 * (k + 1) <= tick), None)
        if frame is not None:
            left[frame] -= 1
            finished[frame] = tick + 1
    if sum(step.macs for step in program) == c * 10_000:  # else it is no whole number of ticks
        assert (timeline.finished_ns[0] / 100_000).tolist() == finished


# ----------------------------------------------------------------------------- clock


def test_half_the_clock_takes_twice_the_time() -> None:
    timeline = play((work(4), network(2)), DeviceSpec(mmac_per_s=100, clock=0.5))
    assert set(response_ms(timeline)) == {12}
    assert timeline.clock == (0.5, 1.0)


def test_automatic_clock_just_fits() -> None:
    program = (work(3.1), network(0.9), work(1.3, "solve", every=2))
    device = DeviceSpec(mmac_per_s=100, clock="auto")
    timeline = play(program, device)
    assert timeline.clock[0] == pytest.approx(5.3 / 16, rel=1e-5)
    slowest_ms = max(response_ms(timeline))
    assert 16 - 1e-4 < slowest_ms <= 16
    slower = device.running(program, HOP_NS).model_copy(update={"clock": timeline.clock[0] * 0.999})
    assert max(response_ms(play(program, slower))) > 16
    # Periodic interrupts keep their speed.
    busy = InterruptSpec(every_ms=4, takes_us=1000)
    shared = DeviceSpec(mmac_per_s=100, clock="auto", interrupts=busy)
    assert play(program, shared).clock[0] == pytest.approx(5.3 / 12, rel=1e-5)
    assert play((work(20),), device).clock[0] == 1.0


# ----------------------------------------------------------------------------- overload

CHAIN: Program = (work(2, "stft"), network(16), work(2, "weights", renews=True), work(3, "apply"))


def overloaded(overload: str, program: Program = CHAIN, **more: object) -> Timeline:
    device = DeviceSpec(mmac_per_s=100, overload=overload)
    return play(program, device, **{"delay_ms": 40, "wait_ms": 0, **more})


def test_held_filter_leaves_out_what_would_renew_it() -> None:
    """23 ms, then 5 ms behind it from 39 on, then there is time again."""
    timeline = overloaded("hold_filter")
    assert timeline.mode[0, :6].tolist() == [Mode.FULL, Mode.HELD] * 3
    assert response_ms(timeline)[:4] == [23, 12, 23, 12]
    held = timeline.steps[(timeline.steps["ear"] == 0) & (timeline.steps["frame"] == 1)]
    assert held["name"].tolist() == ["stft", "apply"]
    assert timeline.computed.all()
    assert timeline.heard.all()
    assert not timeline.mode[1].any()


def test_degrading_takes_the_smaller_network() -> None:
    program = (work(2, "stft"), network(16, spare_macs=400_000), work(3, "apply"))
    timeline = overloaded("degrade", program)
    assert timeline.mode[0, :4].tolist() == [Mode.FULL, Mode.DEGRADED] * 2
    assert response_ms(timeline)[:4] == [21, 14, 21, 14]
    names = timeline.steps["name"][(timeline.steps["ear"] == 0) & (timeline.steps["frame"] == 1)]
    assert names.tolist() == ["stft", "network", "apply"]


def test_newest_frame_takes_the_place_of_one_that_waits() -> None:
    """40 ms a frame: of those released meanwhile only the last one is begun.

    Frame 5 is released in the nanosecond in which frame 4 would begin, and goes before it.
    """
    timeline = overloaded("drop_oldest", (work(40),), delay_ms=100, frames=12)
    np.testing.assert_array_equal(np.flatnonzero(timeline.computed[0]), [0, 2, 5, 7, 10, 11])
    # Frame 2 is released at 48 ms and begins when frame 0 is done, at 56; frame 0 took no wait.
    assert response_ms(timeline)[:3] == [40, -1, 48]
    assert overloaded("skip_frame", (work(40),), delay_ms=100, frames=12).computed[0].sum() == 4


def test_frames_are_given_up_when_they_are_due() -> None:
    """30 ms of work, due after 20: nothing is ever finished, and the core works on in vain."""
    program = (work(12, "a"), Send("x", 1000), work(18, "b"), Receive("x"), work(1, "c"))
    timeline = overloaded("abort_at_deadline", program, delay_ms=20, frames=10)
    assert not timeline.computed[0].any()
    assert timeline.computed[1].all()
    steps = timeline.steps[timeline.steps["ear"] == 0]
    assert (steps["end_ns"] <= timeline.deadline_ns[0, steps["frame"]]).all()
    # Frame 0 from 16 to 36, frame 1 from 36 to 52: done with a, so x was sent.
    assert (steps["end_ns"][:4] / MS).tolist() == [28, 36, 48, 52]
    sent = timeline.channels["x"].sent_ns[0] >= 0
    assert sent.tolist() == [True] * 10
    assert timeline.busy_ns[0] == np.sum(steps["end_ns"] - steps["start_ns"])


def test_frame_that_is_ready_when_due_is_not_given_up() -> None:
    timeline = overloaded("abort_at_deadline", (work(16),), delay_ms=16)
    assert timeline.heard.all()
    assert not overloaded("abort_at_deadline", (work(16.00001),), delay_ms=16).computed[0].any()


def test_given_up_frames_do_not_wait_for_the_partner() -> None:
    program = (Send("x", 1000), Receive("x"), work(1))
    deaf = ConstantRate(rate_kbps=10, loss=NoLoss())
    timeline = overloaded("abort_at_deadline", program, link=deaf, delay_ms=5, wait_ms=30)
    assert not timeline.computed[0].any()
    assert timeline.computed[1].all()


@pytest.mark.parametrize(
    "overload", ["queue", "skip_frame", "drop_oldest", "abort_at_deadline", "hold_filter"]
)
def test_policies_do_nothing_where_there_is_time(overload: str) -> None:
    program = (work(2), Send("x", 1000), network(4), Receive("x"), work(3))
    link = ConstantRate(loss=NoLoss())
    slack = DeviceSpec(mmac_per_s=100, overload=overload)
    timeline = play(program, slack, right=slack, link=link)
    plain = DeviceSpec(mmac_per_s=100)
    reference = play(program, plain, right=plain, link=link)
    np.testing.assert_array_equal(timeline.finished_ns, reference.finished_ns)
    assert not timeline.mode.any()


# ----------------------------------------------------------------------------- reboot


def test_reboot_loses_what_is_at_hand_and_what_comes_meanwhile() -> None:
    """Off from 100 to 180 ms: frame 5 (released at 96) is half done, frame 11 comes at 192."""
    link = Tdma(loss=NoLoss())
    program = (work(6), Send("x", 1000), Receive("x"), work(1))
    device = DeviceSpec(mmac_per_s=100, reboot=RebootSpec(at_s=0.1, takes_ms=80))
    fast = DeviceSpec(mmac_per_s=1000)
    timeline = play(program, device, right=fast, link=link, frames=30)
    gone = [5, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(np.flatnonzero(~timeline.computed[0]), gone)
    assert timeline.computed[1].all()
    assert np.flatnonzero(timeline.restarted[0]).tolist() == [11]
    assert not timeline.restarted[1].any()
    x = timeline.channels["x"]
    np.testing.assert_array_equal(np.flatnonzero(x.status[1] == Status.NOT_SENT), gone)
    # The partner's packet of frame 5 came at 97 ms, before; those up to frame 10 to deaf ears.
    np.testing.assert_array_equal(np.flatnonzero(x.status[0] == Status.LOST), gone[1:])
    assert timeline.steps["end_ns"][timeline.steps["frame"] == 5].min() <= 100 * MS
    undisturbed = play(program, fast, right=fast, link=link, frames=30)
    assert timeline.channels["x"].waits_ns[1] >= undisturbed.channels["x"].waits_ns[1]


def test_packets_in_the_queue_are_lost_with_the_device() -> None:
    """A slow link: frame 5's packet is on its way when its sender is switched off, those of two
    channels behind it wait."""
    link = ConstantRate(rate_kbps=62, latency_ms=0, overhead_octets=0, loss=NoLoss())
    program = (Send("x", 1000), Send("y", 1000), Send("z", 1000))
    device = DeviceSpec(reboot=RebootSpec(at_s=0.1, takes_ms=80))
    timeline = simulate(
        (program, ()),
        frames=12,
        hop_ns=HOP_NS,
        devices=(device, DeviceSpec()),
        link=link,
        playout=PlayoutSpec(wait_ms=30),
        stream=streams(1),
    )
    begun = timeline.packets["start_ns"] < 100 * MS
    off = (timeline.packets["start_ns"] >= 100 * MS) & (timeline.packets["start_ns"] < 180 * MS)
    assert np.count_nonzero(begun) == 6  # of 18 that were handed over
    assert not off.any()
    assert timeline.packets["lost"][begun].tolist() == [False] * 5 + [True]
