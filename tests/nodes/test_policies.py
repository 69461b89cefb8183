"""Exchange policies in time and sound together: wait, fixed budget, older frames, statistics."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.dsp.oracle_masks import oracle_mask
from hasim.dsp.stft import analyse
from hasim.experiment.run import simulate_time
from hasim.experiment.scenario import Scenario
from hasim.nodes.exchange import Exchange
from hasim.simulation.timeline import Status
from tests.conftest import two_source_scene

WINDOW_MS, HOP_MS = 32.0, 16.0


def played(algorithm=None, link=None, playout=None):
    """A scenario of 0.75 s, its timeline, and the spectra that come out."""
    scenario = Scenario.model_validate(
        {
            "duration_s": 0.75,
            "algorithm": {"kind": "mn_tango", "covariance": {"tau_s": 0.3}} | (algorithm or {}),
            "link": {"rate_kbps": 2000, "latency_ms": 9.0, "loss": {"kind": "none"}} | (link or {}),
            "playout": playout or {},
        }
    )
    target, noise = two_source_scene(np.random.default_rng(1), 12_000)
    front_end = scenario.front_end
    timeline = simulate_time(scenario)
    mixture = target + noise
    mics = analyse(mixture, front_end)
    mask = oracle_mask("irm1", analyse(target[:, 0], front_end), analyse(noise[:, 0], front_end))
    exchange = Exchange(timeline, scenario.link.codec, front_end, mics, mixture)
    enhanced = scenario.algorithm.enhance(mics, exchange, lambda network, *inputs: mask)
    return timeline, enhanced.output


def statuses(timeline):
    return timeline.channels["reference"].status


def delay_ms(timeline):
    return timeline.playout_delay_ns / 1e6


def test_delaying_the_local_path_is_waiting_a_fixed_time():
    """With a budget of 20 ms for a link that takes up to 15 ms everything is in time, latency
    grows to the budget and what is computed after it, and the sound is that of a perfect link."""
    jitter = {"jitter_ms": 6.0}
    free, undelayed = played(link={"latency_ms": 0.0, "rate_kbps": 1e6})
    waiting, _ = played(link=jitter)
    budget, delayed = played(link=jitter, playout={"wait_ms": 20.0})
    assert (statuses(budget) == Status.ON_TIME).all()
    np.testing.assert_array_equal(delayed, undelayed)
    after_the_wait_ms = delay_ms(waiting) - waiting.wait_ns / 1e6
    assert delay_ms(budget) == pytest.approx(20.0 + after_the_wait_ms, abs=1e-3)
    assert delay_ms(budget) > delay_ms(waiting) > delay_ms(free)


def test_older_frames_cost_no_waiting():
    """A packet that was sent a hop ago is there, so a frame is ready as soon as without a partner
    (but for the wider filter), and the sound is another one."""
    waiting, fresh = played()
    stale, older = played({"exchange": {"kind": "stale"}})
    assert stale.wait_ns == 0
    assert (statuses(stale)[:, :-1] == Status.ON_TIME).all()
    assert delay_ms(waiting) - delay_ms(stale) > 5.0
    assert np.abs(fresh - older).max() > 1e-3 * np.abs(fresh).max()


def test_without_waiting_all_is_late_and_only_statistics_can_use_it():
    """9 ms on the way and no wait: nothing is in time; with `late_too` the covariances learn all of
    it, one frame later, which is what stats_only does on purpose."""
    playout = {"wait_ms": 0.0}
    predict = {"concealment": "predict"}
    none, silent = played(predict, playout=playout)
    assert (statuses(none) == Status.LATE).all()
    assert not silent.any()  # nothing was ever learnt
    _, learnt = played(predict | {"learn_from": "late_too"}, playout=playout)
    on_purpose, same = played(predict | {"exchange": {"kind": "stats_only"}})
    assert (statuses(on_purpose)[:, :-1] == Status.ON_TIME).all()
    heard = learnt.shape[-1] - 4  # the last packets are late for the last frames
    np.testing.assert_allclose(learnt[..., :heard], same[..., :heard], atol=1e-12)
    assert np.abs(same).max() > 0


def test_local_only_without_waiting_is_the_local_algorithm():
    """Case 37 by lateness instead of loss."""
    _, alone = played({"kind": "local"})
    _, linked = played(playout={"wait_ms": 0.0})
    np.testing.assert_array_equal(linked, alone)
