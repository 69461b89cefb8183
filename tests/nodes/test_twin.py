"""The literal twin and the program agree: same sound, with and without loss, for every node."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.dsp.oracle_masks import oracle_mask
from hasim.dsp.stft import analyse
from hasim.experiment.playout import as_heard
from hasim.experiment.run import simulate_time
from hasim.experiment.scenario import Scenario
from hasim.nodes.exchange import Exchange
from hasim.simulation.device.device import DeviceSpec, DevicesSpec
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import macs_per_frame
from hasim.simulation.timeline import Mode, Timeline
from tests.conftest import two_source_scene
from tests.literal_twin import Twin

SAMPLES = 2_400
LOSSES = {
    "no loss": {"kind": "none"},
    "loss": {"kind": "list", "left_to_right": [3, 9, 10, 22], "right_to_left": [0, 10, 11, 12, 30]},
}


def scenario_of(kind, loss, **algorithm):
    if kind != "passthrough":
        algorithm["masks"] = "oracle"
    return Scenario.model_validate(
        {
            "duration_s": 0.5,  # the smallest allowed; the sound here is shorter
            "front_end": {"window": 128, "hop": 64},
            "algorithm": {"kind": kind, **algorithm},
            "devices": {"left": {"mmac_per_s": 400}, "right": {"mmac_per_s": 300}},
            "link": {"rate_kbps": 3000, "latency_ms": 0.1, "loss": loss, "codec": {"bits": 8}},
        }
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("passthrough", {}),
        ("local", {}),
        ("centralised", {}),
        ("centralised", {"concealment": "zero"}),
        ("tango", {}),
        ("mn_tango", {}),
        ("mn_tango", {"concealment": "zero", "mu": 2.0}),
        ("mn_tango", {"concealment": "zero", "learn_from": "all"}),
        ("mn_tango", {"concealment": "predict"}),
        ("mn_tango", {"exchange": {"kind": "stale", "frames": 2}}),
        ("tango", {"exchange": {"kind": "stale"}, "concealment": "predict"}),
        ("inverted_dagger", {}),
        ("inverted_dagger", {"first_filter": "local"}),
        ("inverted_star", {}),
        ("inverted_star", {"second_exchange": False}),
    ],
)
def test_stepping_inside_the_events_gives_the_same_sound(kind, algorithm, loss, rng):
    assert_same_sound(scenario_of(kind, LOSSES[loss], **algorithm), rng)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["local", "tango", "mn_tango", "inverted_dagger"])
def test_held_filters_sound_the_same(kind, loss, rng):
    """Too little time: some of the frames hold the filter, on one ear more than on the other."""
    scenario = scenario_of(kind, LOSSES[loss])
    program = scenario.algorithm.program(scenario.front_end, scenario.link.codec)
    asked_mmac_per_s = macs_per_frame(program) / scenario.hop_ns * 1e3
    left = DeviceSpec(mmac_per_s=asked_mmac_per_s / 1.3, overload="hold_filter")
    right = DeviceSpec(mmac_per_s=asked_mmac_per_s / 0.9, overload="hold_filter")
    changes = {
        "devices": DevicesSpec(left=left, right=right),
        "playout": PlayoutSpec(wait_ms=6, delay_ms=15),
    }
    held = assert_same_sound(scenario.model_copy(update=changes), rng).mode == Mode.HELD
    assert 0.05 < held[0].mean() < 0.95
    assert held[1].mean() < held[0].mean()


def assert_same_sound(scenario, rng) -> Timeline:
    # two thirds of the smallest duration are enough, and the twin is slow
    scenario = scenario.model_copy(update={"duration_s": SAMPLES / 16_000})
    target, noise = two_source_scene(rng, SAMPLES)
    front_end = scenario.front_end
    timeline = simulate_time(scenario)
    mixture = target + noise
    mics = analyse(mixture, front_end)
    mask = oracle_mask("irm1", analyse(target[:, 0], front_end), analyse(noise[:, 0], front_end))
    exchange = Exchange(timeline, scenario.link.codec, front_end, mics, mixture)
    enhanced = scenario.algorithm.enhance(mics, exchange, lambda network, *inputs: mask)
    fast = as_heard(scenario, timeline, enhanced.output, mics)

    waits_ns = {name: deliveries.waits_ns for name, deliveries in timeline.channels.items()}
    twin = Twin(scenario, mixture, mask, mics.shape[-1], waits_ns, timeline.playout_delay_ns)
    slow = twin.run()
    assert np.abs(slow).max() > 1e-3
    np.testing.assert_allclose(fast, slow, atol=1e-9 * np.abs(slow).max(), rtol=0)
    return timeline
