"""Perceptual evaluation of speech quality, wide band (ITU-T P.862.2). Signals are (ear, sample).

The reference code is safe only up to 50 stretches of speech and may crash its process beyond. So a
clip is cut into equal segments of at most 20 s, the score is their mean, and all of it happens in
a child process, which stays for the next call: if it dies or does not answer in time, the numbers
are `Unscored` and the run goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy import ndarray

from hasim.config.ears import EARS
from hasim.config.subprocess_worker import ProcessDied, TimeLimit, call_in_subprocess
from hasim.metrics.decomposition import silent_signal
from hasim.metrics.remembered import remembered
from hasim.metrics.signals import Score, Scores, Signals, Unscored

RATE_HZ = 16_000
"""Wide-band PESQ is defined at this rate alone."""
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
    return float(library(RATE_HZ, reference, estimate, "wb"))


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
    limit_s = SPARE_S + references.shape[-1] / RATE_HZ
    for reference, estimate in zip(references, estimates, strict=True):
        try:
            number = remembered(
                f"{score.__module__}.{score.__qualname__}",
                (reference, estimate),
                partial(call_in_subprocess, score, reference, estimate, limit_s=limit_s),
            )
        except (ProcessDied, TimeLimit, ModuleNotFoundError, OSError) as error:
            missing = len(references) - len(scores)
            return scores + [Unscored(f"the PESQ process {_reason(error, limit_s)}")] * missing
        except Exception as error:
            scores.append(_unscored(error))
        else:
            finite = math.isfinite(number)
            scores.append(number if finite else Unscored(f"the library answered {number}"))
    return scores


def measure(signals: Signals) -> Scores:
    """`pesq_left` and `pesq_right` of the estimate, and `pesq_segments_left` and `_right`."""
    return measure_together(signals, [signals.estimate])[0]


def measure_together(signals: Signals, estimates: Sequence[ndarray]) -> list[Scores]:
    """The same for each of `estimates` (ear, sample).

    Segments without speech in the reference are left out, of all estimates alike; `pesq_segments`
    is the number of segments that were scored.
    """
    if signals.sample_rate_hz != RATE_HZ:
        rate = Unscored(f"wide-band PESQ needs {RATE_HZ} Hz (got {signals.sample_rate_hz} Hz)")
        return [{f"pesq_{ear}": rate for ear in EARS} for _ in estimates]
    stack = np.stack(estimates)
    count = max(1, math.ceil(stack.shape[-1] / (SEGMENT_S * signals.sample_rate_hz)))
    length = stack.shape[-1] // count
    # (estimate x ear x segment, sample)
    cut = stack[..., : count * length].reshape(-1, length)
    references = signals.target[:, : count * length].reshape(-1, length)
    answers = pesq(np.tile(references, (len(stack), 1)), cut)
    numbers: list[dict[str, Score]] = [{} for _ in estimates]
    for ear, name in enumerate(EARS):
        starts = [(2 * place + ear) * count for place in range(len(stack))]
        of_segments = [answers[start : start + count] for start in starts]
        spoken = [_NO_SPEECH not in together for together in zip(*of_segments, strict=True)]
        for own, estimate, scores in zip(numbers, stack, of_segments, strict=True):
            silent = silent_signal(signals.target[ear], estimate[ear])
            own[f"pesq_{name}"] = silent or _mean(scores, spoken)
            own[f"pesq_segments_{name}"] = float(sum(spoken))
    return list(numbers)


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


def _reason(error: Exception, limit_s: float) -> str:
    """Why the process scores no more."""
    match error:
        case ProcessDied():
            return str(error.args[0])
        case TimeLimit():
            return f"was stopped after {limit_s:.0f} s"
        case ModuleNotFoundError():
            return "found no package pesq: install it with pip install pesq"
    return f"did not start: {error}"
