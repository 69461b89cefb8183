"""Extended STOI, for noise that is itself modulated. Signals are (ear, sample)."""

from __future__ import annotations

from numpy import ndarray

from hasim.metrics import Judged, Score, Scores, compared
from hasim.metrics.stoi import stoi


def scores(judged: Judged, waveform: ndarray) -> tuple[Score, Score]:
    """ESTOI of `waveform` (ear, sample) at the left and the right ear."""
    left, right = (
        stoi(s, e, judged.sample_rate_hz, extended=True)
        for s, e in zip(judged.target, waveform, strict=True)
    )
    return left, right


def measure(judged: Judged) -> Scores:
    """`estoi_noisy_left`, `estoi_enhanced_left`, `estoi_improvement_left`, and `_right`."""
    return compared("estoi", "", scores(judged, judged.noisy), scores(judged, judged.enhanced))
