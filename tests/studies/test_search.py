"""The walk through a large grid: repeatable, in the same table, towards the front."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.studies import axes, pareto, results_table, sweep
from hasim.studies.pareto import Objective
from hasim.studies.search import search

pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

OVER = (
    "algorithm.kind=mn_tango,local",
    "algorithm.mu={start: 0, stop: 4, count: 9}",
    "link.codec.bits={values: [1, 2, 3, 4, 6, 8, 12, 16], when: {algorithm.kind: mn_tango}}",
)
GOALS = [Objective("link_kbps"), Objective("si_sdr_improvement_db", maximize=True)]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "duration_s: 0.5\nscene: {room: {t60_s: 0}}\n"
        "metrics: [si_sdr]\nalgorithm: {masks: oracle}\n"
    )
    return file


def _plan(file, seeds=1):
    return axes.grid(file, over=OVER, seeds=seeds, whole=False)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "qmc", "random"])
def test_the_same_walk_twice(tiny, tmp_path, sampler):
    first = search(_plan(tiny), tmp_path / "a", GOALS, trials=18, sampler=sampler)
    assert first.computed > 8
    assert first.failed == 0
    again = search(_plan(tiny), tmp_path / "b", GOALS, trials=18, sampler=sampler)
    assert again.computed == 0  # all from the cache: the same points
    tables = [(tmp_path / name / "results.csv").read_bytes() for name in "ab"]
    assert tables[0] == tables[1]
    assert search(_plan(tiny), tmp_path / "b", GOALS, trials=18, sampler=sampler).cached == 0


def test_a_longer_walk_begins_like_the_shorter_one(tiny, tmp_path):
    search(_plan(tiny), tmp_path / "out", GOALS, trials=12)
    before = {row.key for row in results_table.read(tmp_path / "out").rows}
    search(_plan(tiny), tmp_path / "out", GOALS, trials=24)
    after = {row.key for row in results_table.read(tmp_path / "out").rows}
    assert before < after


def test_it_walks_within_the_grid_and_finds_its_front(tiny, tmp_path):
    whole = axes.grid(tiny, over=OVER)
    sweep.sweep(whole, tmp_path / "grid")
    search(_plan(tiny), tmp_path / "walk", GOALS, trials=48)
    grid, walk = results_table.read(tmp_path / "grid"), results_table.read(tmp_path / "walk")
    rows = {row.key: row.numbers for row in grid.rows}
    assert len(rows) == 9 + 9 * 8
    assert all(rows[row.key] == row.numbers for row in walk.rows)
    assert len(walk.rows) < len(rows) * 0.6
    # in the box of the whole grid, the walk's front beats nearly what the grid's front beats
    grid_costs, walk_costs = _costs(grid), _costs(walk)
    low, high = grid_costs.min(axis=0), grid_costs.max(axis=0)
    reached, there_is = (
        pareto.hypervolume((costs - low) / (high - low)) for costs in (walk_costs, grid_costs)
    )
    assert reached > 0.9 * there_is


def _costs(sheet):
    front = pareto.front(sheet, GOALS, rule="plain")
    return front.means * [1, -1]


def test_a_failing_point_does_not_end_the_walk(tiny, tmp_path):
    over = ["front_end.hop=64,128,256", "front_end.window=256,512"]
    grid = axes.grid(tiny, over=over, whole=False)
    tally = search(grid, tmp_path / "out", GOALS, trials=12)
    assert tally.failed == 1
    assert len(results_table.read(tmp_path / "out").rows) > 3


def test_a_search_needs_axes(tiny, tmp_path):
    with pytest.raises(ValueError, match="needs axes"):
        search(axes.grid(tiny, whole=False), tmp_path, GOALS)


def test_search_from_the_command_line(tiny, tmp_path):
    def hasim(*words):
        over = [word for text in OVER for word in ("--over", text)]
        command = ["search", str(tiny), *over, "--jobs", "1", "--quiet", "--trials", "4", *words]
        return CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])

    goals = ("--objectives", "min:link_kbps,max:si_sdr_improvement_db")
    answer = hasim(*goals)
    assert answer.exit_code == 0
    assert answer.stdout == f"{tmp_path / 'out' / 'results.csv'}\n"
    assert hasim("--objectives", "small:latency_ms").exit_code == 2
    assert hasim("--objectives", "min:latency_ms,max:beauty").exit_code == 2
