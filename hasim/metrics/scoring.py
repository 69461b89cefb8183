"""The scores of a run and of its stages: every metric that the scenario names, under full names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from numpy import ndarray
from pydantic import Field

from hasim.config.spec import Spec
from hasim.metrics.catalogue import Metric, find
from hasim.metrics.signals import Score, Signals, Unscored


class ScoringSpec(Spec):
    """What the scores compare with."""

    reference: Literal["image", "early", "direct"] = "image"
    """The talker at the reference microphone: with the whole room, its first 50 ms, or direct."""
    sar: Literal["bss", "le_roux"] = "bss"
    """Artefacts against target plus interference (BSS eval), or the target alone (Le Roux)."""
    skip_s: float = Field(0.0, ge=0, le=60)
    """Time at the beginning that is not scored."""
    stage_pesq: bool = False
    """Also PESQ of every intermediate stage, if it is among the metrics: for 8 s of sound half a
    second each."""


def score_run(names: Iterable[str], signals: Signals) -> dict[str, Score]:
    """Every number of the metrics `names`, in their order: `si_sdr_noisy_db_left` and so on.

    Raises ValueError for an unknown name.
    """
    numbers: dict[str, Score] = {}
    for name in names:
        numbers |= _of_run(find(name), signals)
    return numbers


def score_stage(names: Iterable[str], signals: Signals, waveform: ndarray) -> dict[str, Score]:
    """Scores of one more waveform (ear, sample), say an intermediate tap, in place of the output.

    Of `names` those count that score a single waveform; the rest needs talker and noise sent
    through all filters. Numbers are called `si_sdr_db_left`, `stoi_left` and so on.
    """
    numbers: dict[str, Score] = {}
    for metric in map(find, names):
        if metric.is_compared:
            (scores,) = metric.scores(signals, [waveform])
            numbers |= {
                column: scores[column]
                for quantity in metric.quantities
                if quantity.compared
                for column in quantity.columns
            }
    return numbers


def _of_run(metric: Metric, signals: Signals) -> dict[str, Score]:
    """All numbers of a metric: of noisy and enhanced, their difference, and of the whole run."""
    estimates = [signals.noisy, signals.estimate] if metric.is_compared else [signals.estimate]
    found = metric.scores(signals, estimates)
    noisy, enhanced = found[0], found[-1]
    numbers: dict[str, Score] = {}
    for quantity in metric.quantities:
        for ear in quantity.ears:
            column = quantity.column("", ear)
            if not quantity.compared:
                numbers |= {column: enhanced[column]} if column in enhanced else {}
                continue
            numbers[quantity.column("noisy", ear)] = noisy[column]
            numbers[quantity.column("enhanced", ear)] = enhanced[column]
            numbers[quantity.column("improvement", ear)] = _improvement(
                noisy[column], enhanced[column], 1.0 if quantity.better == "higher" else -1.0
            )
    return numbers


def _improvement(noisy: Score, enhanced: Score, sign: float) -> Score:
    if isinstance(enhanced, Unscored):
        return Unscored(f"enhanced: {enhanced.reason}")
    if isinstance(noisy, Unscored):
        return Unscored(f"noisy: {noisy.reason}")
    return sign * (enhanced - noisy)
