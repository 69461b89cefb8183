"""Cases of studies: rows that other code or other files made are never mixed with those of now."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hasim.acoustics.audio_file import wav_bytes
from hasim.experiment import identity as identities
from hasim.experiment.run import run
from hasim.nodes import Passthrough
from hasim.studies import axes, case, results_table, sweep
from hasim.studies.case import NotKept, OutdatedRows
from tests.experiment.test_plugins import install

EXAMPLE = Path(__file__).parents[2] / "examples" / "plug_in"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def scenario(tmp_path, monkeypatch) -> Path:
    """A scenario that takes milliseconds, with a recording of its own, and its own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _record(tmp_path, 1)
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "name: tiny\nduration_s: 0.5\nmetrics: [si_sdr]\nalgorithm: {masks: oracle}\n"
        "scene: {room: {t60_s: 0}, target: {source: {kind: file, path: speech.wav}}}\n"
    )
    return file


def _record(folder: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.1, 16_000)
    (folder / "speech.wav").write_bytes(wav_bytes(noise, 16_000, "PCM_16"))


def _gains(folder: Path) -> dict[float, float]:
    rows = results_table.read(folder).rows
    return {row.settings["algorithm.mu"]: row.numbers["si_sdr_enhanced_db_left"] for row in rows}


# --- code -----------------------------------------------------------------------------------------


@pytest.fixture
def changed(monkeypatch):
    """Makes a package of hasim another one."""
    honest = identities.part_hash

    def change(package: str) -> None:
        monkeypatch.setattr(
            identities, "part_hash", lambda part: "changed" if part == package else honest(part)
        )
        identities.code_hash.cache_clear()

    yield change
    monkeypatch.undo()
    identities.code_hash.cache_clear()


def test_rows_of_other_code_are_named_and_computed_again(scenario, tmp_path, changed):
    grid = axes.grid(scenario, over=["algorithm.mu=1,2"])
    assert sweep.sweep(grid, tmp_path / "out").computed == 2
    before = (tmp_path / "out" / "results.csv").read_bytes()
    changed("dsp")
    forecast = sweep.forecast(grid, tmp_path / "out")
    assert (forecast.stored, forecast.cached, forecast.outdated) == (0, 0, 2)
    assert forecast.to_compute == forecast.to_dict()["to_compute"] == 2
    with pytest.warns(OutdatedRows, match=r"out: 2 rows were made by other code: taken out"):
        assert sweep.sweep(grid, tmp_path / "out").computed == 2
    after = (tmp_path / "out" / "results.csv").read_bytes()
    assert [row.made_by for row in results_table.read(tmp_path / "out").rows] == [
        identities.code_hash(*identities.RUN)[:12]
    ] * 2
    assert after != before  # the hashes of the scenarios
    assert sweep.sweep(grid, tmp_path / "out").stored == 2


@pytest.mark.parametrize("package", ["reporting", "cli"])
def test_other_figures_or_pages_change_nothing(scenario, tmp_path, changed, package):
    grid = axes.grid(scenario)
    sweep.sweep(grid, tmp_path / "a")
    changed(package)
    assert sweep.sweep(grid, tmp_path / "a").stored == 1
    assert sweep.sweep(grid, tmp_path / "b").cached == 1


def test_old_rows_of_other_points_do_not_stay_beside_new_ones(scenario, tmp_path, changed):
    sweep.sweep(axes.grid(scenario, over=["algorithm.mu=1,2"]), tmp_path / "out")
    changed("nodes")
    with pytest.warns(OutdatedRows, match="2 rows"):
        sweep.sweep(axes.grid(scenario, over=["algorithm.mu=3"]), tmp_path / "out")
    assert _gains(tmp_path / "out").keys() == {3}


def test_a_row_that_failed_with_other_code_is_tried_again(scenario, tmp_path, changed, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(case, "enhance", broken)
        assert sweep.sweep(axes.grid(scenario), tmp_path / "out").failed == 1
    assert sweep.sweep(axes.grid(scenario), tmp_path / "out").stored == 1
    changed("nodes")
    with pytest.warns(OutdatedRows, match="1 row was made by other code"):
        assert sweep.sweep(axes.grid(scenario), tmp_path / "out").failed == 0


def test_a_table_of_an_older_hasim_can_be_read(scenario, tmp_path):
    """Its rows do not say which code made them."""
    sweep.sweep(axes.grid(scenario, over=["algorithm.mu=1"]), tmp_path / "out")
    with sqlite3.connect(tmp_path / "out" / results_table.FILE) as connection:
        (text,) = connection.execute("SELECT row FROM results").fetchone()
        old = {k: v for k, v in json.loads(text).items() if k not in ("made_by", "stages")}
        connection.execute("UPDATE results SET row = ?", (json.dumps(old),))
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert len(_gains(tmp_path / "out")) == 1
    with pytest.warns(OutdatedRows, match="1 row was made by other code"):
        sweep.sweep(axes.grid(scenario, over=["algorithm.mu=1"]), tmp_path / "out")


def test_a_worker_with_other_code_answers_with_a_failure(scenario, tmp_path):
    given = axes.grid(scenario).base
    made = case.case_of({}, 0, given, tmp_path, with_stages=False)
    other = case.run_case(dataclasses.replace(made, made_by="another"))
    assert other.error.startswith("RuntimeError: the worker has another version of hasim")


# --- files ----------------------------------------------------------------------------------------


def test_another_recording_of_the_same_name_is_heard(scenario, tmp_path):
    grid = axes.grid(scenario, over=["algorithm.mu=1,2"])
    sweep.sweep(grid, tmp_path / "out")
    before = _gains(tmp_path / "out")
    _record(tmp_path, 2)
    assert sweep.forecast(grid, tmp_path / "out").outdated == 2
    with pytest.warns(OutdatedRows, match="2 rows were made from other files"):
        assert sweep.sweep(grid, tmp_path / "out").computed == 2
    after = _gains(tmp_path / "out")
    assert after[1] != before[1]
    alone = run(grid.scenario({"algorithm.mu": 1}))
    assert after[1] == alone.numbers["si_sdr_enhanced_db_left"]
    _record(tmp_path, 1)
    with pytest.warns(OutdatedRows):
        assert sweep.sweep(grid, tmp_path / "out").cached == 2
    assert _gains(tmp_path / "out") == before


def test_other_weights_of_the_same_name_are_run(scenario, tmp_path):
    torch = pytest.importorskip("torch")
    from hasim.networks.mn_dnn import MnDnn
    from hasim.networks.weights_file import save

    file = tmp_path / "mn_dnn.safetensors"
    torch.manual_seed(0)
    save(MnDnn(), file)
    grid = axes.grid(scenario, set=["algorithm.masks=trained", f"algorithm.weights={file}"])
    sweep.sweep(grid, tmp_path / "out")
    (before,) = results_table.read(tmp_path / "out").rows
    save(MnDnn(), file)
    with pytest.warns(OutdatedRows, match="1 row was made from other files"):
        assert sweep.sweep(grid, tmp_path / "out").computed == 1
    (after,) = results_table.read(tmp_path / "out").rows
    assert after.numbers != before.numbers


# --- algorithms from outside ----------------------------------------------------------------------


def _hasim(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "hasim", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_an_algorithm_that_is_edited_between_two_sweeps_is_run_again(tmp_path):
    """The project's own example, as a package whose version stays the same."""
    source = (EXAMPLE / "front_sum.py").read_text()
    install(tmp_path, "front_sum", source, "front_sum = front_sum:FrontSum")
    (tmp_path / "plug.yaml").write_text(
        "duration_s: 0.5\nalgorithm: {kind: front_sum}\nmetrics: [si_sdr]\n"
        "scene: {room: {t60_s: 0}}\n"
    )
    words = ("sweep", "plug.yaml", "--over", "algorithm.share=0.5", "--jobs", 1, "--out")

    def gain(folder: str) -> float:
        (row,) = results_table.read(tmp_path / folder).rows
        return row.numbers["si_sdr_improvement_db_left"]

    _hasim(tmp_path, *words, "a")
    again = _hasim(tmp_path, *words, "b")
    assert "1 in the cache, 0 to compute" in again.stderr
    before = "return (1 - share) * signals[:, 0] + share * partner.signal[:, 0]"
    assert before in source
    after = "return signals[:, 0] - 0.9 * np.roll(signals[:, 0], 3, axis=-1)"
    (tmp_path / "front_sum.py").write_text(source.replace(before, after))
    changed = _hasim(tmp_path, *words, "b")
    assert "0 in the table, 0 in the cache, 1 to compute" in changed.stderr
    assert "1 row was made by other code" in " ".join(changed.stderr.split())
    assert gain("a") != gain("b")
    alone = _hasim(tmp_path, "run", "plug.yaml", "--json", "--quiet")
    assert json.loads(alone.stdout)["numbers"]["si_sdr_improvement_db_left"] == gain("b")


def test_rows_without_a_source_are_not_kept(scenario, tmp_path):
    namespace: dict = {"__name__": "made_up", "Passthrough": Passthrough}
    exec("class Loud(Passthrough):\n    pass\n", namespace)
    loud = axes.grid(scenario).base.model_copy(update={"algorithm": namespace["Loud"]()})
    grid = dataclasses.replace(axes.grid(scenario), base=loud)
    with pytest.warns(NotKept, match=r"made_up\.Loud: the source cannot be found"):
        assert sweep.sweep(grid, tmp_path / "a").computed == 1
    with pytest.warns(NotKept):
        assert sweep.sweep(grid, tmp_path / "b").computed == 1
    with pytest.warns(OutdatedRows), pytest.warns(NotKept):
        assert sweep.sweep(grid, tmp_path / "b").computed == 1
