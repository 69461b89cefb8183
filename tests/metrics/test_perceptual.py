"""STOI, ESTOI and PESQ: what they must answer, and that no failure in them stops a run."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hasim.metrics import Signals, Unscored
from hasim.metrics import pesq as pesq_metric
from hasim.metrics.pesq import pesq
from hasim.metrics.scoring import score_run, score_stage
from hasim.metrics.stoi import stoi
from tests.odd_work import score_or_trouble

RATE = 16000
needs_pesq = pytest.mark.skipif(sys.platform == "win32", reason="pesq has no Windows wheel")


def talker(seconds: float, seed: int = 4) -> np.ndarray:
    """Bursts of noise with the slope of speech, 4 a second, with pauses: like speech."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    noise = np.convolve(rng.standard_normal(samples), 0.8 ** np.arange(20), "same")
    time = np.arange(samples) / RATE
    syllables = np.maximum(np.sin(2 * np.pi * 4 * time), 0) ** 0.5
    return 0.05 * noise * syllables * (np.sin(2 * np.pi * 0.5 * time) > -0.5)


def signals(target: np.ndarray, enhanced: np.ndarray, noise_level: float = 0.05) -> Signals:
    noise = noise_level * np.random.default_rng(5).standard_normal((2, len(target)))
    both = np.stack([target, target])
    output = np.stack([enhanced, enhanced])
    return Signals(RATE, both, noise, both + noise, output, both, noise)


def test_intelligibility_falls_with_noise_and_ignores_level():
    clean = talker(2.0)
    noise = np.random.default_rng(6).standard_normal(len(clean))
    for extended in (False, True):
        scores = [
            stoi(clean, clean + level * noise, RATE, extended=extended)
            for level in (0.0, 0.01, 0.05, 0.3)
        ]
        assert scores[0] == pytest.approx(1.0, abs=1e-6)
        assert scores == sorted(scores, reverse=True)
        louder = stoi(clean, 7.0 * (clean + 0.05 * noise), RATE, extended=extended)
        assert louder == pytest.approx(scores[2], abs=1e-6)


def test_estoi_repeats_to_the_last_digit_and_leaves_the_global_generator_alone():
    clean = talker(1.0)
    noisy = clean + 0.05 * np.random.default_rng(6).standard_normal(len(clean))
    np.random.seed(1)  # noqa: NPY002
    first = stoi(clean, noisy, RATE, extended=True)
    drawn = np.random.standard_normal()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert drawn == np.random.standard_normal()  # noqa: NPY002
    assert stoi(clean, noisy, RATE, extended=True) == first


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.39, 0.45])
def test_too_short_for_stoi_is_said_and_never_scored(seconds):
    clean = talker(1.0)[: round(seconds * RATE)]
    score = stoi(clean, clean, RATE)
    assert isinstance(score, Unscored)
    assert "too short" in score.reason or seconds == 0.0


def test_silent_output_has_no_stoi_and_no_pesq():
    clean = talker(1.0)
    numbers = score_run(["stoi", "estoi", "pesq"], signals(clean, 0 * clean))
    for name in ("stoi", "estoi", "pesq"):
        assert numbers[f"{name}_enhanced_left"] == Unscored("silent output")
        assert numbers[f"{name}_improvement_right"] == Unscored("enhanced: silent output")


@needs_pesq
def test_pesq_ranks_and_names_both_ears():
    clean = talker(2.0)
    numbers = score_run(["pesq"], signals(clean, clean))
    assert list(numbers) == [
        *(f"pesq_{state}_left" for state in ("noisy", "enhanced", "improvement")),
        *(f"pesq_{state}_right" for state in ("noisy", "enhanced", "improvement")),
        "pesq_segments_left",
        "pesq_segments_right",
    ]
    assert numbers["pesq_enhanced_left"] == pytest.approx(4.644, abs=0.001)  # P.862.2: its largest
    assert 1.0 < numbers["pesq_noisy_left"] < 3.0
    assert numbers["pesq_segments_left"] == 1
    # One more waveform scores like the enhanced one.
    noisy = signals(clean, clean).noisy
    stage = score_stage(["pesq"], signals(clean, clean), noisy)
    assert stage == {f"pesq_{ear}": numbers[f"pesq_noisy_{ear}"] for ear in ("left", "right")}


@needs_pesq
def test_pesq_equals_the_library_called_directly():
    from pesq import pesq as library

    clean = talker(1.5)
    noisy = clean + 0.02 * np.random.default_rng(7).standard_normal(len(clean))
    assert pesq(clean[None], noisy[None]) == [library(RATE, clean, noisy, "wb")]


@needs_pesq
def test_pesq_of_a_long_clip_is_the_mean_over_its_segments_with_speech(monkeypatch):
    monkeypatch.setattr(pesq_metric, "SEGMENT_S", 2.0)
    clean = np.concatenate([talker(2.0, seed=1), np.zeros(2 * RATE), talker(2.0, seed=2)])
    noisy = signals(clean, clean).noisy[0]
    enhanced = clean + 0.01 * np.random.default_rng(8).standard_normal(len(clean))
    numbers = score_run(["pesq"], signals(clean, enhanced))
    parts = [slice(0, 2 * RATE), slice(4 * RATE, 6 * RATE)]
    expected = pesq(np.stack([clean[part] for part in parts]), np.stack([noisy[p] for p in parts]))
    assert numbers["pesq_segments_left"] == 2
    assert numbers["pesq_noisy_left"] == pytest.approx(np.mean(expected), abs=1e-12)


@needs_pesq
@pytest.mark.parametrize(
    ("reference", "estimate", "reason"),
    [
        (talker(0.2), talker(0.2), "too short"),
        (np.zeros(RATE), talker(1.0), "no speech in the reference"),
        (talker(1.0), np.zeros(RATE), "silent output"),
    ],
)
def test_pesq_reasons(reference, estimate, reason):
    (score,) = pesq(reference[None], estimate[None])
    assert reason in score.reason


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (1, "died of signal 11"),
        (2, "died with exit code 7"),
        (4, "was stopped after"),
        (5, "no package pesq"),
    ],
)
def test_pesq_survives_its_process(monkeypatch, trouble, reason):
    """What was scored before the end still counts, and the next call has a new process."""
    monkeypatch.setattr(pesq_metric, "SPARE_S", 1.0)
    clean = np.stack([talker(0.5)] * 3)
    estimates = clean.copy()
    estimates[1, 0] = trouble
    first, *others = pesq(clean, estimates, score_or_trouble)
    assert first == 2.5
    assert len(others) == 2
    assert all(reason in other.reason for other in others)
    assert pesq(clean, clean, score_or_trouble) == [2.5] * 3


def test_errors_and_odd_scores_of_pesq_concern_one_pair(monkeypatch):
    clean = np.stack([talker(0.5)] * 4)
    estimates = clean.copy()
    estimates[1, 0], estimates[2, 0] = 3, 6
    assert pesq(clean, estimates, score_or_trouble) == [
        2.5,
        Unscored("RuntimeError: no more memory"),
        Unscored("the library answered nan"),
        2.5,
    ]


@pytest.mark.slow
@needs_pesq
def test_pesq_lives_through_the_clip_that_kills_it():
    """60 s of bursts, one a second: a segmentation fault in one piece, a score in segments."""
    time = np.arange(60 * RATE) / RATE
    noise = np.random.default_rng(9).standard_normal(len(time))
    bursts = 0.1 * noise * (time % 1.0 < 0.5)
    (in_one_piece,) = pesq(bursts[None], bursts[None] + 0.01 * noise)
    assert isinstance(in_one_piece, Unscored)
    assert "died of signal" in in_one_piece.reason
    numbers = score_run(["pesq"], signals(bursts, bursts))
    assert numbers["pesq_enhanced_left"] == pytest.approx(4.644, abs=0.001)
    assert numbers["pesq_segments_right"] == 3
