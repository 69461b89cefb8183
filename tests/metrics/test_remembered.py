"""Slow scores are computed once for the same signals."""

from __future__ import annotations

import numpy as np
import pystoi
import pytest

from hasim.metrics import remembered as memory
from hasim.metrics.remembered import remembered
from hasim.metrics.scoring import score_run
from hasim.metrics.signals import Signals


@pytest.fixture(autouse=True)
def _empty(monkeypatch):
    memory._scores.clear()
    yield
    memory._scores.clear()


def test_the_noisy_microphone_of_a_scene_is_scored_once(rng, monkeypatch):
    speech, noise = rng.standard_normal((2, 2, 16_000))
    noisy = speech + noise
    calls = []
    honest = pystoi.stoi

    def counting(*given, **options):
        calls.append(given)
        return honest(*given, **options)

    monkeypatch.setattr(pystoi, "stoi", counting)
    found = []
    for gain in (0.5, 0.25):
        # Other objects with the same content, as another run has them.
        signals = Signals(
            16_000, speech.copy(), noise.copy(), noisy.copy(), estimate=speech + gain * noise
        )
        found.append(score_run(["stoi"], signals))
    assert len(calls) == 2 * 3
    assert found[0]["stoi_noisy_left"] == found[1]["stoi_noisy_left"]
    memory._scores.clear()
    assert score_run(["stoi"], signals) == found[1]


def test_other_signals_or_settings_have_other_scores(rng):
    one, other = rng.standard_normal((2, 100))
    assert remembered("a", (one, other), lambda: 1) == 1
    assert remembered("a", (one.copy(), other), lambda: 2) == 1
    assert remembered("a", (other, one), lambda: 3) == 3
    assert remembered("b", (one, other), lambda: 4) == 4
    assert remembered("a", (one.astype(np.float32), other), lambda: 5) == 5
    changed = one.copy()
    changed[3] += 1e-12
    assert remembered("a", (changed, other), lambda: 6) == 6


def test_failures_are_not_remembered(rng):
    (signal,) = rng.standard_normal((1, 10))
    with pytest.raises(ZeroDivisionError):
        remembered("a", (signal,), lambda: 1 / 0)
    assert remembered("a", (signal,), lambda: 1) == 1


def test_memory_is_bounded(rng, monkeypatch):
    monkeypatch.setattr(memory, "MAX_SCORES", 3)
    for number in range(6):
        remembered(str(number), (), lambda number=number: number)
    assert len(memory._scores) == 3
    assert remembered("5", (), lambda: None) == 5
    assert remembered("0", (), lambda: "again") == "again"
