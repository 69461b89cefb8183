"""The latency that a verdict allows: limits by fitting and by rule, and what the verdict says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hasim.experiment.scenario import from_mapping
from hasim.simulation.feasibility import Verdict
from hasim.simulation.fitting import FittingSpec, algorithmic_ns, band, too_late
from hasim.simulation.program import Compute, Receive


def late(fitting: dict, window_ms=8.0, latency_ms=12.0, algorithmic_ms=None) -> str | None:
    return too_late(
        FittingSpec(**fitting),
        window_ms=window_ms,
        algorithmic_ms=window_ms if algorithmic_ms is None else algorithmic_ms,
        latency_ms=latency_ms,
    )


@pytest.mark.parametrize(
    ("fitting", "limit"),
    [
        ({}, 30),
        ({"kind": "open"}, 10),
        ({"kind": "none"}, None),
        ({"kind": "open", "limit_ms": 12}, 12),
        ({"kind": "none", "limit_ms": 12}, 12),
        ({"preset": "echi"}, 20),
        ({"preset": "cec3"}, 5),
        ({"preset": "cec3", "limit_ms": 6}, 6),
    ],
)
def test_limits(fitting, limit):
    assert FittingSpec(**fitting).limit == limit


@given(latency_ms=st.floats(0.1, 2000), kind=st.sampled_from(["open", "closed", "none"]))
def test_beyond_the_last_band_is_too_late_and_nothing_else_is(latency_ms, kind):
    reason = late({"kind": kind}, window_ms=min(latency_ms, 4.0), latency_ms=latency_ms)
    if kind == "none":
        assert reason is None
    else:
        assert (reason is not None) == (band(latency_ms, kind) == "too long")


def test_exactly_at_the_limit_is_in_time():
    assert late({}, latency_ms=30.0) is None
    assert late({}, latency_ms=30.001) is not None


def test_the_window_comes_first_where_it_alone_is_over_the_limit():
    assert late({}, window_ms=32, latency_ms=500) == (
        "too late: the synthesis window alone takes 32 ms, a closed fitting allows 30 ms; "
        "a shorter front_end.synthesis_window is needed"
    )
    assert late({}, window_ms=8, latency_ms=508.25) == (
        "too late: latency 508.25 ms, a closed fitting allows 30 ms; computing and link may take "
        "22 ms, they take 500.25"
    )


def test_rules_of_challenges_count_the_algorithm_alone():
    assert late({"preset": "echi"}, latency_ms=100) is None
    reason = late({"preset": "cec3"}, window_ms=4, latency_ms=4, algorithmic_ms=6)
    assert reason is not None
    assert reason.startswith("too late: algorithmic latency 6 ms, Clarity CEC3 allows 5 ms")


def test_a_packet_that_leaves_later_is_algorithmic_latency():
    program = (Compute("a", 1), Receive("z", lag_frames=1), Receive("reference"))
    assert algorithmic_ns(program, 8_000_000, 4_000_000) == 12_000_000
    assert algorithmic_ns(program[:1], 8_000_000, 4_000_000) == 8_000_000


def test_two_stage_tango_waits_a_hop_more_for_samples_than_for_spectra():
    base = {"algorithm": {"kind": "tango", "masks": "oracle"}}
    samples, spectra = (
        from_mapping(base | {"link": {"codec": {"kind": "pcm", "domain": domain}}})
        for domain in ("samples", "spectrum")
    )
    assert samples.algorithmic_ns - spectra.algorithmic_ns == samples.hop_ns
    assert spectra.algorithmic_ns == spectra.window_ns == 32_000_000


def test_what_a_verdict_is_called():
    assert Verdict(()).text == "fits"
    assert Verdict(("too late: ...",)).text == "too late"
    assert Verdict(("too late: ...", "left: RAM short by 1 kB")).text == "does not fit"
    assert not Verdict(("too late: ...",)).feasible
