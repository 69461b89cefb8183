"""Perceptual evaluation of speech quality, wide band (ITU-T P.862.2). Signals are (ear, sample).

The reference code is safe only up to 50 stretches of speech and may end its process beyond. So a
clip is cut into equal segments of at most 20 s, the score is their mean, and all of it happens in
one child process: if that dies or does not come back, the numbers are `Unscored` and the run goes
on. The child starts once for both ears and all signals.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy import ndarray

from hasim.metrics import Judged, Score, Scores, Unscored, compared
from hasim.metrics.decomposition import silent_signal

SEGMENT_S = 20.0
START_S = 30.0
"""Time that the child may take beyond the duration of all pairs before it counts as stuck."""
WORKER = Path(__file__).with_name("pesq_worker.py")

_NO_SPEECH = Unscored("no speech in the reference")


def pesq(references: ndarray, estimates: ndarray, worker: Path = WORKER) -> list[Score]:
    """PESQ (1.0 to 4.64) of each pair, at most 20 s at 16 kHz; both arguments (pair, sample).

    `worker` is the program that scores them, a child process; it is stopped after `START_S` and the
    duration of all pairs.
    """
    pairs = np.stack([references, estimates], axis=1)  # (pair, 2, sample)
    request = io.BytesIO()
    np.save(request, pairs)
    limit_s = START_S + len(pairs) * pairs.shape[-1] / 16000
    command = [sys.executable, "-P", str(worker)]  # -P: its own folder holds a pesq.py, this one
    try:
        child = subprocess.run(
            command, input=request.getvalue(), capture_output=True, timeout=limit_s, check=False
        )
        answers, fate = child.stdout, _fate(child.returncode, child.stderr)
    except subprocess.TimeoutExpired as stuck:
        answers, fate = stuck.stdout or b"", f"was stopped after {limit_s:.0f} s"
    except OSError as error:
        answers, fate = b"", f"did not start: {error}"
    scores = [_score(json.loads(line)) for line in answers.splitlines(True) if line.endswith(b"\n")]
    missing = len(pairs) - len(scores)
    return scores + [Unscored(f"the PESQ process {fate}")] * missing


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


def _score(answer: dict[str, float | str]) -> Score:
    if "score" in answer:
        score = float(answer["score"])
        return score if math.isfinite(score) else Unscored(f"the library answered {score}")
    error = str(answer["error"])
    if error.startswith("NoUtterancesError"):
        return _NO_SPEECH
    if error.startswith("BufferTooShortError"):
        return Unscored("too short: at least 0.25 s of sound needed")
    return Unscored(error)


def _fate(returncode: int, stderr: bytes) -> str:
    if returncode == 3:
        return "found no package pesq: install it with pip install pesq"
    if returncode < 0:
        return f"died of signal {-returncode}"
    last = stderr.decode(errors="replace").strip().splitlines()[-1:]
    return f"ended with exit code {returncode}" + "".join(f": {line}" for line in last)
