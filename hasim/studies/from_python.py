"""Sweeps, evaluations and fronts from Python: they give tables that pandas takes as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from hasim.config.files import write_whole
from hasim.config.paths import rooted
from hasim.config.spec import InputError
from hasim.config.yaml_reader import Place, node_of
from hasim.experiment.run import one_thread
from hasim.experiment.scenario import Scenario, dump, from_mapping
from hasim.studies import axes, evaluation_scenes
from hasim.studies import evaluate as evaluations
from hasim.studies import sweep as sweeps
from hasim.studies.case import Tally
from hasim.studies.pareto import Front, Objective, front
from hasim.studies.results_table import read
from hasim.studies.tables import Evaluation, Table, of_folder


def sweep(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    over: Mapping[str, Any] | None = None,
    *,
    out: str | Path,
    seeds: int | None = None,
    set: Mapping[str, Any] | None = None,
    jobs: int = 1,
    time_limit_s: float | None = None,
    retry_failed: bool = False,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Table:
    """Run every combination of values with every seed, and give the table of all runs.

    `scenario` is a scenario or the file of a sweep. `over` says what varies: dotted path -> values,
    or a range `{"start": 0, "stop": 2, "count": 5}`; `set` holds at every point. Finished runs are
    kept in the folder `out`: the same call goes on where it was stopped. `seeds` counts up from the
    scenario's own. `jobs` above 1 are child processes: a script that uses them needs
    `if __name__ == "__main__":`, and they do not know what was registered from Python. A run that
    takes longer than `time_limit_s` has failed. `progress` is called after every run.

    Raises:
        ScenarioError: mistakes in the scenario, `over` or `set`.
        InputError: `out` holds another sweep, or is damaged.
        LimitError: more than 100,000 points.
        OSError: no room or no right to write.
    """
    with _as_file(scenario) as file:
        grid = axes.grid(
            file, over=_texts(over), seeds=seeds, set=_texts(set), time_limit_s=time_limit_s
        )
    with one_thread():
        sweeps.sweep(grid, out, jobs=jobs, retry_failed=retry_failed, progress=progress)
    return of_folder(out)


def evaluate(
    algorithms: Sequence[str],
    *,
    out: str | Path,
    scenes: Sequence[Scenario] | int = 60,
    masks: Literal["oracle", "trained"] = "trained",
    weights: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    jobs: int = 1,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Evaluation:
    """Run algorithms on the same scenes; means with 95 % intervals of every stage and metric.

    `algorithms` are kinds, or variants such as "mn_tango_g2_w8a8". `scenes` are scenarios, of which
    scene, seed and duration count, or a number of scenes of the seeded test set. With trained
    `masks`, those of an oracle are run beside them; `weights` is a folder of weights, None: those
    that come with hasim. `set` overrides dotted paths of every run. Finished runs are kept in
    `out`; `jobs` and `progress` are as in `sweep`.

    Raises:
        ScenarioError: settings that an algorithm cannot have.
        InputError: `out` holds another evaluation.
        ValueError: an algorithm twice, or one without trained networks.
    """
    own = None if weights is None else Path(weights)
    compared = evaluations.contestants(algorithms, masks, own)
    if isinstance(scenes, int):
        scenes = evaluation_scenes.chosen(scenes, None, None, None)
    with one_thread():
        _, scores = evaluations.evaluate(
            scenes, compared, Path(out), settings=_texts(set), jobs=jobs, progress=progress
        )
    return Evaluation(scores, of_folder(out))


def pareto(
    sweep: str | Path | Table,
    *,
    minimize: Sequence[str] = (),
    maximize: Sequence[str] = (),
    rule: Literal["paired", "plain"] = "paired",
    feasible: bool = False,
    limits: Sequence[str] = (),
) -> Front:
    """The points of a sweep, its folder or its table, that no other point beats.

    `minimize` and `maximize` name two or three columns. By the rule "paired" a point is beaten
    where another is no worse in any and better in one, seed for seed, with 95 % confidence; by
    "plain" where the means say so. `feasible` leaves out points that do not fit; `limits` are
    presets of devices and links whose limits are shown.

    Raises:
        InputError: no table, or a damaged one.
        ValueError: an unknown column or preset, not two or three columns, or no points.
    """
    folder = sweep.folder if isinstance(sweep, Table) else sweep
    if folder is None:
        raise InputError("pareto: the table is not that of a sweep")
    objectives = [Objective(name) for name in minimize]
    objectives += [Objective(name, maximize=True) for name in maximize]
    return front(read(folder), objectives, rule=rule, feasible_only=feasible, presets=limits)


def _texts(settings: Mapping[str, Any] | None) -> list[str]:
    """Dotted paths and values as KEY=VALUE; NumPy's numbers and ranges as lists."""
    return [f"{key}={json.dumps(value, default=_plain)}" for key, value in (settings or {}).items()]


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as Python's own, all else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


@contextmanager
def _as_file(scenario: str | Path | Mapping[str, Any] | Scenario) -> Iterator[Path]:
    """The file of a scenario, or a temporary one; relative paths start at the working folder."""
    if isinstance(scenario, (str, Path)):
        yield Path(scenario)
        return
    resolved = from_mapping(scenario) if isinstance(scenario, Mapping) else scenario
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.yaml"
        write_whole(file, dump(rooted(resolved, Path.cwd(), node_of({}, Place()))).encode())
        yield file
