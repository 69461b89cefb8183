"""Loss models: limits, monotony, stationary start; their statistics are closed-form cases."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray
from pydantic import TypeAdapter, ValidationError

from hasim.config.spec import InputError
from hasim.simulation.link.losses import (
    Bernoulli,
    Gilbert,
    GilbertElliott,
    LossList,
    LossSpec,
    LossTrace,
    NoLoss,
    Snr,
    fit_gilbert,
    read_trace,
)
from hasim.simulation.link.losses.gilbert import bad_share, gilbert_elliott, mean_loss, transitions
from hasim.simulation.link.losses.snr import bit_error_rate, noise_floor_dbm, packet_error_rate


def pattern(spec: LossSpec, attempts: int, seed: int = 1) -> ndarray:
    lost = spec.process(np.random.default_rng(seed), "left_to_right")
    return np.array([lost(frame, 0, 1) for frame in range(attempts)])


def test_no_loss_loses_nothing() -> None:
    assert not pattern(NoLoss(), 1000).any()


@pytest.mark.parametrize("spec", [Bernoulli(probability=0), Gilbert(mean_loss=0)])
def test_zero_loss_loses_nothing(spec: LossSpec) -> None:
    assert not pattern(spec, 1000).any()


@pytest.mark.parametrize(
    "spec", [Bernoulli(probability=1), Gilbert(mean_loss=1), Gilbert(mean_loss=1, mean_burst=7)]
)
def test_full_loss_loses_everything(spec: LossSpec) -> None:
    assert pattern(spec, 1000).all()


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (Bernoulli(probability=0.05), Bernoulli(probability=0.2)),
        (Gilbert(mean_loss=0.05, mean_burst=3), Gilbert(mean_loss=0.2, mean_burst=3)),
        (Gilbert(mean_loss=0.2, mean_burst=3), Gilbert(mean_loss=1)),
    ],
)
def test_more_loss_only_adds_lost_attempts(less: LossSpec, more: LossSpec) -> None:
    """One seed, two probabilities: what the better channel loses, the worse one loses too."""
    assert np.all(pattern(less, 20_000) <= pattern(more, 20_000))


def test_alternation_is_the_shortest_burst_at_half_loss() -> None:
    """Mean loss 1/2 with bursts of 1 leaves no freedom: p = r = 1, every other attempt is lost."""
    lost = pattern(Gilbert(mean_loss=0.5, mean_burst=1), 100)
    assert np.all(lost[1:] != lost[:-1])


def test_impossible_bursts_say_what_would_be_right() -> None:
    with pytest.raises(ValidationError, match=r"mean_burst must be at least .* = 9 .*\(got 2\)"):
        Gilbert(mean_loss=0.9, mean_burst=2)
    assert Gilbert(mean_loss=0.9, mean_burst=9)


def test_still_channel_has_no_stationary_state() -> None:
    with pytest.raises(ValueError, match="p and r must not both be 0"):
        bad_share(0, 0)


def test_general_channel_with_equal_states_is_independent_loss() -> None:
    """k = h: the state does not matter, neighbours are uncorrelated (3 sigma of 40 000 values)."""
    channel = gilbert_elliott(0.02, 0.25, k=0.7, h=0.7, rng=np.random.default_rng(3))
    lost = np.fromiter(islice(channel, 40_000), dtype=float)
    assert abs(lost.mean() - mean_loss(0.02, 0.25, 0.7, 0.7)) < 3 * np.sqrt(0.21 / 40_000)
    assert abs(np.corrcoef(lost[1:], lost[:-1])[0, 1]) < 3 / np.sqrt(40_000)


def test_stationary_from_the_first_attempt() -> None:
    """The first attempt of many runs is lost as often as any (3 sigma of 4000 runs)."""
    p, r = transitions(0.3, 4)
    first = [
        next(gilbert_elliott(p, r, k=1, h=0, rng=np.random.default_rng(seed)))
        for seed in range(4000)
    ]
    assert abs(np.mean(first) - 0.3) < 3 * np.sqrt(0.21 / 4000)


def test_list_loses_the_named_frames_of_each_direction_at_every_attempt() -> None:
    spec = LossList(left_to_right=(10, 11, 50), right_to_left=(3,))
    left = spec.process(np.random.default_rng(), "left_to_right")
    right = spec.process(np.random.default_rng(), "right_to_left")
    for _ in range(3):
        assert [frame for frame in range(100) if left(frame, 0, 1)] == [10, 11, 50]
        assert [frame for frame in range(100) if right(frame, 0, 1)] == [3]


def test_kind_defaults_to_gilbert() -> None:
    assert TypeAdapter(LossSpec).validate_python({"mean_loss": 0.05}) == Gilbert(mean_loss=0.05)


# ----------------------------------------------------------------------------- steps of time


@pytest.mark.parametrize(
    "spec",
    [
        Gilbert(mean_loss=0.2, mean_burst=8, step_ms=1),
        GilbertElliott(p=0.05, r=0.2, step_ms=1),
        Snr(path_gain_db=-93, coherence_ms=20),
    ],
)
def test_a_process_of_time_moves_on_whoever_sends(spec: LossSpec) -> None:
    """Every second moment asked for, or all of them, out of order too: the state is the same."""
    moments = np.arange(0, 2_000_000_000, 500_000)
    every = spec.process(np.random.default_rng(7), "left_to_right")
    fates = {int(t): every(0, int(t), 1_000_000) for t in moments}  # so long that only time counts
    some = spec.process(np.random.default_rng(7), "left_to_right")
    shuffled = np.random.default_rng(1).permutation(moments[::2])
    # Outcomes are drawn again; with so long a packet they hardly matter.
    if isinstance(spec, Snr):
        same = np.mean([some(0, int(t), 1_000_000) == fates[int(t)] for t in shuffled])
        assert same > 0.95
    else:
        assert all(some(0, int(t), 1) == fates[int(t)] for t in shuffled)
    assert 0.05 < np.mean(list(fates.values())) < 0.95


def test_repeats_within_a_burst_of_time_are_lost_with_it() -> None:
    """Bursts of 50 ms: a repeat 0.74 ms later is nearly as bad, however often attempts are made."""
    spec = Gilbert(mean_loss=0.1, mean_burst=50, step_ms=1)
    first, again = [], []
    for seed in range(30):
        lost = spec.process(np.random.default_rng(seed), "left_to_right")
        for hop in range(250):
            first.append(lost(hop, hop * 16_000_000, 1))
            again.append(first[-1] and lost(hop, hop * 16_000_000 + 740_000, 1))
    # Of the lost, all but those whose burst ended in the step between: 1 - 0.74 / 50 on average.
    assert np.sum(again) / np.sum(first) == pytest.approx(1 - 0.74 / 50, abs=0.02)


def test_elliott_loses_by_the_state_in_steps_of_time() -> None:
    """Within one bad step attempts succeed with h, independently."""
    spec = GilbertElliott(p=1, r=0, k=1, h=0.4, step_ms=10)
    lost = spec.process(np.random.default_rng(3), "left_to_right")
    flags = np.array([lost(0, 5_000_000, 1) for _ in range(4000)])
    assert flags.mean() == pytest.approx(0.6, abs=3 * np.sqrt(0.24 / 4000))
    assert spec.asked(10) == 0.6
    with pytest.raises(ValidationError, match="must not both be 0"):
        GilbertElliott(p=0, r=0)


# ----------------------------------------------------------------------------- signal to noise


def test_case_6_receiver_test_point() -> None:
    """Bit error rate 1e-3, 37 octets of payload: 368 bits."""
    assert 8 * (4 + 2 + 37 + 3) == 368
    assert packet_error_rate(1e-3, 368) == pytest.approx(0.308, abs=5e-4)


def test_case_7_waterfall() -> None:
    """0.0082 of the 2080 bits behind the preamble; 0.0083 with the preamble's 16."""
    assert bit_error_rate(9.80) == pytest.approx(1.0e-3, rel=0.01)
    bits = 8 * (4 + 2 + 251 + 3)
    assert packet_error_rate(bit_error_rate(13.0), bits) == pytest.approx(0.0083, rel=0.01)
    assert packet_error_rate(bit_error_rate(10.0), bits) == pytest.approx(0.81, rel=0.01)


def test_case_8_sensitivity() -> None:
    """Level at which the bit error rate is 1e-3, at 9.80 dB."""
    assert noise_floor_dbm(1, 6) + 9.80 == pytest.approx(-98.2, abs=0.05)
    assert noise_floor_dbm(2, 6) + 9.80 == pytest.approx(-95.2, abs=0.05)


def test_shadowing_is_as_wide_and_as_slow_as_asked_for() -> None:
    spec = Snr(shadowing_sigma_db=6, coherence_ms=50)
    fades = spec._fades_db(np.random.default_rng(2))
    values = np.array(list(islice(fades, 400_000)))
    assert values.std() == pytest.approx(6, rel=0.03)
    for lag in (10, 50):
        correlation = np.corrcoef(values[lag:], values[:-lag])[0, 1]
        assert correlation == pytest.approx(np.exp(-lag / 50), abs=0.03)


def test_loss_by_snr_is_the_mean_over_the_shadowing() -> None:
    """Close to the probability that the margin is used up: 13 dB at sigma 6 dB are 1.5 %."""
    spec = Snr(path_gain_db=-82.2, shadowing_sigma_db=6, coherence_ms=2)
    outage = Snr(path_gain_db=-(95.2 - 13.0), shadowing_sigma_db=6).asked(1)
    assert outage == pytest.approx(0.015, abs=0.01)
    rates = []
    for seed in range(10):
        lost = spec.process(np.random.default_rng(seed), "left_to_right")
        rates.append(np.mean([lost(0, t * 10_000_000, 2080) for t in range(4000)]))
    assert np.mean(rates) == pytest.approx(spec.asked(1), abs=3 * np.std(rates) / np.sqrt(10))
    dry = Snr(path_gain_db=-95, shadowing_sigma_db=0)
    assert dry.asked(1) == packet_error_rate(bit_error_rate(dry.mean_snr_db), 2080)


def test_longer_packets_are_lost_more_often() -> None:
    rates = [packet_error_rate(bit_error_rate(11), bits) for bits in (100, 1000, 10_000)]
    assert rates == sorted(rates)
    assert packet_error_rate(1e-18, 1000) == pytest.approx(1e-15)


# ----------------------------------------------------------------------------- traces


@pytest.mark.parametrize(
    "text",
    [
        "0 1 1 0\n0",
        "0,1,1,0,0",
        "0\n1\n1\n0\n0\n",
        "lost\n0\n1\ntrue\nFalse\n0\n",
        "ms,lost\n0,0\n16,1\n32,1\n48,0\n64,0\n",
    ],
)
def test_traces_are_read_in_every_form(text: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    file.write_text(text)
    flags = [False, True, True, False, False]
    assert read_trace(file) == {"left_to_right": flags, "right_to_left": flags}
    spec = LossTrace(file=file)
    assert pattern(spec, 12).tolist() == (flags * 3)[:12]
    assert spec.asked(100) == 0.4


def test_directions_may_have_columns_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "both.csv"
    file.write_text("left_to_right,right_to_left\n0,1\n1,1\n")
    assert read_trace(file) == {"left_to_right": [False, True], "right_to_left": [True, True]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no packets"),
        ("0 1 2", "packet 3 is '2'"),
        ("lost\n0\n\n", None),
        ("left_to_right\n0", "column for each"),
        ("ms,lost\n0", "packet 1 is ''"),
    ],
)
def test_broken_traces_are_reported(text: str, message: str | None, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    if message is None:
        assert read_trace(file)["left_to_right"] == [False]
        return
    with pytest.raises(InputError, match=message):
        read_trace(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_trace(tmp_path / "nowhere.csv")


def test_fit_finds_the_channel_it_came_from() -> None:
    """95 % intervals cover the truth in most of 40 runs, and are not wider than need be."""
    p, r = 0.02, 0.25
    covered = np.zeros(4)
    for seed in range(40):
        channel = gilbert_elliott(p, r, 1, 0, np.random.default_rng(seed))
        fit = fit_gilbert(list(islice(channel, 20_000)))
        truth = (p, r, p / (p + r), 1 / r)
        found = (fit.p, fit.r, fit.mean_loss, fit.mean_burst)
        covered += [e.low <= value <= e.high for e, value in zip(found, truth, strict=True)]
        assert fit.evidence > 100
        assert fit.mean_burst.high - fit.mean_burst.low < 1.5
    assert (covered >= 35).all()  # of 38 on average; 4 sigma below are 34


def test_fit_of_independent_losses_sees_no_bursts() -> None:
    fit = fit_gilbert((np.random.default_rng(1).random(5000) < 0.2).tolist())
    assert fit.evidence < 4
    assert fit.mean_burst.low < 1 / 0.8 < fit.mean_burst.high
    assert fit.mean_loss.low < 0.2 < fit.mean_loss.high


def test_fit_by_hand() -> None:
    fit = fit_gilbert([False, True, True, False, False, True, False, False])
    assert (fit.p.value, fit.r.value) == (2 / 4, 2 / 3)
    assert fit.mean_burst.value == 1.5
    assert (fit.packets, fit.bursts) == (8, 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([True] * 9, "every packet"),
        ([False] * 9, "no packet"),
        ([False], "two"),
        ([True, False], "complete burst"),
    ],
)
def test_traces_without_bursts_cannot_be_fitted(flags: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_gilbert(flags)
