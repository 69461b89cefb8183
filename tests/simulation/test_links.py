"""Links: exact sizes and times on the air, rhythms, repeats and flush points by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.air import Slots
from hasim.simulation.link.cis import sub_events
from hasim.simulation.link.le_phy import airtime_ns
from hasim.simulation.link.losses import Bernoulli, LossList, LossSpec, NoLoss
from hasim.simulation.link.losses.process import LossProcess
from hasim.simulation.link.traffic import (
    Acl,
    Cis,
    ConstantRate,
    IdealLink,
    LinkSpec,
    Nfmi,
    Tdma,
    carried_kbps,
    offered_kbps,
)
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Status, Timeline

HOP_NS = 16_000_000
US = 1_000
MS = 1_000_000


def streams(seed: int) -> Callable[[str], np.random.Generator]:
    return lambda name: np.random.default_rng([seed, *name.encode()])


def play(
    link: LinkSpec,
    left: Program,
    right: Program | None = None,
    *,
    hop_ns: int = HOP_NS,
    frames: int = 50,
    seed: int = 1,
    **playout: float | str,
) -> Timeline:
    return simulate(
        (left, left if right is None else right),
        frames=frames,
        hop_ns=hop_ns,
        devices=(DeviceSpec(), DeviceSpec()),
        link=link,
        playout=PlayoutSpec(**playout),
        stream=streams(seed),
    )


def raw(octets: int) -> Program:
    return (Send("x", 8 * octets, while_capturing=True), Receive("x"))


def both_ways(link: LinkSpec, octets: int, hop_ns: int = HOP_NS) -> tuple:
    return (raw(octets), raw(octets)), link, hop_ns


class LosingAttempts(LossList):
    """Loses attempts by their number, whatever they carry."""

    def process(self, rng: np.random.Generator, direction: str) -> LossProcess:
        count = iter(range(10**9))
        named = getattr(self, direction)
        return lambda frame, start_ns, bits: next(count) in named


def losing(link: LinkSpec, *attempts: int) -> LinkSpec:
    """The link, with these of the left ear's attempts lost."""
    return link.model_copy(update={"loss": LosingAttempts(left_to_right=attempts)})


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


# ----------------------------------------------------------------------------- Bluetooth LE


def test_case_1_packets_on_2m() -> None:
    assert airtime_ns("2M", 251) == 1048 * US
    assert airtime_ns("2M", 251, mic=True) == 1064 * US


def test_case_2_packets_on_1m_and_coded() -> None:
    assert airtime_ns("1M", 251) == 2088 * US
    assert airtime_ns("1M", 251, mic=True) == 2120 * US
    assert airtime_ns("coded_s2", 251, mic=True) == 4542 * US
    assert airtime_ns("coded_s8", 251, mic=True) == 17_040 * US


def test_case_3_empty_packets() -> None:
    """Nothing to protect: no integrity code, encrypted or not."""
    for mic in (False, True):
        assert airtime_ns("1M", 0, mic) == 80 * US
        assert airtime_ns("2M", 0, mic) == 44 * US


@pytest.mark.parametrize(
    ("octets", "plain_1m", "mic_1m", "plain_2m", "mic_2m", "sub_event"),
    [
        (30, 320, 352, 164, 180, 660),
        (40, 400, 432, 204, 220, 740),
        (120, 1040, 1072, 524, 540, 1380),
    ],
)
def test_payloads_of_le_audio(
    octets: int, plain_1m: int, mic_1m: int, plain_2m: int, mic_2m: int, sub_event: int
) -> None:
    times = [airtime_ns(phy, octets, mic) for phy in ("1M", "2M") for mic in (False, True)]
    assert times == [plain_1m * US, mic_1m * US, plain_2m * US, mic_2m * US]
    assert Cis().sub_event_ns(octets, octets) == sub_event * US


def test_case_4_sub_events() -> None:
    """16_2_1 of LE Audio: 40 octets every 10 ms, two repeats."""
    link = Cis()
    assert link.sub_event_ns(40, 40) == 740 * US
    assert 10 * MS // link.sub_event_ns(40, 40) == 13
    assert sub_events((2, 2), (1, 1), 1) == link.nse == 3
    assert sub_events((2, 1), (2, 4), 3) == 3  # max(6, 8) / 3
    x = play(link.model_copy(update={"loss": NoLoss()}), raw(40), hop_ns=10 * MS).channels["x"]
    assert (x.arrived_ns - x.sent_ns[::-1] == 2220 * US).all()
    assert link.sub_event_ns(0, 0) == 400 * US  # never shorter


def test_case_5_one_way_acl() -> None:
    """The left ear always has something to send: a hop's packets take longer than the hop."""
    for phy, mic, kbps in (
        ("1M", False, 813.6),
        ("2M", False, 1442.5),
        ("1M", True, 803.2),
        ("2M", True, 1426.1),
    ):
        link = Acl(phy=phy, mic=mic, flush_ms=10_000, loss=NoLoss())
        octets = 251 * 20
        timeline = play(link, (Send("x", 8 * octets),), (), frames=30, wait_ms=0)
        packets = timeline.packets
        cycle_ns = np.diff(packets["start_ns"])
        assert (cycle_ns == link.exchange_ns(251)).all()
        assert 251 * 8 / cycle_ns[0] * 1e6 == pytest.approx(kbps, abs=0.05)


# ----------------------------------------------------------------------------- isochronous


def test_isochronous_delivery_has_no_jitter() -> None:
    """Lost once or twice, handed out at the same time; lost three times, flushed."""
    link = Cis(loss=NoLoss())
    lossy = link.model_copy(update={"loss": Bernoulli(probability=0.5)})
    x = play(lossy, raw(40), hop_ns=10 * MS, frames=400).channels["x"]
    there = x.arrived_ns >= 0
    assert set((x.arrived_ns - x.sent_ns[::-1])[there].tolist()) == {2220 * US}
    assert (x.status[there] == Status.ON_TIME).all()
    assert np.mean(~there) == pytest.approx(0.5**3, abs=4 * np.sqrt(0.11 / 800))
    assert x.waits_ns == (2220 * US, 2220 * US)


def test_flush_points_leave_every_packet_its_repeats() -> None:
    """Two packets in four sub-events: the first is given up after two, so the second has two."""
    link = losing(Cis(bn=2, nse=4), 0, 1, 2)
    packets = play(link, raw(502), hop_ns=10 * MS, frames=2).packets
    left = packets[(packets["sender"] == 0) & (packets["frame"] == 0)]
    assert left["piece"].tolist() == [0, 0, 1, 1]
    assert left["start_ns"].tolist() == [10 * MS + k * 2428 * US for k in range(4)]
    assert left["lost"].tolist() == [True, True, True, False]
    # Nothing is lost: both packets go at once, and the other sub-events stay empty.
    packets = play(losing(link), raw(502), hop_ns=10 * MS, frames=2).packets
    left = packets[(packets["sender"] == 0) & (packets["frame"] == 0)]
    assert left["piece"].tolist() == [0, 1]


def test_answers_follow_in_the_same_sub_event() -> None:
    packets = play(Cis(loss=NoLoss()), raw(40), hop_ns=10 * MS, frames=1).packets
    assert packets["start_ns"].tolist() == [10 * MS, 10 * MS + (220 + 150) * US]


def test_flush_timeout_spreads_repeats_over_intervals() -> None:
    """One sub-event an interval, three intervals: 2 ISO intervals more latency."""
    link = losing(Cis(nse=1, ft=3), 0, 1)
    timeline = play(link, raw(40), hop_ns=10 * MS, frames=20)
    x = timeline.channels["x"]
    assert (x.arrived_ns - x.sent_ns[::-1] == (740 + 20_000) * US).all()
    left = timeline.packets[timeline.packets["sender"] == 0][:3]
    assert left["frame"].tolist() == [0, 0, 0]
    assert left["start_ns"].tolist() == [10 * MS, 20 * MS, 30 * MS]


def test_an_interval_of_two_hops_hands_out_one_by_one() -> None:
    """CIG_Sync_Delay + FT ISO - SDU: the first hop has waited one for the second."""
    x = play(Cis(bn=2, nse=4, loss=NoLoss()), raw(40), hop_ns=5 * MS).channels["x"]
    assert (x.arrived_ns - x.sent_ns[::-1] == (4 * 740 + 10_000 - 5_000) * US).all()


def test_largest_stream_on_2m() -> None:
    """401.6 kbit/s each way with one repeat reserved, 97 % of the airtime."""
    link = Cis(bn=2, nse=4)
    assert carried_kbps(*both_ways(link, 502, 10 * MS)) == (401.6, 401.6)
    assert link.nse * link.sub_event_ns(251, 251) / (10 * MS) == pytest.approx(0.97, abs=0.005)


def test_framed_hop_of_16_ms() -> None:
    """7.28 (three sub-events of 251 octets) + 10 + 16 = 33.3 ms."""
    link = Cis(framing="framed", bn=3, nse=3, loss=NoLoss())
    timeline = play(link, raw(3 * 246), frames=100)
    x = timeline.channels["x"]
    assert (x.arrived_ns - x.sent_ns[::-1] == (3 * 2428 + 10_000 + 16_000) * US).all()
    assert timeline.heard.all()


def test_16_ms_unframed_is_refused_with_reasons() -> None:
    with pytest.raises(ValueError, match=r"framing: a hop of 16 ms .* 1\.25 ms .* framed .* tdma"):
        Cis().air([[320], [320]], HOP_NS)
    with pytest.raises(ValueError, match=r"iso_interval_ms: must be a multiple of the hop, 7.5 ms"):
        Cis().air([[320], [320]], 7_500_000)


def test_streams_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"link.bn: .* need 3 packets"):
        Cis(bn=2).air([[8 * 514], [8 * 514]], 10 * MS)
    with pytest.raises(ValueError, match=r"link.nse: 5 sub-events of 2.428 ms .* at most 4 fit"):
        Cis(nse=5).air([[8 * 251], [8 * 251]], 10 * MS)
    with pytest.raises(ValueError, match=r"at most 2 fit"):
        Cis(nse=3, reserved_airtime=0.4).air([[8 * 251], [8 * 251]], 10 * MS)
    with pytest.raises(ValueError, match=r"nse: must be at least bn = 2"):
        Cis(bn=2, nse=1)


def test_framed_stream_of_too_small_bursts_is_overloaded() -> None:
    programs, link, hop_ns = both_ways(Cis(framing="framed"), 514)
    assert offered_kbps(programs, link, hop_ns)[0] > carried_kbps(programs, link, hop_ns)[0]


# ----------------------------------------------------------------------------- slots of a hop


@given(
    pitch=st.integers(1, 50),
    count=st.integers(1, 5),
    spare=st.integers(0, 50),
    anchor=st.integers(0, 300),
    second=st.integers(0, 20),
    now=st.integers(0, 1000),
    ear=st.sampled_from([0, 1]),
)
def test_next_slot_is_the_first_that_has_not_begun(
    pitch: int, count: int, spare: int, anchor: int, second: int, now: int, ear: int
) -> None:
    slots = Slots(pitch * count + spare, anchor, count, pitch, second)
    starts = [
        anchor + ear * second + period * slots.period_ns + slot * pitch
        for period in range(-400, 1100)
        for slot in range(count)
    ]
    assert slots.next_ns(ear, now) == min(start for start in starts if start >= now)


def test_slots_begin_with_the_hop() -> None:
    """250 + 15 octets at 2 Mbit/s are 1.06 ms; with the space, slots of 1.21 ms, left first."""
    x = play(Tdma(loss=NoLoss()), raw(250)).channels["x"]
    assert x.arrived_ns[:, 0].tolist() == [16 * MS + (1210 + 1060) * US, 16 * MS + 1060 * US]


def test_a_slot_holds_one_packet() -> None:
    """The second one is handed over in the nanosecond of the slot, behind the first."""
    program = (Send("x", 800), Compute("work", 1000), Send("y", 800, while_capturing=True))
    packets = play(Tdma(loss=NoLoss()), program, (), frames=1).packets
    pitch_ns = 8 * 115 * 500 + 150 * US  # the other ear has nothing to send, and no slots
    assert packets["start_ns"].tolist() == [16 * MS, 16 * MS + pitch_ns]


def test_a_lost_packet_goes_again_in_the_ears_next_slot() -> None:
    packets = play(losing(Tdma(), 0), raw(250), frames=1).packets
    left = packets[packets["sender"] == 0]
    assert left["start_ns"].tolist() == [16 * MS, 16 * MS + 2 * 1210 * US]


def test_automatic_wait_covers_the_repeats_in_slots() -> None:
    """The right ear hears the left one's second attempt 2.42 ms after the first."""
    timeline = play(Tdma(attempts=2), raw(250))
    waits_ns = timeline.channels["x"].waits_ns
    assert waits_ns == ((1210 + 2420 + 1060) * US, (2420 + 1060) * US)
    lossy = Tdma(attempts=3, loss=Bernoulli(probability=0.4))
    status = play(lossy, raw(600), frames=400).channels["x"].status
    assert not (status == Status.LATE).any()
    assert (status == Status.LOST).any()


def test_pieces_of_a_hop_take_slots_while_it_is_captured() -> None:
    """Of 500 octets the first 250 are captured after 8 ms, in time for the slot at 9.68 ms."""
    packets = play(Tdma(loss=NoLoss()), raw(500), frames=1).packets
    left = packets[packets["sender"] == 0]
    slot_ns = 8 * (250 + 15) * 500 + 150 * US
    assert left["start_ns"].tolist() == [4 * 2 * slot_ns, 16 * MS]
    assert 3 * 2 * slot_ns < 8 * MS < 4 * 2 * slot_ns


def test_reserved_airtime_leaves_the_end_of_the_hop_alone() -> None:
    link = Tdma(reserved_airtime=0.6, loss=Bernoulli(probability=0.3), attempts=4)
    packets = play(link, raw(500), frames=100).packets
    assert (packets["end_ns"] % HOP_NS <= 0.4 * HOP_NS).all()
    assert (packets["start_ns"] % HOP_NS > 0.2 * HOP_NS).any()


def test_load_is_counted_in_slots() -> None:
    """Two packets a hop: one slot in 2.56 ms is enough, one in 16 ms is not."""
    programs, link, hop_ns = both_ways(Tdma(), 502)
    offered, carried = offered_kbps(programs, link, hop_ns), carried_kbps(programs, link, hop_ns)
    pitch_ns = 2 * (8 * 266 * 500 + 150 * US)
    assert carried[0] / offered[0] == (HOP_NS // pitch_ns) / 2
    tight = link.model_copy(update={"reserved_airtime": 0.8})
    assert carried_kbps(programs, tight, hop_ns)[0] == offered[0] / 2
    with pytest.raises(ValueError, match=r"do not fit into 1\.6 ms"):
        carried_kbps(programs, link.model_copy(update={"reserved_airtime": 0.9}), hop_ns)


def test_packets_of_a_hop_are_of_one_size() -> None:
    """256 octets in two of 128: a slot is half as long as with 251 and 5, and two fit a hop."""
    programs, link, hop_ns = both_ways(Nfmi(), 256)
    assert [p.bits for p in link.air([[2048], [2048]], hop_ns).payloads[0][0]] == [1229, 1229]
    assert offered_kbps(programs, link, hop_ns)[0] < carried_kbps(programs, link, hop_ns)[0]


def test_magnetic_induction_by_hand() -> None:
    """120 octets and a fifth more at 596 kbit/s, then 50 us."""
    x = play(Nfmi(loss=NoLoss()), raw(120)).channels["x"]
    airtime = -(-120 * 8 * 6 * MS // (5 * 596))
    assert x.arrived_ns[:, 0].tolist() == [16 * MS + 2 * airtime + 50 * US, 16 * MS + airtime]


# ----------------------------------------------------------------------------- connections


def test_ears_meet_every_connection_interval() -> None:
    """The hop ends at 16 ms, the next meeting is at 22.5; there all that waits is sent."""
    link = Acl(loss=NoLoss())
    assert link.exchange_ns(251) == (1064 + 150 + 44 + 150) * US
    packets = play(link, raw(200), frames=1).packets
    assert packets["start_ns"].tolist() == [22_500 * US, 22_500 * US + link.exchange_ns(200)]


def test_a_meeting_lasts_as_long_as_there_is_something_to_send() -> None:
    """What was captured after 8 ms is sent from 15 ms on; meanwhile the hop ends."""
    link = Acl(loss=NoLoss())
    packets = play(link, raw(500), frames=1).packets
    ends_ns = 15 * MS + np.cumsum([link.exchange_ns(octets) for octets in (251, 251, 249)])
    assert packets["start_ns"].tolist() == [15 * MS, *ends_ns.tolist()]


def test_packets_are_repeated_until_they_are_too_old() -> None:
    link = Acl(flush_ms=9, loss=Bernoulli(probability=1))
    packets = play(link, (Send("x", 8 * 251),), (), frames=1, wait_ms=0).packets
    starts_ns = 22_500 * US + link.exchange_ns(251) * np.arange(2)
    np.testing.assert_array_equal(packets["start_ns"], starts_ns)
    assert packets["start_ns"].max() < (16 + 9) * MS


def test_automatic_wait_is_as_long_as_a_packet_lives() -> None:
    lossy: LossSpec = Bernoulli(probability=0.5)
    x = play(Acl(flush_ms=12, loss=lossy), raw(200), frames=400).channels["x"]
    assert not (x.status == Status.LATE).any()
    assert (x.status == Status.LOST).any()
    assert x.waits_ns[1] == 12 * MS + airtime_ns("2M", 200, mic=True)
