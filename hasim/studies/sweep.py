"""Sweeps: every point of a grid with every seed, as rows of one table.

How cases become rows, also after a stop or a failure, is in `case`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hasim.config.diagnostics import ScenarioError
from hasim.config.disk_cache import content_hash
from hasim.experiment.identity import outline
from hasim.experiment.scenario import Scenario, canonical_json
from hasim.studies import run_cache
from hasim.studies.axes import Grid
from hasim.studies.case import (
    Progress,
    Request,
    Tally,
    cached_row,
    case_of,
    complete,
    drop_outdated,
    outdated,
)
from hasim.studies.result_row import settings_key
from hasim.studies.results_table import Store, read_origins
from hasim.studies.run_cache import RowCache
from hasim.studies.workers import Engine


def sweep(
    grid: Grid,
    folder: str | Path,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    retry_failed: bool = False,
    cache_folder: Path | None = None,
    progress: Progress = lambda _: None,
) -> Tally:
    """Give every point and seed of `grid` its row in the table of `folder`.

    Rows are the same bytes for any `jobs` and any order. `cache_folder` None: the user's; several
    sweeps may share one. `progress` is called after every row. Rows that other code made, or that
    come from files as they were, are taken out of the table with a warning.

    Raises:
        InputError: the table cannot be used, or the cluster does not answer.
        OSError: no room or no right to write.
    """
    with open_table(grid, folder) as store, Engine(jobs, cluster, grid.time_limit_s) as engine:
        try:
            return complete(
                requests(grid),
                grid.scenario,
                store,
                engine,
                cache_folder,
                progress,
                retry_failed=retry_failed,
            )
        finally:
            store.write_table()


def requests(grid: Grid) -> list[Request]:
    """All points and seeds; one seed after the other, because points share its scenes."""
    return [(point, seed) for seed in grid.seeds for point in grid.points]


def open_table(grid: Grid, folder: str | Path) -> Store:
    """The table of a folder, for rows that vary this grid's scenario; without rows that other code
    or other files made, of which it warns."""
    base = grid.base.model_copy(update={"seed": 0, "name": "scenario"})
    store = Store(folder, content_hash(outline(base)), canonical_json(grid.base))
    try:
        drop_outdated(store, grid.scenario)
    except BaseException:
        store.close()
        raise
    return store


@dataclass(frozen=True)
class Forecast:
    """What a sweep would have to do."""

    points: int
    seeds: int
    stored: int
    cached: int
    outdated: int
    """Rows of the table that other code or other files made; they are not among those stored."""
    seconds_each: float
    measured: bool
    """Whether `seconds_each` is from rows of this table; else it is a rule of thumb."""

    @property
    def cases(self) -> int:
        """Points times seeds."""
        return self.points * self.seeds

    @property
    def to_compute(self) -> int:
        """Cases that have to be run."""
        return self.cases - self.stored - self.cached

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return dataclasses.asdict(self) | {"cases": self.cases, "to_compute": self.to_compute}


def forecast(grid: Grid, folder: str | Path, cache_folder: Path | None = None) -> Forecast:
    """What `sweep` would find and what it would have to compute; writes nothing."""
    origins = read_origins(folder)
    old = outdated(origins, grid.scenario)
    there = {origin.key for origin in origins} - old.keys()
    missing = [one for one in requests(grid) if (settings_key(one[0]), one[1]) not in there]
    cached = 0
    if (cache_folder := cache_folder or run_cache.folder_of_sweeps()).is_dir():
        cache = RowCache(cache_folder)
        for settings, seed in missing:
            try:
                scenario = grid.scenario(settings, seed)
            except ScenarioError:
                continue
            case = case_of(settings, seed, scenario, cache_folder, with_stages=False)
            cached += cached_row(cache, case) is not None
        cache.close()
    times = sorted(origin.seconds for origin in origins if not origin.failed and origin.seconds > 0)
    return Forecast(
        points=len(grid.points),
        seeds=len(grid.seeds),
        stored=len(grid.points) * len(grid.seeds) - len(missing),
        cached=cached,
        outdated=len(old),
        seconds_each=times[len(times) // 2] if times else _rule_of_thumb(grid.base),
        measured=bool(times),
    )


def _rule_of_thumb(scenario: Scenario) -> float:
    """Seconds that a case takes, roughly: per second of sound, as measured."""
    per_second = 0.12 + 0.04 * ("stoi" in scenario.metrics) + 0.25 * ("pesq" in scenario.metrics)
    return 0.05 + per_second * scenario.duration_s
