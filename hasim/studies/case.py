"""One case of a study: what a worker is given, and the row that it answers with.

Sweep, search and evaluate complete their tables here. This process alone reads and writes table and
row cache; workers turn a case into a row, and share scenes, timelines and masks through the cache.
A row that is in the table, or in the cache, is not computed again, so a study that was stopped goes
on where it was, and one that failed in part leaves rows that say so.
"""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hasim.config.diagnostics import ScenarioError
from hasim.config.disk_cache import content_hash
from hasim.experiment import result
from hasim.experiment.identity import (
    RUN,
    UNTRACEABLE,
    code_hash,
    code_of,
    identity,
    part_hash,
    untraceable,
)
from hasim.experiment.run import enhance, judge
from hasim.experiment.scenario import Scenario
from hasim.studies import run_cache
from hasim.studies.axes import Settings
from hasim.studies.result_row import Key, ResultRow, settings_key
from hasim.studies.results_table import Origin, Store
from hasim.studies.run_cache import RowCache, scene_key
from hasim.studies.workers import Engine

Request = tuple[Settings, int]
"""A row that is asked for: its settings and its seed."""
ScenarioOf = Callable[[Settings, int], Scenario]
"""The scenario of a row; raises ScenarioError where the settings make none."""


@dataclass(frozen=True)
class Case:
    """What a worker is given."""

    settings: Settings
    seed: int
    scenario: Scenario
    with_stages: bool
    """Whether the row also has the scores of the stages before the output."""
    identity: str
    made_by: str
    """The code that the row has to come from, as `identity.code_of`."""
    scene: str
    """The hash of all that its scene depends on: cases with the same one share it."""
    cache_folder: Path


@dataclass
class Tally:
    """How far a study is."""

    cases: int
    stored: int = 0
    """Rows that were in the table already."""
    cached: int = 0
    """Rows from the cache."""
    computed: int = 0
    failed: int = 0
    """Of those computed."""

    @property
    def done(self) -> int:
        """Cases that have their row."""
        return self.stored + self.cached + self.computed


Progress = Callable[[Tally], None]


class OutdatedRows(UserWarning):
    """Rows that other code or other files made."""


class NotKept(UserWarning):
    """Rows that the cache must not keep."""


def run_case(case: Case) -> ResultRow:
    """Run one case; an error becomes a row, too."""
    began = time.perf_counter()
    try:
        if code_of(case.scenario) != case.made_by:
            raise RuntimeError(
                "the worker has another version of hasim, of its packages or of the algorithm"
            )
        row = _judged(case)
    except Exception as error:
        row = failed(case, error)
    return dataclasses.replace(row, seconds=time.perf_counter() - began)


def _judged(case: Case) -> ResultRow:
    scenario, folder = case.scenario, case.cache_folder
    scene = run_cache.scene(scenario, folder)
    timeline = run_cache.timeline(scenario, folder)
    masks = run_cache.masks(scenario, scene, timeline, folder)
    enhanced, mics = enhance(scenario, scene, timeline, masks)
    stages = {
        name: tap
        for name, tap in enhanced.taps.items()
        if case.with_stages and name != enhanced.output_tap
    }
    enhanced = dataclasses.replace(enhanced, taps=stages)
    judged = judge(scenario, scene, timeline, enhanced, mics)
    outcome = result.outcome(judged)
    of_stages = {
        f"{stage}.{name}": value
        for stage, scores in judged.stages.items()
        for name, value in scores.items()
    }
    unscored = dict.fromkeys(outcome["unscored"].values())
    return ResultRow(
        case.settings,
        case.seed,
        numbers=outcome["numbers"] | of_stages,
        feasible=outcome["verdict"]["feasible"],
        reasons="; ".join([*outcome["verdict"]["reasons"], *unscored]),
        scenario_hash=case.identity[:12],
        made_by=case.made_by,
        stages=tuple(stages),
    )


def failed(case: Case, error: BaseException) -> ResultRow:
    """The row of a case that has no numbers."""
    return ResultRow(
        case.settings,
        case.seed,
        scenario_hash=case.identity[:12],
        error=f"{type(error).__name__}: {' '.join(str(error).split())}",
        made_by=case.made_by,
    )


# ------------------------------------------------------------------------------------- many cases


def complete(
    requests: Sequence[Request],
    scenario_of: ScenarioOf,
    store: Store,
    engine: Engine,
    cache_folder: Path | None = None,
    progress: Progress = lambda _: None,
    *,
    with_stages: bool = False,
    retry_failed: bool = False,
) -> Tally:
    """Give every request its row: from the table, from the cache, or by running it.

    Rows are the same bytes for any number of workers and any order. `cache_folder` None: the
    user's. `progress` is called after every row.

    Raises:
        InputError: the cluster does not answer.
        OSError: no room or no right to write.
    """
    cache_folder = cache_folder or run_cache.folder_of_sweeps()
    there = store.keys(failed=not retry_failed)
    missing = [
        (point, seed) for point, seed in requests if (settings_key(point), seed) not in there
    ]
    tally = Tally(len(requests), stored=len(requests) - len(missing))
    progress(tally)
    cache = RowCache(cache_folder)

    def add(rows: list[ResultRow]) -> None:
        if rows:
            store.add(rows)
            progress(tally)

    try:
        cases: list[Case] = []
        ready: list[ResultRow] = []
        for found in _cases(missing, scenario_of, cache_folder, with_stages):
            row = found if isinstance(found, ResultRow) else cached_row(cache, found)
            if row is None:
                assert isinstance(found, Case)
                cases.append(found)
                continue
            ready.append(row)
            tally.cached += not row.error
            tally.computed += bool(row.error)
            tally.failed += bool(row.error)
            if len(ready) >= 100:
                add(ready)
                ready = []
        add(ready)
        if not cases:
            return tally
        _say_what_is_not_kept(cases)
        for case, answer in engine.map(run_case, cases, group=lambda case: case.scene):
            lost = isinstance(answer, BaseException)
            row = failed(case, answer) if lost else answer
            tally.computed += 1
            tally.failed += bool(row.error)
            add([row])
            if not row.error and not untraceable(case.scenario):
                cache.put(_cache_key(case), _as_text(row))
    finally:
        cache.close()
    return tally


def _cases(
    requests: Iterable[Request], scenario_of: ScenarioOf, cache_folder: Path, with_stages: bool
) -> Iterator[Case | ResultRow]:
    """The case of every request; a row where its settings make no scenario."""
    for settings, seed in requests:
        try:
            scenario = scenario_of(settings, seed)
        except ScenarioError as error:
            said = "; ".join(map(str, error.problems))
            made_by = code_hash(*RUN)[:12]
            yield ResultRow(settings, seed, error=f"ScenarioError: {said}", made_by=made_by)
        else:
            yield case_of(settings, seed, scenario, cache_folder, with_stages)


def case_of(
    settings: Settings, seed: int, scenario: Scenario, cache_folder: Path, with_stages: bool
) -> Case:
    """A scenario as a worker gets it."""
    return Case(
        settings,
        seed,
        scenario,
        with_stages,
        identity(scenario),
        code_of(scenario),
        content_hash(scene_key(scenario)),
        cache_folder,
    )


def cached_row(cache: RowCache, case: Case) -> ResultRow | None:
    """The row of a case from the cache, if it is there."""
    text = None if untraceable(case.scenario) else cache.get(_cache_key(case))
    if text is None:
        return None
    parts = json.loads(text)
    return ResultRow(
        case.settings,
        case.seed,
        scenario_hash=case.identity[:12],
        made_by=case.made_by,
        stages=tuple(parts.pop("stages")),
        **parts,
    )


def _cache_key(case: Case) -> str:
    row = part_hash("studies/case.py")
    return content_hash({"row": row, "of": case.identity, "with_stages": case.with_stages})


def _as_text(row: ResultRow) -> str:
    """All of a row that does not say which table it belongs to."""
    kept = ("numbers", "feasible", "reasons", "seconds", "stages")
    return json.dumps({name: getattr(row, name) for name in kept}, allow_nan=False)


def _say_what_is_not_kept(cases: Iterable[Case]) -> None:
    names = {name for case in cases for name in untraceable(case.scenario)}
    if names:
        warnings.warn(
            f"{', '.join(sorted(names))}: the source cannot be found, so nobody can say whether it "
            "has changed; its rows are not kept in the cache",
            NotKept,
            stacklevel=3,
        )


# --------------------------------------------------------------------------------------- old rows


def outdated(origins: Iterable[Origin], scenario_of: ScenarioOf) -> dict[Key, str]:
    """Rows of a table that this code and the files as they are now would not give, each with what
    is different: "code" or "files".

    A row of no scenario (`scenario_of` raises ScenarioError) is judged by hasim's own code.
    """
    found: dict[Key, str] = {}
    for origin in origins:
        try:
            scenario = scenario_of(json.loads(origin.settings), origin.seed)
        except ScenarioError:
            if origin.made_by.partition("+")[0] != code_hash(*RUN)[:12]:
                found[origin.key] = "code"
            continue
        if origin.made_by != code_of(scenario) or origin.made_by.endswith(UNTRACEABLE):
            found[origin.key] = "code"
        elif origin.scenario_hash != identity(scenario)[:12]:
            found[origin.key] = "files"
    return found


def drop_outdated(store: Store, scenario_of: ScenarioOf) -> None:
    """Take rows out of the table that this code and these files would not give, so that rows of
    different origin never stand side by side; warns of them by number."""
    old = outdated(store.origins(), scenario_of)
    store.remove(old)
    for reason, count in Counter(old.values()).items():
        made = "by other code" if reason == "code" else "from other files"
        rows = "1 row was" if count == 1 else f"{count} rows were"
        warnings.warn(
            f"{store.folder}: {rows} made {made}: taken out, and computed again where asked for",
            OutdatedRows,
            stacklevel=3,
        )
