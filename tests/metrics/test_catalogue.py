"""What the catalogue says of metrics, and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hasim.metrics import Metric, Quantity, Signals, Unscored, catalogue, register, unregister
from hasim.metrics.scoring import score_run, score_stage

TARGET = np.stack([np.sin(np.arange(100.0))] * 2)
SIGNALS = Signals(16000, TARGET, 0.5 * TARGET, 1.5 * TARGET, 1.25 * TARGET)
DISTANCE = Quantity("distance", "distance", "dB", better="lower")


def rms(signals: Signals) -> dict[str, float]:
    return {
        f"distance_db_{ear}": float(np.sqrt(np.mean((e - s) ** 2)))
        for ear, s, e in zip(("left", "right"), signals.target, signals.estimate, strict=True)
    }


@pytest.fixture
def known():
    """Registers metrics for the length of a test."""
    names = []

    def add(metric: Metric) -> Metric:
        register(metric)
        names.append(metric.name)
        return metric

    yield add
    for name in dict.fromkeys(names):
        unregister(name)


def test_the_catalogue_is_read_without_heavy_libraries():
    code = (
        "import sys, hasim.metrics.catalogue; "
        "print(sorted({'scipy', 'pesq', 'pystoi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_two_metrics_give_the_same_number():
    columns = [column for one in catalogue.BUILT_IN for q in one.quantities for column in q.columns]
    assert len(columns) == len(set(columns))


def test_an_improvement_is_positive_where_lower_is_better_too(known):
    known(Metric("distance", rms, (DISTANCE,)))
    numbers = score_run(["distance"], SIGNALS)
    assert numbers["distance_noisy_db_left"] > numbers["distance_enhanced_db_left"]
    assert numbers["distance_improvement_db_left"] == pytest.approx(
        numbers["distance_noisy_db_left"] - numbers["distance_enhanced_db_left"]
    )
    assert not catalogue.column("distance_enhanced_db_left").larger_is_better
    assert catalogue.column("distance_improvement_db").larger_is_better


def test_a_number_of_both_ears_has_no_ear_in_its_name(known):
    both = Quantity("binaural", "binaural", per_ear=False)
    known(Metric("binaural", lambda signals: {"binaural": np.ptp(signals.estimate)}, (both,)))
    assert list(score_run(["binaural"], SIGNALS)) == [
        "binaural_noisy",
        "binaural_enhanced",
        "binaural_improvement",
    ]
    assert score_stage(["binaural"], SIGNALS, TARGET) == {"binaural": np.ptp(TARGET)}


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_not_finite_is_unscored(known, number):
    ratio = Quantity("ratio", "ratio", compared=False)
    metric = Metric("ratio", lambda _: {"ratio_left": number, "ratio_right": 1}, (ratio,))
    assert score_run([known(metric).name], SIGNALS) == {
        "ratio_left": Unscored(f"the metric gives {number}"),
        "ratio_right": 1.0,
    }


def test_a_metric_gives_what_its_quantities_say(known):
    for given in ({"distance_left": 1.0}, {"distance_db_left": 1.0}, {}):
        known(Metric("wrong", lambda _, given=given: given, (DISTANCE,)))
        with pytest.raises(ValueError, match="metric wrong: must give distance_db_left, distance"):
            score_run(["wrong"], SIGNALS)


def test_names_and_units_are_checked():
    with pytest.raises(ValueError, match="name: must be lower case"):
        Quantity("SI-SDR", "SI-SDR")
    with pytest.raises(ValueError, match=r"x: unit must be among '', 'dB', .*got 'decibel'"):
        Quantity("x", "x", "decibel")
    with pytest.raises(ValueError, match="metrics: hasim has si_sdr; take another name"):
        register(Metric("mine", rms, (Quantity("si_sdr", "mine", "dB"),)))
    with pytest.raises(ValueError, match="metrics: hasim has stoi"):
        register(Metric("stoi", rms, (DISTANCE,)))
    with pytest.raises(KeyError):
        unregister("mine")


@pytest.mark.parametrize("name", ["latency_ms", "si_sdr", "si_sdr_loss_db", "pesq_segments_left"])
def test_what_is_no_score_is_no_column_of_the_catalogue(name):
    assert catalogue.column(name) is None
