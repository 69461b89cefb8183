"""Latency: parts that add up, bands, the comb filter, and a delay measured by cross-correlation."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.dsp.stft import FrontEndSpec, analyse, synthesise
from hasim.nodes import Passthrough
from hasim.simulation import latency
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.fitting import band
from hasim.simulation.link.losses import LossList, NoLoss
from hasim.simulation.link.traffic import ConstantRate, IdealLink
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Timeline

MS = 1_000_000
HOP_NS = 16 * MS


def play(
    programs: tuple[Program, Program],
    *,
    frames: int = 20,
    hop_ns: int = HOP_NS,
    mmac_per_s: float = 1.0,
    link: ConstantRate | IdealLink | None = None,
    playout: PlayoutSpec | None = None,
    overload: str = "queue",
) -> Timeline:
    device = DeviceSpec(mmac_per_s=mmac_per_s, overload=overload)
    return simulate(
        programs,
        frames=frames,
        hop_ns=hop_ns,
        devices=(device, device),
        link=link or IdealLink(),
        playout=playout or PlayoutSpec(),
        stream=lambda name: np.random.default_rng(1),
    )


def test_compute_link_and_margin_of_an_exchange():
    """1 ms of work, 2 ms on the air, 0.5 ms of latency, 3 ms of work; 10 ms of playout delay."""
    program = (Compute("a", 1000), Send("z", 2000), Receive("z"), Compute("b", 3000))
    link = ConstantRate(
        rate_kbps=1000, latency_ms=0.5, duplex="full", overhead_octets=0, loss=NoLoss()
    )
    timeline = play((program, program), link=link, playout=PlayoutSpec(delay_ms=10))
    parts = latency.decompose(timeline, (program, program), 32 * MS)
    assert np.all(parts.compute_ns == 4 * MS)
    assert np.all(parts.link_ns == 2.5 * MS)
    assert np.all(parts.queue_ns == 0)
    assert np.all(parts.margin_ns == 3.5 * MS)
    numbers = parts.numbers()
    assert numbers["latency_link_ms"] == 2.5
    assert {numbers[f"latency_{p}_ms"] for p in ("p50", "p95", "p99", "max")} == {38.5}


def test_a_lost_packet_is_waited_for_until_it_is_given_up():
    program = (Send("x", 100), Compute("a", 1000), Receive("x"), Compute("b", 1000))
    link = ConstantRate(
        rate_kbps=1000, latency_ms=0, overhead_octets=0, loss=LossList(right_to_left=(3,))
    )
    timeline = play((program, program), link=link, playout=PlayoutSpec(wait_ms=5, delay_ms=12))
    parts = latency.decompose(timeline, (program, program), 0)
    expected = np.zeros((2, 20))
    expected[0, 3] = 4 * MS
    np.testing.assert_array_equal(parts.link_ns, expected)
    assert np.all(parts.queue_ns == 0)


def test_overload_shows_as_queue_and_a_margin_below_zero():
    """19.2 ms of work every 16: frame n is late by n times 3.2 ms more than frame 0."""
    program = (Compute("a", 9200), Compute("b", 10_000))
    timeline = play((program, program), playout=PlayoutSpec(delay_ms=16))
    parts = latency.decompose(timeline, (program, program), 0)
    late_ns = np.arange(20) * 3.2 * MS
    np.testing.assert_allclose(parts.queue_ns, np.tile(late_ns, (2, 1)))
    np.testing.assert_allclose(parts.margin_ns, -3.2 * MS - np.tile(late_ns, (2, 1)))


def test_the_wait_before_a_receive_is_for_the_link_until_the_packet_came():
    """Frame 0 works for 20.1 ms behind its Receive, so frame 1 still waits for the core when its
    packet, the second on the air, is long there."""
    program = (Send("x", 100), Receive("x"), Compute("slow", 20_000, every=4), Compute("b", 100))
    link = ConstantRate(rate_kbps=1000, latency_ms=0, overhead_octets=0, loss=NoLoss())
    timeline = play((program, program), link=link)
    parts = latency.decompose(timeline, (program, program), 0)
    assert parts.link_ns[0, 0] == parts.link_ns[0, 1] == 0.2 * MS
    assert parts.queue_ns[0, 0] == 0
    assert parts.queue_ns[0, 1] == 4_100_000  # (0.2 + 20.1) - 16 - 0.2 ms


@pytest.mark.parametrize("overload", ["queue", "skip_frame"])
@pytest.mark.parametrize("lag", [0, 1])
def test_parts_add_up_whatever_happens(lag, overload):
    """Random programs on a bad link: window + queue + compute + link + margin = window + delay, no
    part but the margin is negative, and compute is what the core did."""
    rng = np.random.default_rng(4)
    for _ in range(10):
        work = rng.integers(100, 7000, 4)
        program = (
            Compute("a", int(work[0])),
            Send("z", 3000),
            Receive("z", lag),
            Compute("b", int(work[1]), every=3),
            Compute("c", int(work[2])),
        )
        link = ConstantRate(rate_kbps=500, jitter_ms=3, attempts=2, ack_loss=0.2)
        playout = PlayoutSpec(wait_ms=20 * lag + 6, delay_ms=20)
        timeline = play((program, program), link=link, playout=playout, overload=overload)
        parts = latency.decompose(timeline, (program, program), 32 * MS)
        done = timeline.computed
        assert np.any(done)
        total = parts.ready_ns + parts.margin_ns
        assert np.all(total[done] == 52 * MS)
        for part in ("queue", "compute", "link"):
            assert np.all(getattr(parts, f"{part}_ns") >= 0)
        np.testing.assert_array_equal(parts.compute_ns.sum(axis=1), timeline.busy_ns)


def test_nothing_computed_has_no_latency():
    timeline = play(((Compute("a", 1),),) * 2)
    empty = latency.decompose(timeline, ((Compute("a", 1),),) * 2, 0)
    assert empty.numbers()
    skipped = latency.Latency(np.zeros((2, 3), bool), 0, *[np.zeros((2, 3))] * 4)
    assert skipped.numbers() == {}


@pytest.mark.parametrize(
    ("ms", "opened", "closed"),
    [
        (0.5, "imperceptible", "good"),
        (2.0, "good", "good"),
        (10.0, "acceptable", "good"),
        (10.1, "too long", "acceptable"),
        (20.0, "too long", "acceptable"),
        (30.0, "too long", "limit"),
        (30.1, "too long", "too long"),
    ],
)
def test_bands_include_their_bounds(ms, opened, closed):
    assert band(ms, "open") == opened
    assert band(ms, "closed") == closed


def test_case_27_comb_filter_has_its_nulls_and_peaks_where_theory_says():
    """0 dB and 10 ms: nulls at 50, 150, 250 Hz, peaks of +6.02 dB at 0, 100, 200 Hz."""
    nulls, peaks = np.arange(50, 1000, 100), np.arange(0, 1000, 100)
    assert np.all(latency.comb_db(nulls, 10.0) < -100)
    np.testing.assert_allclose(latency.comb_db(peaks, 10.0), 6.0206, atol=1e-4)


@pytest.mark.parametrize(("gain_db", "ripple_db"), [(3, 15.3), (-3, 15.3), (10, 5.7), (-10, 5.7)])
def test_ripple_of_the_comb_filter(gain_db, ripple_db):
    level_db = latency.comb_db(np.arange(0, 2000.0), 8.0, gain_db)
    assert np.ptp(level_db) == pytest.approx(ripple_db, abs=0.06)


@pytest.mark.parametrize("synthesis_window", [None, 128])
def test_case_28_loopback_is_late_by_the_synthesis_window_exactly(synthesis_window, rng):
    """Nothing computes and nothing is exchanged: what is heard, hop by hop when the timeline
    says so, is what was captured, 512 (or 128) samples later, and reconstruction is perfect."""
    hop = 256 if synthesis_window is None else 64
    front_end = FrontEndSpec(window=512, hop=hop, synthesis_window=synthesis_window)
    samples = 40 * 256
    captured = rng.standard_normal((2, samples))
    hop_ns = hop * 62_500
    timeline = play(
        (Passthrough().program(front_end, IdealLink().codec),) * 2,
        frames=analyse(captured, front_end).shape[-1],
        hop_ns=hop_ns,
        mmac_per_s=1e6,
        playout=PlayoutSpec(delay_ms=0, wait_ms=0),
    )
    output = synthesise(analyse(captured, front_end), front_end, samples)
    # Frame n makes the samples up to (n + 2) hops less the synthesis window final; its hop of them
    # begins to play at the frame's deadline.
    played = np.zeros_like(captured)
    for frame, deadline_ns in enumerate(timeline.deadline_ns[0]):
        at = int(deadline_ns) // 62_500
        newest = (frame + 2) * hop - front_end.synthesis_samples
        span = np.arange(newest - hop, newest)
        there = (span >= 0) & (span < samples) & (at + np.arange(hop) < samples)
        played[:, at + np.flatnonzero(there)] = output[:, span[there]]
    spectrum = np.fft.rfft(played, 2 * samples) * np.fft.rfft(captured, 2 * samples).conj()
    lag = np.argmax(np.fft.irfft(spectrum), axis=-1)
    delay = front_end.synthesis_samples
    assert list(lag) == [delay, delay]
    error = played[:, delay:] - captured[:, :-delay]
    assert 10 * np.log10(np.mean(error**2) / np.mean(captured**2)) < -120
    parts = latency.decompose(
        timeline, (Passthrough().program(front_end, IdealLink().codec),) * 2, delay * 62_500
    )
    assert np.all(parts.window_ns == delay * 62_500)
