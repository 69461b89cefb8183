"""Fewer bits while the link is behind: in time, and in the sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hasim.dsp.stft import FrontEndSpec, analyse
from hasim.nodes.blocks import filtered_exchange, raw_exchange
from hasim.nodes.exchange import Exchange
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.codecs import Pcm
from hasim.simulation.link.losses import Bernoulli, NoLoss
from hasim.simulation.link.traffic import ConstantRate, LinkSpec, Tdma, carried_kbps, offered_kbps
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Program, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Deliveries, Status, Timeline
from tests.conftest import hand_made_timeline

FRONT_END = FrontEndSpec()
HOP_NS = 16_000_000
CODEC = Pcm(bits=16, fewer_bits=(8, 4))


def play(program: Program, link: LinkSpec, frames: int = 100) -> Timeline:
    return simulate(
        (program, program),
        frames=frames,
        hop_ns=HOP_NS,
        devices=(DeviceSpec(mmac_per_s=1e4), DeviceSpec(mmac_per_s=1e4)),
        link=link,
        playout=PlayoutSpec(),
        stream=lambda name: np.random.default_rng([1, *name.encode()]),
    )


@pytest.mark.parametrize(
    "link",
    [
        ConstantRate(rate_kbps=200, duplex="full", loss=NoLoss()),
        ConstantRate(rate_kbps=300, attempts=3, loss=Bernoulli(probability=0.2)),
        Tdma(phy_kbps=450, max_payload=130, loss=Bernoulli(probability=0.2)),
    ],
)
@pytest.mark.parametrize("exchange", [raw_exchange, filtered_exchange])
def test_bits_follow_the_queue(link: LinkSpec, exchange) -> None:
    """Each payload is as many steps down as there were others of its ear that had not begun."""
    timeline = play(exchange("x", FRONT_END, CODEC), link)
    x, packets = timeline.channels["x"], timeline.packets
    seen = set()
    for ear in (0, 1):
        mine = packets[(packets["sender"] == ear) & (packets["attempt"] == 0)]
        last_start_ns = np.full(100, np.iinfo(np.int64).max)
        for frame in range(100):
            starts = mine["start_ns"][mine["frame"] == frame]
            last_start_ns[frame] = starts.max() if len(starts) else last_start_ns[frame]
        for frame in range(100):
            if isinstance(link, ConstantRate) and link.attempts == 1:
                now_ns = x.sent_ns[ear, frame]
                waiting = np.count_nonzero(last_start_ns[:frame] > now_ns)
                assert x.rung[ear, frame] == min(waiting, 2)
            seen.add(int(x.rung[ear, frame]))
    assert {0, 1} <= seen


def test_a_link_too_slow_for_all_bits_is_fast_enough_for_fewer() -> None:
    """261.5 kbit/s with 16 bits, 69.5 with 4, of 200: the backlog does not grow."""
    link = ConstantRate(rate_kbps=200, duplex="full", loss=NoLoss())
    program = raw_exchange("x", FRONT_END, CODEC)
    plain = (program, program)
    assert offered_kbps(plain, link, HOP_NS)[0] == 69.5 < carried_kbps(plain, link, HOP_NS)[0]
    timeline = play(program, link, frames=400)
    x = timeline.channels["x"]
    assert (x.status == Status.ON_TIME).all()
    assert timeline.heard.all()
    assert x.waits_ns[0] < 4 * HOP_NS
    fixed = play(raw_exchange("x", FRONT_END, Pcm(bits=16)), link, frames=400)
    assert (fixed.channels["x"].status == Status.LATE).mean() > 0.9
    bits = np.array([4096, 2048, 1024])[x.rung]
    assert (bits + 88).sum(axis=1).max() / (400 * 16) < 201


def test_without_a_queue_nothing_changes() -> None:
    link = ConstantRate(rate_kbps=2000, loss=NoLoss())
    one = play(raw_exchange("x", FRONT_END, CODEC), link)
    other = play(raw_exchange("x", FRONT_END, Pcm(bits=16)), link)
    np.testing.assert_array_equal(one.finished_ns, other.finished_ns)
    assert not one.channels["x"].rung.any()


@pytest.mark.parametrize(("domain", "lag"), [("samples", 0), ("samples", 1), ("spectrum", 0)])
def test_packets_are_rounded_with_the_bits_they_had(
    domain: str, lag: int, rng: np.random.Generator
) -> None:
    """What travelled in a packet with few bits is as with few bits throughout, and so for all."""
    samples = 8192
    sound = 0.1 * rng.standard_normal((2, 2, samples))
    mics = analyse(sound, FRONT_END)
    plain = hand_made_timeline(FRONT_END, samples, lags={"reference": lag})
    frames = mics.shape[-1]
    rung = rng.integers(0, 3, (2, frames))

    def heard(codec: Pcm, rung: np.ndarray | None = None) -> np.ndarray:
        given: Deliveries = plain.channels["reference"]
        given = given if rung is None else replace(given, rung=rung)
        timeline = replace(plain, channels={"reference": given})
        return Exchange(timeline, codec, FRONT_END, mics, sound)("reference", mics[:, :1]).signal

    codec = Pcm(bits=12, fewer_bits=(6, 3), domain=domain)
    mixed = heard(codec, rung)
    pure = [heard(step) for step in codec.ladder]
    whole = 2 if domain == "samples" else 1  # packets that a frame hangs on
    checked = 0
    for ear in (0, 1):
        for frame in range(whole, frames - lag - 1):
            travelled = rung[1 - ear, frame + lag - whole + 1 : frame + lag + 1]
            if len(set(travelled)) == 1:
                expected = pure[travelled[0]][ear, :, :, frame]
                np.testing.assert_allclose(mixed[ear, :, :, frame], expected, atol=1e-12)
                checked += 1
    assert checked > 10


def test_ladders_only_lead_down() -> None:
    assert [step.bits for step in CODEC.ladder] == [16, 8, 4]
    with pytest.raises(ValueError, match=r"fewer_bits: must fall .* \(got 8, 8\)"):
        Pcm(fewer_bits=(8, 8))
    with pytest.raises(ValueError, match="fewer_bits"):
        Pcm(bits=8, fewer_bits=(8,))


def test_only_one_ear_may_adapt() -> None:
    """A ladder in one program: the other's payloads keep their size."""
    link = ConstantRate(rate_kbps=200, duplex="full", loss=NoLoss())
    programs = ((Send("x", 4096, ladder=(1024,)), Receive("x")), (Send("x", 1000), Receive("x")))
    timeline = simulate(
        programs,
        frames=50,
        hop_ns=HOP_NS,
        devices=(DeviceSpec(), DeviceSpec()),
        link=link,
        playout=PlayoutSpec(),
        stream=lambda name: np.random.default_rng([1, *name.encode()]),
    )
    assert (timeline.channels["x"].status == Status.ON_TIME).all()
    airtime_ns = timeline.packets["end_ns"] - timeline.packets["start_ns"]
    assert len(set(airtime_ns[timeline.packets["sender"] == 0])) == 2
    assert len(set(airtime_ns[timeline.packets["sender"] == 1])) == 1
