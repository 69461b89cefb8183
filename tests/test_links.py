"""Links: exact sizes and times on the air."""

from __future__ import annotations

from math import inf

import pytest

from hasim.devices import DeviceSpec
from hasim.links import ConstantRate, IdealLink, offered_kbps
from hasim.program import Compute, Send

HOP_NS = 16_000_000


def test_airtime_is_exact_and_rounded_up() -> None:
    link = ConstantRate(rate_kbps=600, overhead_octets=11)
    assert link.airtime_ns(4096) == 6_973_334  # (4096 + 88) / 600 kbit/s = 6.973333... ms
    assert ConstantRate(rate_kbps=1000, overhead_octets=0).airtime_ns(4096) == 4_096_000


def test_rates_are_taken_as_written_in_decimals() -> None:
    """0.3 is a little less than 3/10 in binary, and would cost a nanosecond."""
    assert ConstantRate(rate_kbps=0.3, overhead_octets=0).airtime_ns(3) == 10_000_000
    assert DeviceSpec(mmac_per_s=0.3).compute_ns(Compute("three", 3)) == 10_000


def test_pieces_share_the_payload_and_each_pay_the_overhead() -> None:
    link = ConstantRate(rate_kbps=1000, overhead_octets=10, packets_per_hop=4)
    assert link.airtime_ns(4096) == (1024 + 80) * 1000
    assert offered_kbps(((Send("a", 4096),), ()), link, HOP_NS) == ((4096 + 4 * 80) / 16,)


def test_offered_load_is_per_medium() -> None:
    programs = ((Send("a", 1600),), (Send("a", 1600), Send("b", 800)))
    plain = {"overhead_octets": 0}
    assert offered_kbps(programs, ConstantRate(duplex="half", **plain), HOP_NS) == (250,)
    assert offered_kbps(programs, ConstantRate(duplex="full", **plain), HOP_NS) == (100, 150)


def test_ideal_link_costs_nothing() -> None:
    assert IdealLink().air([[10**9], []], HOP_NS).payloads[0][0][0].airtime_ns == 0
    assert IdealLink().rate_kbps == inf
    assert set(IdealLink.model_fields) == {"kind", "codec"}


def test_precision_left_out_runs_at_the_fp32_rate() -> None:
    device = DeviceSpec(mmac_per_s={"fp32": 10, "int8": 40})
    times = [device.compute_ns(Compute("x", 40, precision)) for precision in ("fp32", "int8")]
    assert times == [4000, 1000]
    assert device.compute_ns(Compute("x", 40, "int4")) == 4000


@pytest.mark.parametrize("rate", [0, -1, inf, float("nan")])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate_kbps"):
        ConstantRate(rate_kbps=rate)
