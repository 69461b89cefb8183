"""Many runs as rows of a table: every point of a plan with every seed, each at most once.

This process alone reads and writes the table; workers turn a scenario into a row. A row that is
there, or in the cache, is not computed again, so a sweep that was stopped goes on where it was,
and one that failed in part leaves rows that say so.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hasim.config.diagnostics import ScenarioError
from hasim.config.disk_cache import content_hash
from hasim.experiment import result
from hasim.experiment.run import enhance, judge, scenario_hash
from hasim.experiment.scenario import Scenario, canonical_json
from hasim.studies import run_cache
from hasim.studies.axes import Plan, Settings, settings_key
from hasim.studies.results_table import Row, Store, read
from hasim.studies.run_cache import RowCache, code_hash, content, row_key, scene_key
from hasim.studies.workers import Engine

Case = tuple[Settings, int]
"""A point and a seed."""


@dataclass
class Tally:
    """How far a sweep is."""

    cases: int
    stored: int = 0  # were in the table already
    cached: int = 0  # taken from the cache
    computed: int = 0
    failed: int = 0  # of those computed

    @property
    def done(self) -> int:
        """Cases that have their row."""
        return self.stored + self.cached + self.computed


Progress = Callable[[Tally], None]


def sweep(
    plan: Plan,
    folder: str | Path,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    retry_failed: bool = False,
    cache_folder: Path | None = None,
    progress: Progress = lambda _: None,
) -> Tally:
    """Give every point and seed of `plan` its row in the table of `folder`.

    Rows are the same bytes for any `jobs` and any order. `cache_folder` None: the user's; several
    sweeps may share one. `progress` is called after every row.

    Raises:
        InputError: the table cannot be used, or the cluster does not answer.
        OSError: no room or no right to write.
    """
    with open_table(plan, folder) as store, Engine(jobs, cluster, plan.time_limit_s) as engine:
        try:
            return complete(
                plan, cases(plan), store, engine, cache_folder, progress, retry_failed=retry_failed
            )
        finally:
            store.write_table()


def cases(plan: Plan) -> list[Case]:
    """All points and seeds; one seed after the other, because points share its scenes."""
    return [(point, seed) for seed in plan.seeds for point in plan.points]


def open_table(plan: Plan, folder: str | Path) -> Store:
    """The table of a folder, for rows that vary this plan's scenario."""
    base = plan.base.model_copy(update={"seed": 0, "name": "scenario"})
    identity = content_hash({"hasim": version("hasim"), "scenario": content(base)})
    return Store(folder, identity, canonical_json(plan.base))


def complete(
    plan: Plan,
    wanted: Sequence[Case],
    store: Store,
    engine: Engine,
    cache_folder: Path | None,
    progress: Progress = lambda _: None,
    *,
    retry_failed: bool = False,
) -> Tally:
    """Give every wanted case its row: from the table, from the cache, or by running it."""
    cache_folder = cache_folder or run_cache.folder_of_sweeps()
    there = store.keys(failed=not retry_failed)
    missing = [case for case in wanted if (settings_key(case[0]), case[1]) not in there]
    tally = Tally(len(wanted), stored=len(wanted) - len(missing))
    progress(tally)
    known = RowCache(cache_folder)
    try:
        tasks = list(_not_in_cache(plan, missing, store, known, cache_folder, tally, progress))
        if not tasks:
            return tally
        # A cluster's workers may have another hasim installed; those here have this one.
        work = _checked_row if engine.cluster else _row
        for task, answer in engine.map(work, tasks, group=lambda task: task.scene):
            row, lost = _as_row(task, answer), isinstance(answer, BaseException)
            store.add([row])
            if not row.error:
                known.put(task.key, json.dumps(_plain(row), allow_nan=False))
            tally.computed += 1
            tally.failed += bool(row.error or lost)
            progress(tally)
    finally:
        known.close()
    return tally


@dataclass(frozen=True)
class Forecast:
    """What a sweep would have to do."""

    points: int
    seeds: int
    stored: int
    cached: int
    seconds_each: float
    measured: bool  # seconds_each from rows of this table, not from a rule of thumb

    @property
    def cases(self) -> int:
        """Points times seeds."""
        return self.points * self.seeds

    @property
    def to_compute(self) -> int:
        """Cases that have to be run."""
        return self.cases - self.stored - self.cached

    def told(self) -> dict[str, Any]:
        """As an object for machines."""
        return dataclasses.asdict(self) | {"cases": self.cases, "to_compute": self.to_compute}


def forecast(plan: Plan, folder: str | Path, cache_folder: Path | None = None) -> Forecast:
    """What `sweep` would find and what it would have to compute; writes nothing."""
    there: set[tuple[str, int]] = set()
    times: list[float] = []
    if (Path(folder) / "results.sqlite").is_file():
        rows = read(folder).rows
        there = {row.key for row in rows}
        times = sorted(row.seconds for row in rows if not row.error and row.seconds > 0)
    missing = [case for case in cases(plan) if (settings_key(case[0]), case[1]) not in there]
    cached = 0
    if (cache_folder := cache_folder or run_cache.folder_of_sweeps()).is_dir():
        known, code = RowCache(cache_folder), code_hash()
        for _, scenario in _resolved(plan, missing):
            if isinstance(scenario, Scenario) and known.get(row_key(scenario, code)):
                cached += 1
        known.close()
    return Forecast(
        points=len(plan.points),
        seeds=len(plan.seeds),
        stored=len(plan.points) * len(plan.seeds) - len(missing),
        cached=cached,
        seconds_each=times[len(times) // 2] if times else _rule_of_thumb(plan.base),
        measured=bool(times),
    )


# --------------------------------------------------------------------------------------- one case


@dataclass(frozen=True)
class Task:
    """What a worker is told."""

    settings: Settings
    seed: int
    scenario: str  # canonical JSON
    scene: str  # hash of what its scene comes of: tasks with the same one share it
    key: str  # of the row in the cache
    code: str  # hash of the code that makes the row
    cache_folder: str


def _row(task: Task) -> Row:
    """Run one case. An error is a row too."""
    started = time.perf_counter()
    try:
        scenario = Scenario.model_validate_json(task.scenario)
        row = _judged(task, scenario)
    except Exception as error:
        row = _failed(task, error)
    return dataclasses.replace(row, seconds=time.perf_counter() - started)


def _checked_row(task: Task) -> Row:
    """Run one case on a worker that may have another hasim or other packages."""
    if code_hash() != task.code:
        return _failed(
            task, RuntimeError("the worker has another version of hasim or its packages")
        )
    return _row(task)


def _judged(task: Task, scenario: Scenario) -> Row:
    folder = Path(task.cache_folder)
    scene = run_cache.scene(scenario, folder, task.code)
    timeline = run_cache.timeline(scenario, folder, task.code)
    masks = run_cache.masks(scenario, scene, timeline, folder, task.code)
    enhanced, mics = enhance(scenario, scene, timeline, masks)
    # Taps are for looking at one run; a table has no place for their scores.
    enhanced = dataclasses.replace(enhanced, taps={})
    outcome = judge(scenario, scene, timeline, enhanced, mics)
    told = result.summary(outcome, None)
    unscored = dict.fromkeys(told["unscored"].values())
    return Row(
        settings=task.settings,
        seed=task.seed,
        numbers=told["numbers"],
        feasible=told["verdict"]["feasible"],
        reasons="; ".join([*told["verdict"]["reasons"], *unscored]),
        scenario_hash=outcome.hashes["scenario"][:12],
    )


def _failed(task: Task, error: BaseException) -> Row:
    said = " ".join(str(error).split())
    return Row(task.settings, task.seed, error=f"{type(error).__name__}: {said}")


def _as_row(task: Task, answer: Any) -> Row:
    return answer if isinstance(answer, Row) else _failed(task, answer)


def _plain(row: Row) -> dict[str, Any]:
    """All of a row that does not say which sweep it belongs to."""
    kept = dataclasses.asdict(row)
    return {name: kept[name] for name in ("numbers", "feasible", "reasons", "seconds")}


# ------------------------------------------------------------------------------------- all cases


def _not_in_cache(
    plan: Plan,
    missing: Sequence[Case],
    store: Store,
    known: RowCache,
    cache_folder: Path,
    tally: Tally,
    progress: Progress,
) -> Iterator[Task]:
    """Tasks for the cases that the cache does not know; rows for those that it does."""
    code = code_hash()
    ready: list[Row] = []

    def store_ready() -> None:
        if ready:
            store.add(ready)
            ready.clear()
            progress(tally)

    for (settings, seed), scenario in _resolved(plan, missing):
        if not isinstance(scenario, Scenario):
            ready.append(Row(settings, seed, error=f"ScenarioError: {scenario}"))
            tally.computed += 1
            tally.failed += 1
            continue
        key = row_key(scenario, code)
        if (text := known.get(key)) is not None:
            whole = scenario_hash(scenario)[:12]
            ready.append(Row(settings, seed, scenario_hash=whole, **json.loads(text)))
            tally.cached += 1
            if len(ready) >= 100:
                store_ready()
            continue
        text, scene = canonical_json(scenario), content_hash(scene_key(scenario, code))
        yield Task(settings, seed, text, scene, key, code, str(cache_folder))
    store_ready()


def _resolved(plan: Plan, wanted: Iterable[Case]) -> Iterator[tuple[Case, Scenario | str]]:
    """Every case with its scenario, or with what is wrong with it."""
    points: dict[str, Scenario | str] = {}
    for settings, seed in wanted:
        name = settings_key(settings)
        if name not in points:
            try:
                points[name] = plan.scenario(settings)
            except ScenarioError as error:
                points[name] = "; ".join(map(str, error.problems))
        scenario = points[name]
        if isinstance(scenario, Scenario):
            scenario = scenario.model_copy(update={"seed": seed})
        yield (settings, seed), scenario


def _rule_of_thumb(scenario: Scenario) -> float:
    """Seconds that a case takes, roughly: per second of sound, as measured."""
    per_second = 0.12 + 0.04 * ("stoi" in scenario.metrics) + 0.25 * ("pesq" in scenario.metrics)
    return 0.05 + per_second * scenario.duration_s
