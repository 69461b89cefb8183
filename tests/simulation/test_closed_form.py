"""Cases with closed answers: budgets, queues, bursts, retries, latency, limits.

Statistical cases: the 95 % Student interval of the mean over at least 10 replications with fixed
seeds covers the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil, exp

import numpy as np
import pytest
import scipy.stats
import simpy
from numpy import ndarray

from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.codecs.pcm import Pcm
from hasim.simulation.link.losses import Bernoulli, Gilbert, LossList, NoLoss
from hasim.simulation.link.losses.gilbert import gilbert_elliott, mean_loss, transitions
from hasim.simulation.link.traffic import ConstantRate, IdealLink, offered_kbps
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.queues import ContentionMedium, Core, Server
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Status, Timeline

HOP_NS = 16_000_000
SECOND_NS = 1_000_000_000
REPLICATIONS = 12


def covers(replications: list[float], value: float) -> bool:
    """The 95 % Student interval of the mean holds `value`."""
    assert len(replications) >= 10
    mean, error = np.mean(replications), scipy.stats.sem(replications)
    return abs(mean - value) <= scipy.stats.t.ppf(0.975, len(replications) - 1) * error


def streams(seed: int) -> Callable[[str], np.random.Generator]:
    return lambda name: np.random.default_rng([seed, *name.encode()])


def play(
    program: Program,
    *,
    right: Program | None = None,
    frames: int = 200,
    link: ConstantRate | IdealLink | None = None,
    mmac_per_s: float = 100.0,
    overload: str = "queue",
    hop_ns: int = HOP_NS,
    seed: int = 1,
    **playout: float | str,
) -> Timeline:
    device = DeviceSpec(mmac_per_s=mmac_per_s, overload=overload)
    return simulate(
        (program, program if right is None else right),
        frames=frames,
        hop_ns=hop_ns,
        devices=(device, device),
        link=link or ConstantRate(loss=NoLoss()),
        playout=PlayoutSpec(**playout),
        stream=streams(seed),
    )


def compute_ms(milliseconds: float) -> Compute:
    """A step of so many milliseconds at 100 MMAC/s."""
    return Compute("work", round(milliseconds * 100_000))


MN_TANGO: Program = (
    Send("reference", 4096, while_capturing=True),
    compute_ms(0.2),
    Receive("reference"),
    compute_ms(5.0),
)
TANGO: Program = (compute_ms(2.0), Send("z", 4096), Receive("z", 1), compute_ms(3.0))

# ------------------------------------------------------------------------------------- budgets


def test_case_9_link_budget() -> None:
    codec = Pcm(bits=8, domain="spectrum")
    spectrum = codec.bits_for(257, parts=2)
    link = ConstantRate(rate_kbps=600, overhead_octets=0, duplex="full", packets_per_hop=3)
    assert spectrum == 514 * 8
    assert ceil(514 / 251) == link.packets_per_hop
    assert offered_kbps(((Send("z", spectrum),), ()), link, HOP_NS)[0] == 257.0
    assert offered_kbps(((Send("z", codec.bits_for(256)),), ()), link, HOP_NS)[0] == 128.0
    # What is played occupies the medium for just as long: 1 us in 10 s for the rounded nanoseconds.
    timeline = play((Send("z", spectrum),), right=(), link=link, frames=625)
    assert timeline.airtime_ns * 600e-9 == pytest.approx(257.0 * 10, rel=1e-6)
    assert len(timeline.packets) == 3 * 625


def test_case_10_utilisation() -> None:
    network = Compute("mn_dnn", round(30.79e6 * 0.016))
    timeline = play((network,), mmac_per_s=50.2, frames=1000)
    busy_ms = (timeline.finished_ns - timeline.released_ns) / 1e6
    np.testing.assert_allclose(busy_ms, 9.81, atol=0.005)
    np.testing.assert_allclose(timeline.utilisation, 30.79 / 50.2, rtol=1e-3)
    assert round(30.79 / 50.2, 3) == 0.613


def test_case_11_overload() -> None:
    program = (compute_ms(19.2),)
    queueing = play(program, delay_ms=16)
    late_ns = queueing.finished_ns - queueing.deadline_ns
    np.testing.assert_array_equal(late_ns, [np.arange(1, 201) * 3_200_000] * 2)
    assert not queueing.heard.any()
    skipping = play(program, delay_ms=20, overload="skip_frame")
    np.testing.assert_array_equal(np.flatnonzero(skipping.heard[0]), np.arange(0, 200, 2))
    assert skipping.computed.mean() == 0.5


def test_case_12_deterministic_queue_is_empty() -> None:
    timeline = play((compute_ms(10.0),))
    assert np.all(timeline.finished_ns - timeline.released_ns == 10_000_000)
    assert timeline.playout_delay_ns == 10_000_000
    assert timeline.queue["core_left_max_wait_ms"] == 0
    assert timeline.queue["core_left_mean_queue"] == 0


# ------------------------------------------------------------------------------------- queues


def queue(
    rate_per_s: float, service_s: Callable[[], float], rng: np.random.Generator, customers: int
) -> Server:
    """Serve customers that arrive at random moments; the mean service is one second."""
    env = simpy.Environment()
    server = Server(env)

    def arrivals() -> Iterator[simpy.Event]:
        for gap_s in rng.exponential(1 / rate_per_s, customers):
            yield env.timeout(round(gap_s * SECOND_NS))
            server.begin(round(service_s() * SECOND_NS))

    env.process(arrivals())
    env.run()
    return server


def waits_s(server: Server) -> ndarray:
    return (np.array(server.began_ns) - np.array(server.asked_ns)) / SECOND_NS


@pytest.mark.parametrize(("load", "wait_s", "customers"), [(0.5, 0.5, 5_000), (0.8, 2.0, 15_000)])
def test_case_13_random_arrivals_constant_service(
    load: float, wait_s: float, customers: int
) -> None:
    """M/D/1: mean wait rho S / (2 (1 - rho))."""
    assert wait_s == pytest.approx(load / (2 * (1 - load)))
    means = []
    for seed in range(REPLICATIONS):
        server = queue(load, lambda: 1.0, np.random.default_rng(seed), customers)
        means.append(server.statistics()["mean_wait_ms"] / 1e3)
    assert covers(means, wait_s)
    assert not covers(means, 1.1 * wait_s)


def test_case_14_random_arrivals_random_service() -> None:
    """M/M/1: mean wait 1.0, twice M/D/1; P(wait > t) = rho exp(-(1 - rho) t / S)."""
    means, beyond = [], {1.0: [], 3.0: []}
    for seed in range(REPLICATIONS):
        rng = np.random.default_rng(seed)
        waits = waits_s(queue(0.5, rng.exponential, rng, 8_000))
        means.append(waits.mean())
        for t_s, shares in beyond.items():
            shares.append(np.mean(waits > t_s))
    assert covers(means, 1.0)
    for t_s, shares in beyond.items():
        assert covers(shares, 0.5 * exp(-0.5 * t_s))


def test_case_17_little_on_random_queue() -> None:
    """Mean length, counted at regular moments, is arrival rate times mean wait."""
    differences = []
    for seed in range(REPLICATIONS):
        rng = np.random.default_rng(seed)
        server = queue(0.7, rng.exponential, rng, 3_000)
        span_ns = server.began_ns[-1] + server.work_ns[-1]
        moments = np.linspace(0, span_ns, 20_001)[1:]
        arrived = np.searchsorted(np.sort(server.asked_ns), moments)
        begun = np.searchsorted(np.sort(server.began_ns), moments)
        rate_per_s = 3_000 / (span_ns / SECOND_NS)
        differences.append(np.mean(arrived - begun) / (rate_per_s * waits_s(server).mean()) - 1)
        assert server.statistics()["mean_queue"] == pytest.approx(
            np.mean(arrived - begun), rel=0.01
        )
    assert np.max(np.abs(differences)) < 0.01  # sampling of 20 000 moments


@pytest.mark.parametrize("program", [MN_TANGO, TANGO])
@pytest.mark.parametrize("duplex", ["half", "full"])
def test_case_17_little_on_every_queue_of_a_run(program: Program, duplex: str) -> None:
    link = ConstantRate(
        duplex=duplex, packets_per_hop=4, attempts=3, loss=Bernoulli(probability=0.2)
    )
    timeline = play(program, link=link)
    jobs = {"core_left": 200 * 2, "core_right": 200 * 2}
    if duplex == "half":
        jobs["link"] = len(timeline.packets)
    else:
        for sender, name in enumerate(("link_left_to_right", "link_right_to_left")):
            jobs[name] = int(np.sum(timeline.packets["sender"] == sender))
    ends = {
        "core_left": timeline.steps["end_ns"][timeline.steps["ear"] == 0].max(),
        "core_right": timeline.steps["end_ns"][timeline.steps["ear"] == 1].max(),
    }
    for name, count in jobs.items():
        sender = timeline.packets["sender"]
        mine = slice(None) if name == "link" else sender == int(name.endswith("to_left"))
        span_ms = ends.get(name, timeline.packets["end_ns"][mine].max()) / 1e6
        mean_queue = count / span_ms * timeline.queue[f"{name}_mean_wait_ms"]
        assert timeline.queue[f"{name}_mean_queue"] == pytest.approx(mean_queue, rel=1e-9)


def two_classes(by_rank: bool, rng: np.random.Generator, high: int, low: int) -> list[float]:
    """Mean waits (s) of both classes: 0.2 a second of 1 s each, 0.3 a second of 1.5 s each."""
    env = simpy.Environment()
    core = Core(env, by_rank)
    waits_s: list[list[float]] = [[], []]

    def customer(rank: int, work_s: float) -> Iterator[simpy.Event]:
        job = core.ask(round(work_s * SECOND_NS), (rank,))
        yield job.granted
        waits_s[rank].append((job.began_ns - job.asked_ns) / SECOND_NS)
        yield env.timeout(job.work_ns)
        core.end(job)

    def arrivals(rank: int, rate: float, work_s: float, customers: int) -> Iterator[simpy.Event]:
        for gap_s in rng.exponential(1 / rate, customers):
            yield env.timeout(round(gap_s * SECOND_NS))
            env.process(customer(rank, work_s))

    env.process(arrivals(0, 0.2, 1.0, high))
    env.process(arrivals(1, 0.3, 1.5, low))
    env.run()
    return [float(np.mean(waits)) for waits in waits_s]


def test_case_15_two_classes() -> None:
    """R = (0.2 1^2 + 0.3 1.5^2) / 2 = 0.4375: R / (1 - 0.2), and that / (1 - 0.65)."""
    means = np.array(
        [two_classes(True, np.random.default_rng(seed), 3000, 4500) for seed in range(REPLICATIONS)]
    )
    assert covers(means[:, 0].tolist(), 0.4375 / 0.8)
    assert covers(means[:, 1].tolist(), 0.4375 / 0.8 / 0.35)
    assert (round(0.4375 / 0.8, 4), round(0.4375 / 0.8 / 0.35, 4)) == (0.5469, 1.5625)
    # First come, first served, both wait 0.4375 / 0.35 = 1.25.
    fair = two_classes(False, np.random.default_rng(1), 3000, 4500)
    assert fair == pytest.approx([1.25, 1.25], rel=0.15)


def test_the_oldest_frame_may_go_first() -> None:
    """Frame n's second part is ready while frame n + 1's first part waits."""
    link = ConstantRate(rate_kbps=1000, latency_ms=17, overhead_octets=0, loss=NoLoss())
    program = (Send("x", 1000, while_capturing=True), compute_ms(2), Receive("x"), compute_ms(3))
    background = (*program[:1], compute_ms(6), *program[2:])
    ends = []
    for order in ("first_come", "oldest_frame"):
        device = DeviceSpec(mmac_per_s=100, order=order)
        timeline = simulate(
            (background, background),
            frames=20,
            hop_ns=HOP_NS,
            devices=(device, device),
            link=link,
            playout=PlayoutSpec(),
            stream=streams(1),
        )
        ends.append(timeline.finished_ns)
    assert np.all(ends[1] <= ends[0])


# ------------------------------------------------------------------------------------- collisions


def aloha(rate: float, slot_s: float, rng: np.random.Generator, senders: int) -> float:
    """Throughput per packet time of many senders of 1 s each; with slots they begin with those."""
    env = simpy.Environment()
    air = ContentionMedium(env)
    sent = []

    def sender(at_s: float) -> Iterator[simpy.Event]:
        yield env.timeout(round(at_s * SECOND_NS))
        sent.append(air.send(SECOND_NS))

    times_s = np.cumsum(rng.exponential(1 / rate, senders))
    if slot_s:
        times_s = np.ceil(times_s / slot_s) * slot_s
    for at_s in times_s:
        env.process(sender(at_s))
    env.run()
    return sum(not transmission.collided for transmission in sent) / times_s[-1]


@pytest.mark.parametrize(("load", "slot_s"), [(0.5, 0), (1.0, 1.0)])
def test_case_25_aloha(load: float, slot_s: float) -> None:
    """Pure: G exp(-2 G); slotted: G exp(-G)."""
    runs = [
        aloha(load, slot_s, np.random.default_rng(s), 3000) for s in range(12, 12 + REPLICATIONS)
    ]
    value = load * exp(-load) if slot_s else load * exp(-2 * load)
    assert covers(runs, value)
    assert value == pytest.approx(0.3679 if slot_s else 0.1839, abs=5e-5)


def test_case_25_two_ears_that_do_not_know_of_each_other() -> None:
    """2 and 3 ms every 16 ms, at any offset: they collide with probability 5/16."""
    link = ConstantRate(rate_kbps=1000, latency_ms=0, overhead_octets=0, loss=NoLoss())
    lost = []
    for offset_ms in np.arange(0.05, 16, 0.1):
        timeline = play(
            (Send("x", 2000),),
            right=(compute_ms(offset_ms), Send("y", 3000)),
            link=link.model_copy(update={"duplex": "unscheduled"}),
            frames=10,
            wait_ms=0,
        )
        packets = timeline.packets[timeline.packets["frame"] == 5]
        assert packets["lost"][0] == packets["lost"][1]
        lost.append(packets["lost"].all())
    assert np.mean(lost) == 5 / 16


# ------------------------------------------------------------------------------------- bursts


def flags(p: float, r: float, k: float, h: float, seed: int, attempts: int) -> ndarray:
    channel = gilbert_elliott(p, r, k, h, np.random.default_rng(seed))
    return np.fromiter(islice(channel, attempts), dtype=bool, count=attempts)


def bursts(lost: ndarray) -> ndarray:
    """Lengths of the runs of lost attempts that are complete."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int)))
    lengths = edges[1::2] - edges[::2]
    return lengths[:-1] if lost[-1] else lengths


@pytest.fixture(scope="module")
def gilbert_runs() -> list[ndarray]:
    return [flags(0.02, 0.25, 1, 0, seed, 40_000) for seed in range(20)]


def test_case_18_gilbert_statistics(gilbert_runs: list[ndarray]) -> None:
    assert covers([run.mean() for run in gilbert_runs], 0.02 / 0.27)
    assert covers([bursts(run).mean() for run in gilbert_runs], 4.0)
    for lag, correlation in ((1, 0.73), (3, 0.73**3)):
        lagged = [np.corrcoef(run[lag:], run[:-lag])[0, 1] for run in gilbert_runs]
        assert covers(lagged, correlation)
    for n in (1, 2, 5):
        assert covers([np.mean(bursts(run) == n) for run in gilbert_runs], 0.25 * 0.75 ** (n - 1))
    assert not covers([bursts(run).mean() for run in gilbert_runs], 4.2)


def test_case_19_three_attempts_in_a_row(gilbert_runs: list[ndarray]) -> None:
    triples = [np.mean(run[:-2] & run[1:-1] & run[2:]) for run in gilbert_runs]
    assert covers(triples, 0.02 / 0.27 * 0.75**2)
    assert pytest.approx(0.04167, abs=1e-5) == 0.02 / 0.27 * 0.75**2
    assert not covers(triples, (0.02 / 0.27) ** 3)


def test_case_20_general_gilbert_elliott() -> None:
    p, r, k, h = 0.05, 0.2, 0.98, 0.3
    value = (r * (1 - k) + p * (1 - h)) / (p + r)
    assert mean_loss(p, r, k, h) == pytest.approx(value, rel=1e-12)
    assert covers([flags(p, r, k, h, seed, 20_000).mean() for seed in range(20)], value)


def test_case_21_parameters_from_loss_and_burst() -> None:
    p, r = transitions(0.05, 3)
    assert p == pytest.approx(0.017544, abs=5e-7)
    assert r == pytest.approx(0.33333, abs=5e-6)
    for loss, burst in ((0.01, 1.5), (0.1, 5), (0.5, 1), (0.9, 9)):
        p, r = transitions(loss, burst)
        assert mean_loss(p, r) == pytest.approx(loss, rel=1e-12)
        assert 1 / r == pytest.approx(burst)


# ------------------------------------------------------------------------------------- retries

ONE_WAY = (Send("z", 4096),)
FAST = {"rate_kbps": 20_000, "duplex": "full"}


def test_case_22_retries() -> None:
    """Three attempts, data lost 0.1, acknowledgement lost 0.05."""
    link = ConstantRate(
        **FAST, packets_per_hop=16, attempts=3, ack_loss=0.05, loss=Bernoulli(probability=0.1)
    )
    residual, transmissions = [], []
    for seed in range(REPLICATIONS):
        attempts = play(ONE_WAY, right=(), link=link, frames=300, seed=seed).packets
        arrived = np.zeros((300, 16), dtype=bool)
        np.logical_or.at(arrived, (attempts["frame"], attempts["piece"]), ~attempts["lost"])
        residual.append(1 - arrived.mean())
        transmissions.append(len(attempts) / arrived.size)
    q = 1 - 0.9 * 0.95
    assert covers(residual, 0.001)
    assert covers(transmissions, (1 - q**3) / (1 - q))
    assert (1 - q**3) / (1 - q) == pytest.approx(1.1660, abs=5e-5)
    assert not covers(transmissions, 1.11)  # as it would be without lost acknowledgements


def test_case_23_delay_of_what_arrives() -> None:
    """Three tries 0.74 ms apart, p = 0.1."""
    airtime_ms = (4096 + 88) / 20_000
    link = ConstantRate(
        **FAST,
        attempts=3,
        retry_spacing_ms=0.74 - airtime_ms,
        latency_ms=1,
        loss=Bernoulli(probability=0.1),
    )
    extra = []
    for seed in range(REPLICATIONS):
        timeline = play(ONE_WAY, right=(), link=link, frames=1000, seed=seed)
        z = timeline.channels["z"]
        there = z.arrived_ns[1] >= 0
        extra.append(np.mean((z.arrived_ns[1] - z.sent_ns[0])[there]) / 1e6 - airtime_ms - 1)
    value = 0.74 * (0.1 * 0.9 + 2 * 0.1**2 * 0.9) / (1 - 0.1**3)
    assert covers(extra, value)
    assert value == pytest.approx(0.0800, abs=1e-4)


def test_case_24_goodput() -> None:
    """A link that always has something to send carries (1 - p) payload per cycle."""
    link = ConstantRate(rate_kbps=500, duplex="full", attempts=16, loss=Bernoulli(probability=0.2))
    cycle_ms = (8192 + 88) / 500
    goodputs = []
    for seed in range(REPLICATIONS):
        timeline = play((Send("z", 8192),), right=(), link=link, seed=seed, wait_ms=0)
        attempts = timeline.packets
        span_ms = (attempts["end_ns"].max() - attempts["start_ns"].min()) / 1e6
        assert span_ms == pytest.approx(len(attempts) * cycle_ms, rel=1e-6)  # never idle
        goodputs.append(np.count_nonzero(~attempts["lost"]) * 8192 / span_ms)
    assert covers(goodputs, 0.8 * 8192 / cycle_ms)
    assert not covers(goodputs, 0.9 * 8192 / cycle_ms)


# ------------------------------------------------------------------------------------- whole runs


def test_case_28_latency_is_the_window() -> None:
    """Ideal link, no work: the first sample of a window of two hops is heard 512 samples later."""
    loopback = (Send("reference", 4096, while_capturing=True), Receive("reference"))
    timeline = play((*loopback, Compute("loopback", 0)), link=IdealLink(), mmac_per_s=1e6)
    window_ns = 512 * 62_500
    first_captured_ns = timeline.released_ns - window_ns
    assert np.all(timeline.deadline_ns - first_captured_ns == window_ns)
    assert timeline.heard.all()
    assert timeline.wait_ns == 0
    # A device that is merely very fast adds its computing, and nothing else.
    fast = play((*loopback, Compute("loopback", 500_000)), link=IdealLink(), mmac_per_s=1e6)
    assert fast.playout_delay_ns == 500


def test_case_35_same_seed_same_bytes_other_algorithm_same_losses() -> None:
    link = ConstantRate(
        duplex="full", attempts=3, jitter_ms=1, ack_loss=0.1, loss=Gilbert(mean_loss=0.3)
    )
    one, again = play(MN_TANGO, link=link, seed=5), play(MN_TANGO, link=link, seed=5)
    assert one.packets.tobytes() == again.packets.tobytes()
    assert one.steps.tobytes() == again.steps.tobytes()
    assert one.finished_ns.tobytes() == again.finished_ns.tobytes()
    other = play(TANGO, link=link, seed=5)
    for sender in (0, 1):
        lost = [run.packets["lost"][run.packets["sender"] == sender] for run in (one, other)]
        shared = min(map(len, lost))
        assert shared >= 200
        np.testing.assert_array_equal(lost[0][:shared], lost[1][:shared])
    assert play(MN_TANGO, link=link, seed=6).packets.tobytes() != one.packets.tobytes()


def test_case_36_listed_frames_are_lost_and_no_others() -> None:
    loss = LossList(left_to_right=(10, 11, 50), right_to_left=(199,))
    link = {"rate_kbps": 2000, "attempts": 2, "packets_per_hop": 2}  # repeats delay nobody else
    timeline = play(MN_TANGO, link=ConstantRate(**link, loss=loss))
    status = timeline.channels["reference"].status
    assert np.flatnonzero(status[1] == Status.LOST).tolist() == [10, 11, 50]
    assert np.flatnonzero(status[0] == Status.LOST).tolist() == [199]
    assert np.count_nonzero(status == Status.ON_TIME) == 2 * 200 - 4
    assert timeline.heard.all()
    # Frames before the first lost packet do not feel it.
    clean = play(MN_TANGO, link=ConstantRate(**link, loss=NoLoss()))
    np.testing.assert_array_equal(clean.finished_ns[:, :10], timeline.finished_ns[:, :10])


@pytest.mark.parametrize("program", [MN_TANGO, TANGO])
def test_case_37_limits(program: Program) -> None:
    channel = "reference" if program is MN_TANGO else "z"
    deaf = play(program, link=ConstantRate(loss=Bernoulli(probability=1)))
    assert np.all(deaf.channels[channel].status == Status.LOST)
    assert deaf.heard.all()
    ideal = play(program, link=IdealLink())
    assert np.all(ideal.channels[channel].status == Status.ON_TIME)
    assert ideal.heard.all()
