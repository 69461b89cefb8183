"""The contract of metrics: hasim's own fulfil it, and each way of breaking it is found."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from hasim.metrics import Metric, Quantity
from hasim.metrics.catalogue import BUILT_IN
from hasim.metrics.contract import check

BUILT = [one for one in BUILT_IN if one.name != "pesq" or find_spec("pesq")]


def problems(metric) -> dict[str, str]:
    return {one.name: one.problem for one in check(metric) if one.problem}


@pytest.mark.parametrize("metric", BUILT, ids=lambda metric: metric.name)
def test_the_metrics_of_hasim_fulfil_the_contract(metric):
    assert problems(metric) == {}


def error_db(signals):
    error = np.sum((signals.estimate - signals.target) ** 2, axis=-1)
    left, right = 10 * np.log10(error + 1e-12)
    return {"error_db_left": float(left), "error_db_right": float(right)}


def metric(measure, better="lower"):
    return Metric("error", measure, (Quantity("error", "error", "dB", better=better),))


def only_left(signals):
    return {"error_db_left": error_db(signals)["error_db_left"]}


def first_ear_twice(signals):
    left = error_db(signals)["error_db_left"]
    return {"error_db_left": left, "error_db_right": 0.0}


def in_place(signals):
    signals.target[:] *= 0.9
    return error_db(signals)


def raising(signals):
    if not signals.estimate.any():
        raise ZeroDivisionError("silence")
    return error_db(signals)


@pytest.mark.parametrize(
    ("one", "name", "said"),
    [
        (metric(only_left), "gives every number of its quantities", "must give error_db_left, "),
        (metric(first_ear_twice), "gives both ears' numbers in exchange", "ears exchanged"),
        (metric(in_place), "leaves the signals alone", "changes target"),
        (metric(raising), "gives no NaN for silence", "ZeroDivisionError: silence"),
        (metric(error_db, "higher"), "is better for less noise", "higher is declared better"),
        (Metric("si_sdr", error_db, ()), "has a name that is free, and quantities", "no quantit"),
    ],
)
def test_every_way_of_breaking_it_is_found(one, name, said):
    assert said in problems(one)[name]


def test_a_sound_metric_passes():
    assert problems(metric(error_db)) == {}
