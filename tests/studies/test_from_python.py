"""Sweeps, evaluations and fronts from Python."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import hasim
from hasim.studies.tables import of_folder

TINY = {
    "name": "tiny",
    "seed": 3,
    "duration_s": 0.5,
    "scene": {"room": {"t60_s": 0}},
    "algorithm": {"kind": "mn_tango", "masks": "oracle"},
    "metrics": ["si_sdr"],
}
OVER = {"link.codec.bits": [2, 8], "algorithm.mu": np.array([0.5, 2.0])}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path, cache) -> hasim.Table:
    return hasim.sweep(TINY, OVER, seeds=2, out=tmp_path / "sweep")


def test_a_sweep_gives_a_row_for_every_point_and_seed(table, tmp_path):
    assert len(table) == 8
    assert {(row["link.codec.bits"], row["algorithm.mu"], row["seed"]) for row in table} == {
        (bits, mu, seed) for bits in (2, 8) for mu in (0.5, 2) for seed in (3, 4)
    }
    assert {row["status"] for row in table} == {"ok"}
    assert list(table[0]) == table.columns
    assert (table.folder, table.failed) == (tmp_path / "sweep", 0)
    assert of_folder(table.folder).rows == table.rows


def test_pandas_takes_the_table_as_it_is(table):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table)
    pandas.testing.assert_frame_equal(frame, table.to_pandas())
    assert frame.shape == (8, len(table.columns))
    means = frame.groupby("link.codec.bits")["si_sdr_improvement_db_left"].mean()
    assert list(means.index) == [2, 8]
    assert frame["link_kbps"].dtype == float


def test_a_sweep_from_python_is_that_of_the_command(table, tmp_path):
    """The same bytes of results.csv, from a file and from a mapping, on any number of cores."""
    import json

    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY))
    command = [sys.executable, "-m", "hasim", "sweep", str(file), "--quiet", "--seeds", "2"]
    command += ["--over", "link.codec.bits=2,8", "--over", "algorithm.mu=0.5,2", "--jobs", "1"]
    command += ["--out", str(tmp_path / "sh")]
    environment = {"XDG_CACHE_HOME": str(tmp_path / "other")}
    subprocess.run(command, check=True, capture_output=True, env={**_environ(), **environment})
    made = (table.folder / "results.csv").read_bytes()
    assert (tmp_path / "sh" / "results.csv").read_bytes() == made
    again = hasim.sweep(file, {**OVER, "algorithm.mu": [0.5, 2]}, seeds=2, out=tmp_path / "again")
    assert again.rows == table.rows


def _environ() -> dict[str, str]:
    import os

    return dict(os.environ)


def test_relative_paths_of_a_mapping_start_at_the_working_folder(tmp_path, cache, monkeypatch):
    import soundfile

    monkeypatch.chdir(tmp_path)
    soundfile.write("own.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    own = {"scene.target.source": {"kind": "file", "path": "own.wav"}}
    scenario = hasim.run(TINY, set=own, out=None).scenario
    table = hasim.sweep(scenario, {"algorithm.mu": [1]}, out="sweep")
    assert [row["status"] for row in table] == ["ok"]


def test_mistakes_are_named(tmp_path, cache):
    with pytest.raises(hasim.ScenarioError, match=r"link\.codec\.bit.*did you mean"):
        hasim.sweep(TINY, {"link.codec.bit": [2]}, out=tmp_path)
    with pytest.raises(hasim.ScenarioError, match=r"duration"):
        hasim.sweep(TINY, OVER, set={"duration_s": -1}, out=tmp_path)


def test_failed_runs_are_counted(tmp_path, cache):
    over = {"scene.room.size_m": [[6, 4.5, 2.7], [3, 3, 2.7]], "scene.target.distance_m": [1, 3]}
    table = hasim.sweep({**TINY, "scene": {}}, over, out=tmp_path / "sweep")
    assert table.failed == 1
    assert "; 1 failed>" in repr(table)
    assert sorted(row["status"] for row in table) == ["failed", "ok", "ok", "ok"]


def test_a_front_of_a_table_or_a_folder(table):
    goals = {"minimize": ["link_kbps"], "maximize": ["si_sdr_improvement_db"]}
    front = hasim.pareto(table, **goals, rule="plain")
    assert np.array_equal(hasim.pareto(str(table.folder), **goals, rule="plain").means, front.means)
    points = front.to_table()
    assert len(points) == 4
    assert sum(row["on_front"] for row in points) == front.on_front.sum()
    assert points.columns[-4:] == ["link_kbps", "si_sdr_improvement_db", "feasible", "on_front"]
    assert repr(front).startswith(f"<Front {front.on_front.sum()} of 4 points: min link_kbps, max")
    with pytest.raises(hasim.InputError, match="not that of a sweep"):
        hasim.pareto(points, **goals)


def test_what_is_shown_fits_a_screen_and_is_a_table(table):
    front = hasim.pareto(table, minimize=["link_kbps"], maximize=["si_sdr_improvement_db"])
    for shown in (table, front, front.to_table(), hasim.Table([])):
        assert len(repr(shown)) <= 400
        page = shown._repr_html_()
        assert page.startswith("<table>")
        HTMLParser().feed(page)
    assert "8 rows x" in repr(table)
    long = hasim.Table([{"a": 1.0, "b": "<i>"}] * 100)
    assert long._repr_html_().count("<tr>") == 21
    assert "80 more rows" in long._repr_html_()
    assert "<i>" not in long._repr_html_()


def test_an_evaluation_has_scores_differences_and_runs(tmp_path, cache):
    pandas = pytest.importorskip("pandas")
    scenes = [hasim.Scenario(name=f"scene_{n}", seed=n, duration_s=1) for n in range(2)]
    evaluation = hasim.evaluate(
        ["local", "passthrough"],
        scenes=scenes,
        masks="oracle",
        set={"metrics": ["si_sdr"]},
        out=tmp_path / "evaluation",
    )
    assert {row["algorithm"] for row in evaluation} == {"noisy", "local", "passthrough"}
    assert len(evaluation.runs) == 4
    assert len(evaluation.differences) > 0
    assert len(evaluation.share_of_oracle) == 0
    assert "metric" in pandas.DataFrame(evaluation).columns
    assert len(repr(evaluation)) <= 400
    with pytest.raises(ValueError, match="twice"):
        hasim.evaluate(["local", "local"], out=tmp_path / "twice")
