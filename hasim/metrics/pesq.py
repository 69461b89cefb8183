"""Perceptual evaluation of speech quality, wide band (ITU-T P.862.2). Signals are (ear, sample).

The reference code is safe only up to 50 stretches of speech and may crash its process beyond. So a
clip is cut into equal segments of at most 20 s, the score is their mean, and all of it happens in
a child process, which stays for the next call: if it dies or does not answer in time, the numbers
are `Unscored` and the run goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy import ndarray

from hasim.config.subprocess_worker import ProcessDied, TimeLimit, call_in_subprocess
from hasim.metrics import Judged, Score, Scores, Unscored, compared
from hasim.metrics.decomposition import silent_signal

SEGMENT_S = 20.0
SPARE_S = 30.0
"""Time that the child may take beyond the duration of a pair before it counts as stuck."""

_NO_SPEECH = Unscored("no speech in the reference")


def wide_band_pesq(reference: ndarray, estimate: ndarray) -> float:
    """PESQ of two signals (sample,) at 16 kHz by the reference code, which may crash the process.

    Raises whatever the package pesq raises, and ValueError for an estimate that is silent where the
    reference is not.
    """
    from pesq import pesq as library

    if np.any(reference) and not np.any(estimate):
        raise ValueError("silent output in a segment with speech")
    return float(library(16000, reference, estimate, "wb"))


def pesq(
    references: ndarray,
    estimates: ndarray,
    score: Callable[[ndarray, ndarray], float] = wide_band_pesq,
) -> list[Score]:
    """PESQ (1.0 to 4.64) of each pair, at most 20 s at 16 kHz; both arguments (pair, sample).

    `score` scores one pair in the child process. Where the child dies or takes longer than
    `SPARE_S` and the duration of the pair, this pair and those after it are Unscored.
    """
    scores: list[Score] = []
    limit_s = SPARE_S + references.shape[-1] / 16000
    try:
        for reference, estimate in zip(references, estimates, strict=True):
            try:
                number = call_in_subprocess(score, reference, estimate, limit_s=limit_s)
            except (ProcessDied, TimeLimit, ModuleNotFoundError, OSError):
                raise
            except Exception as error:
                scores.append(_unscored(error))
            else:
                finite = math.isfinite(number)
                scores.append(number if finite else Unscored(f"the library answered {number}"))
    except ProcessDied as died:
        reason = str(died.args[0])
    except TimeLimit:
        reason = f"was stopped after {limit_s:.0f} s"
    except ModuleNotFoundError:
        reason = "found no package pesq: install it with pip install pesq"
    except OSError as error:
        reason = f"did not start: {error}"
    else:
        return scores
    missing = len(references) - len(scores)
    return scores + [Unscored(f"the PESQ process {reason}")] * missing


def measure(judged: Judged) -> Scores:
    """`pesq_noisy_left`, `..._enhanced_...`, `..._improvement_...`, `..._segments_...`, `_right`.

    Segments in which the reference says nothing are left out, of noisy and enhanced alike;
    `pesq_segments` is how many were scored.
    """
    (noisy, enhanced), segments = _segmented(judged, np.stack([judged.noisy, judged.enhanced]))
    return compared("pesq", "", noisy, enhanced) | segments


def scores(judged: Judged, waveform: ndarray) -> tuple[Score, Score]:
    """PESQ of one waveform (ear, sample), left and right."""
    return _segmented(judged, waveform[None])[0][0]


def _segmented(
    judged: Judged, signals: ndarray
) -> tuple[list[tuple[Score, Score]], dict[str, Score]]:
    """(left, right) of every state of `signals` (state, ear, sample), and `pesq_segments_<ear>`."""
    if judged.sample_rate_hz != 16000:
        rate = Unscored(f"wide-band PESQ needs 16000 Hz (got {judged.sample_rate_hz} Hz)")
        return [(rate, rate)] * len(signals), {}
    count = max(1, math.ceil(signals.shape[-1] / (SEGMENT_S * judged.sample_rate_hz)))
    length = signals.shape[-1] // count
    cut = signals[..., : count * length].reshape(-1, length)  # (state x ear x segment, sample)
    references = judged.target[:, : count * length].reshape(-1, length)
    answers = pesq(np.tile(references, (len(signals), 1)), cut)
    segments: dict[str, Score] = {}
    ears: list[list[Score]] = []
    for ear, name in enumerate(("left", "right")):
        starts = [(2 * state + ear) * count for state in range(len(signals))]
        states = [answers[start : start + count] for start in starts]
        spoken = [_NO_SPEECH not in together for together in zip(*states, strict=True)]
        segments[f"pesq_segments_{name}"] = float(sum(spoken))
        silent = [silent_signal(judged.target[ear], state[ear]) for state in signals]
        ears.append([s or _mean(state, spoken) for s, state in zip(silent, states, strict=True)])
    return list(zip(*ears, strict=True)), segments


def _mean(scores: list[Score], spoken: list[bool]) -> Score:
    counted = [score for score, counts in zip(scores, spoken, strict=True) if counts]
    total = 0.0
    for score in counted:
        if isinstance(score, Unscored):
            return score
        total += score
    return total / len(counted) if counted else _NO_SPEECH


def _unscored(error: Exception) -> Unscored:
    """What the library's complaint means."""
    name = type(error).__name__
    if name == "NoUtterancesError":
        return _NO_SPEECH
    if name == "BufferTooShortError":
        return Unscored("too short: at least 0.25 s of sound needed")
    return Unscored(f"{name}: {error}")
