"""A search for the Pareto front of a grid that is too large to run in full (Optuna).

Optuna proposes points of the grid in generations of fixed size; every point is run with all seeds
and becomes rows of the same table, from the same cache, as in a sweep. Proposals depend on the seed
and on the results before, not on the order in which workers finish, so the same command repeats the
search, finds its rows in the table, and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hasim.config.spec import InputError
from hasim.studies.axes import Grid, Settings, applies
from hasim.studies.case import Progress, Tally, complete
from hasim.studies.columns import column
from hasim.studies.pareto import Objective
from hasim.studies.result_row import ResultRow, settings_key
from hasim.studies.results_table import Store
from hasim.studies.sweep import open_table
from hasim.studies.workers import Engine

if TYPE_CHECKING:
    from optuna.trial import Trial

Sampler = Literal["nsga2", "tpe", "qmc", "random"]
GENERATION = 12
"""Points that are proposed together, before the result of any of them is known."""


def search(
    grid: Grid,
    folder: str | Path,
    objectives: Sequence[Objective],
    *,
    trials: int = 60,
    sampler: Sampler = "nsga2",
    sampler_seed: int = 0,
    jobs: int = 1,
    cluster: str | None = None,
    cache_folder: Path | None = None,
    progress: Progress = lambda _: None,
) -> Tally:
    """Run about `trials` points of the grid with all seeds, each generation nearer to the front.

    `grid` comes from `axes.grid(..., whole=False)`, which does not list its points. An objective is
    the mean over seeds. A point that fails counts as a failed trial; proposals that were run before
    take their rows from the table.

    Raises:
        ValueError: no axes, or an objective that is no column.
        InputError: Optuna is not there, or the table or the cluster cannot be used.
    """
    if not grid.choices:
        raise ValueError("a search needs axes: --over, or a sweep file")
    study = _study(objectives, sampler, sampler_seed)
    from optuna.trial import TrialState

    whole = Tally(0)
    with open_table(grid, folder) as store, Engine(jobs, cluster, grid.time_limit_s) as engine:
        try:
            for start in range(0, trials, GENERATION):
                asked = [study.ask() for _ in range(min(GENERATION, trials - start))]
                points = [_proposed(grid, trial) for trial in asked]
                fresh = list({settings_key(point): point for point in points}.values())
                wanted = [(point, seed) for seed in grid.seeds for point in fresh]
                report = _added(whole, trials * len(grid.seeds), progress)
                tally = complete(wanted, grid.scenario, store, engine, cache_folder, report)
                _add(whole, tally)
                for trial, point in zip(asked, points, strict=True):
                    values = _values(store, grid, point, objectives)
                    if values is None:
                        study.tell(trial, state=TrialState.FAIL)
                    else:
                        study.tell(trial, values)
        finally:
            store.write_table()
    return whole


def _study(objectives: Sequence[Objective], sampler: Sampler, seed: int) -> Any:
    try:
        import optuna
    except ImportError as error:
        raise InputError("a search needs Optuna: pip install 'hasim[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: dict[Sampler, Callable[[], Any]] = {
        "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=GENERATION, seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    directions: list[Literal["minimize", "maximize"]] = [
        "maximize" if objective.maximize else "minimize" for objective in objectives
    ]
    return optuna.create_study(directions=directions, sampler=samplers[sampler]())


def _proposed(grid: Grid, trial: Trial) -> Settings:
    """A point of the grid: one option of every axis whose conditions hold."""
    base = grid.base.model_dump(mode="json")
    point: Settings = {}
    for choice in sorted(grid.choices, key=lambda choice: bool(choice.when)):
        if not applies(choice.when, point, base):
            continue
        name = json.dumps(sorted(choice.options[0]))
        last = len(choice.options) - 1
        if _ordered(choice.options):
            number = trial.suggest_int(name, 0, last)
        else:
            number = trial.suggest_categorical(name, list(range(last + 1)))
        point |= choice.options[number]
    return point


def _ordered(options: Sequence[Settings]) -> bool:
    """Whether the options go up or down, so that neighbours are alike."""
    firsts: list[Any] = [next(iter(option.values())) for option in options]
    if not all(isinstance(first, (int, float)) for first in firsts):
        return False
    steps = np.sign(np.diff(firsts))
    return bool((steps > 0).all() or (steps < 0).all())


def _values(
    store: Store, grid: Grid, point: Settings, objectives: Sequence[Objective]
) -> list[float] | None:
    """Means over seeds; None where a seed failed or a value is missing."""
    rows: list[ResultRow] = [store.get((settings_key(point), seed)) for seed in grid.seeds]
    if any(row.error for row in rows):
        return None
    values = [float(np.mean(column(rows, objective.column))) for objective in objectives]
    return None if np.isnan(values).any() else values


def _added(whole: Tally, cases: int, progress: Progress) -> Progress:
    """Progress of one generation as progress of the search."""

    def report(tally: Tally) -> None:
        shown = Tally(cases)
        _add(shown, whole)
        _add(shown, tally)
        shown.cases = cases
        progress(shown)

    return report


def _add(whole: Tally, part: Tally) -> None:
    for name in ("cases", "stored", "cached", "computed", "failed"):
        setattr(whole, name, getattr(whole, name) + getattr(part, name))
