"""What a metric has to fulfil, tested: `check(metric)`."""

from __future__ import annotations

import dataclasses

import numpy as np

from hasim.config.contract import Check, Checks
from hasim.metrics.catalogue import BUILT_IN, Metric, register, unregister
from hasim.metrics.signals import Score, Signals, Unscored

SAMPLE_RATE_HZ = 16_000
DURATION_S = 3.0


def check(metric: Metric) -> list[Check]:
    """Every point of the contract in `catalogue.py`, in the order in which it is tested.

    Signals are modulated noises: a target, a noise, their sum, and an estimate with a tenth of the
    noise and some artefacts.
    """
    checks = Checks()
    if not checks.run("has a name that is free, and quantities", lambda: _named(metric)):
        return checks.done
    signals = _signals()
    if not checks.run("gives every number of its quantities", lambda: _columns(metric, signals)):
        return checks.done
    checks.run("gives the same twice", lambda: _same_twice(metric, signals))
    checks.run("leaves the signals alone", lambda: _signals_kept(metric, signals))
    checks.run("gives both ears' numbers in exchange", lambda: _ears(metric, signals))
    checks.run("is better for less noise", lambda: _direction(metric, signals))
    checks.run("gives no NaN for silence", lambda: _silence(metric, signals))
    return checks.done


def _signals() -> Signals:
    rng = np.random.default_rng(0)
    samples = round(DURATION_S * SAMPLE_RATE_HZ)
    slow = np.sin(2 * np.pi * 3 * np.arange(samples) / SAMPLE_RATE_HZ) ** 2
    target = slow * np.cumsum(rng.standard_normal((2, samples)), axis=-1)
    target -= target.mean(axis=-1, keepdims=True)
    target /= 10 * target.std(axis=-1, keepdims=True)
    noise = 0.1 * rng.standard_normal((2, samples))
    return Signals(
        sample_rate_hz=SAMPLE_RATE_HZ,
        target=target,
        noise=noise,
        noisy=target + noise,
        estimate=target + 0.1 * noise + 1e-3 * rng.standard_normal((2, samples)),
        target_through=target - 0.1 * np.roll(target, 3, axis=-1),
        noise_through=0.1 * noise,
    )


def _named(metric: Metric) -> str | None:
    if not isinstance(metric, Metric):
        return f"must be a hasim.metrics.Metric (got {type(metric).__name__})"
    if not metric.quantities:
        return "has no quantities"
    names = [quantity.name for quantity in metric.quantities]
    if len(set(names)) < len(names):
        return f"has two quantities of one name ({', '.join(names)})"
    if metric not in BUILT_IN:
        register(metric)
        unregister(metric.name)
    return None


def _scores(metric: Metric, signals: Signals) -> dict[str, Score]:
    return metric.scores(signals, [signals.estimate])[0]


def _columns(metric: Metric, signals: Signals) -> str | None:
    raw = metric.measure(signals)
    wrong = [
        name
        for name, score in raw.items()
        if not isinstance(score, Unscored) and not np.isscalar(score)
    ]
    if wrong:
        return f"{wrong[0]} must be a number or Unscored"
    scores = _scores(metric, signals)
    missing = [
        name
        for quantity in metric.quantities
        for name in quantity.columns
        if isinstance(scores.get(name), Unscored)
    ]
    return f"{missing[0]} has no value for ordinary signals" if missing else None


def _same_twice(metric: Metric, signals: Signals) -> str | None:
    same = _scores(metric, signals) == _scores(metric, signals)
    return None if same else "the second time differs"


def _signals_kept(metric: Metric, signals: Signals) -> str | None:
    before = _signals()
    _scores(metric, signals)
    changed = [
        field.name
        for field in dataclasses.fields(signals)
        if isinstance(getattr(signals, field.name), np.ndarray)
        and not np.array_equal(getattr(signals, field.name), getattr(before, field.name))
    ]
    return f"changes {', '.join(changed)} in place" if changed else None


def _ears(metric: Metric, signals: Signals) -> str | None:
    """With the ears exchanged, the numbers of the ears are exchanged."""
    arrays = {
        field.name: getattr(signals, field.name)[::-1]
        for field in dataclasses.fields(signals)
        if isinstance(getattr(signals, field.name), np.ndarray)
    }
    scores = _scores(metric, signals)
    mirrored = _scores(metric, dataclasses.replace(signals, **arrays))
    for quantity in metric.quantities:
        for name, other in zip(quantity.columns, quantity.columns[::-1], strict=True):
            if name in scores and not _close(scores[name], mirrored[other]):
                return f"{name} is {scores[name]}, with the ears exchanged {mirrored[other]}"
    return None


def _close(one: Score, other: Score) -> bool:
    if isinstance(one, Unscored) or isinstance(other, Unscored):
        return one == other
    return bool(np.isclose(one, other, rtol=1e-6, atol=1e-9))


def _direction(metric: Metric, signals: Signals) -> str | None:
    good, bad = metric.scores(signals, [signals.estimate, signals.noisy])
    for quantity in metric.quantities:
        if quantity.compared and quantity.better:
            for name in quantity.columns:
                cleaner, noisier = good[name], bad[name]
                if isinstance(cleaner, Unscored) or isinstance(noisier, Unscored):
                    continue
                if (cleaner > noisier) != (quantity.better == "higher"):
                    return (
                        f"{name} is {cleaner:.3g} with a tenth of the noise and {noisier:.3g} with "
                        f"all of it, but {quantity.better} is declared better"
                    )
    return None


def _silence(metric: Metric, signals: Signals) -> str | None:
    metric.scores(signals, [np.zeros_like(signals.noisy)])
    return None
