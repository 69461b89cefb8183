"""How fast a run is, once its scene is there; the literal twin's time beside it. `pytest -m
benchmark -s`."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hasim.dsp.oracle_masks import oracle_mask
from hasim.dsp.stft import analyse
from hasim.experiment.playout import as_heard
from hasim.experiment.run import enhance, render_scene, simulate_time
from hasim.experiment.scenario import Scenario
from tests.conftest import two_source_scene
from tests.literal_twin import Twin


@pytest.mark.benchmark
@pytest.mark.timeout(1200)
def test_ten_seconds_of_mn_tango_take_at_most_one(rng):
    """Timeline and sound, scene given, scores left out: seconds of one core.

    Processor time, so that other work on the machine does not count; run with OMP_NUM_THREADS=1.
    """
    scenario = Scenario(duration_s=10.0)
    scene = render_scene(scenario)
    enhance(scenario, scene, simulate_time(scenario))  # imports
    times = []
    for _ in range(5):
        start = time.process_time()
        timeline = simulate_time(scenario)
        enhanced, mics = enhance(scenario, scene, timeline)
        as_heard(scenario, timeline, enhanced.output, mics)
        times.append(time.process_time() - start)

    samples = 16_000
    target, noise = two_source_scene(rng, samples)
    spectra = [analyse(x[:, 0], scenario.front_end) for x in (target, noise)]
    mask = oracle_mask("irm1", *spectra)
    twin = Twin(
        scenario, target + noise, mask, mask.shape[-1], {"reference": (20_000_000,) * 2}, 30_000_000
    )
    start = time.process_time()
    twin.run()
    literal_s = (time.process_time() - start) * 10
    print(f"\n10 s of mn_tango: {np.median(times):.2f} s; literal twin: {literal_s:.0f} s")
    assert np.median(times) <= 1.0
