"""Trace: what the Trace Event Format asks for, and every nanosecond where the timeline has it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hasim.reporting import perfetto
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.losses import Bernoulli
from hasim.simulation.link.traffic import ConstantRate
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Receive, Send
from hasim.simulation.simulate import simulate
from tests.example_run import example_result

REQUIRED = {  # by phase, after the document "Trace Event Format"
    "M": {"name", "pid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur"},
    "b": {"name", "cat", "id", "pid", "tid", "ts"},
    "e": {"name", "cat", "id", "pid", "tid", "ts"},
    "i": {"name", "pid", "tid", "ts", "s"},
    "C": {"name", "pid", "ts", "args"},
}


def of(events, phase, **values):
    return [e for e in events if e["ph"] == phase and values.items() <= e.items()]


@pytest.fixture(scope="module")
def timeline():
    """A link that loses a lot and a core that is sometimes too slow."""
    program = (
        Compute("a", 3000),
        Send("z", 2000),
        Receive("z"),
        Compute("b", 14_000, every=2),
        Compute("c", 5000),
    )
    device = DeviceSpec(mmac_per_s=1)
    return simulate(
        (program, program),
        frames=40,
        hop_ns=16_000_000,
        devices=(device, device.model_copy(update={"overload": "skip_frame"})),
        link=ConstantRate(rate_kbps=1000, loss=Bernoulli(probability=0.3), attempts=2),
        playout=PlayoutSpec(wait_ms=8, delay_ms=20),
        stream=lambda name: np.random.default_rng(2),
    )


@pytest.fixture(scope="module")
def events(timeline):
    return perfetto.events(timeline)["traceEvents"]


def test_every_event_has_what_its_phase_needs(events):
    for event in events:
        assert REQUIRED[event["ph"]] <= event.keys()
        assert isinstance(event["pid"], int)
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0
    assert {e["ph"] for e in events} == set(REQUIRED)
    times = [e["ts"] for e in events if e["ph"] != "M"]
    assert times == sorted(times)


def test_every_process_and_thread_in_use_has_a_name(events):
    named = {(e["pid"], e["tid"]) for e in of(events, "M", name="thread_name")}
    used = {(e["pid"], e["tid"]) for e in events if e["ph"] in "Xib"}
    assert used <= named
    processes = {e["args"]["name"] for e in of(events, "M", name="process_name")}
    assert processes == {"left ear", "right ear", "link"}


def test_slices_of_one_thread_do_not_overlap(events):
    """A viewer would nest them, or drop them."""
    for thread in {(e["pid"], e["tid"]) for e in of(events, "X")}:
        slices = [e for e in of(events, "X") if (e["pid"], e["tid"]) == thread]
        ends = [round(1000 * (e["ts"] + e["dur"])) for e in slices]
        starts = [round(1000 * e["ts"]) for e in slices]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_all_steps_and_packets_are_there_to_the_nanosecond(timeline, events):
    steps = of(events, "X", cat="compute")
    assert len(steps) == len(timeline.steps)
    spent = [sum(round(1000 * e["dur"]) for e in steps if e["pid"] == ear + 1) for ear in (0, 1)]
    assert spent == timeline.busy_ns.tolist()
    packets = of(events, "X", cat="packet")
    assert sum(e["args"]["lost"] for e in packets) == timeline.packets["lost"].sum() > 0
    arrivals = [round(1000 * e["ts"]) for e in of(events, "i", cat="packet")]
    arrived = timeline.packets["arrived_ns"]
    assert sorted(arrivals) == sorted(arrived[arrived >= 0].tolist())


def test_spans_begin_and_end_once_and_missed_frames_are_marked(timeline, events):
    begun = {e["id"]: e["ts"] for e in of(events, "b")}
    ended = {e["id"]: e["ts"] for e in of(events, "e")}
    assert begun.keys() == ended.keys()
    assert len(begun) == timeline.heard.size
    assert all(ended[i] - begun[i] == 20_000 for i in begun)
    missed = of(events, "i", cat="frame")
    assert len(missed) == (~timeline.heard).sum() > 0


def test_frames_in_hand_never_fall_below_zero_and_end_at_zero(timeline, events):
    for ear in (0, 1):
        counts = [e["args"]["frames"] for e in of(events, "C", pid=ear + 1)]
        assert min(counts) == 0 == counts[-1]
        assert max(counts) >= 1
        times_ns, numbers = perfetto.frames_in_hand(timeline, ear)
        # Little's law: time average of those in hand is the sum of their response times.
        area = np.sum(numbers[:-1] * np.diff(times_ns))
        spans = (timeline.finished_ns - timeline.released_ns)[ear, timeline.computed[ear]]
        assert area == spans.sum()


def test_the_file_is_json_that_keeps_the_events(tmp_path):
    result = example_result(10)
    perfetto.write(result, tmp_path / "trace.json")
    kept = json.loads((tmp_path / "trace.json").read_text())
    assert kept == json.loads(json.dumps(perfetto.events(result.timeline)))
    assert kept["displayTimeUnit"] == "ms"


def test_an_accelerator_has_a_thread_of_its_own(tmp_path):
    """It computes while the core computes for another frame."""
    program = (
        Compute("stft", 9000),
        Compute("net", 9000, "int8", "network"),
        Compute("gevd", 5000),
    )
    device = DeviceSpec(mmac_per_s=1, accelerator_mmac_per_s=1)
    timeline = simulate(
        (program, program),
        frames=20,
        hop_ns=16_000_000,
        devices=(device, device),
        link=ConstantRate(),
        playout=PlayoutSpec(),
        stream=lambda name: np.random.default_rng(2),
    )
    apart = frozenset({"net"})
    test_slices_of_one_thread_do_not_overlap(
        found := perfetto.events(timeline, (apart, apart))["traceEvents"]
    )
    assert {e["tid"] for e in of(found, "X", name="net")} == {perfetto.ACCELERATOR}
