"""A metric of one's own: one object, and it is found wherever hasim's own metrics are."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hasim.config.diagnostics import ScenarioError
from hasim.experiment.run import run
from hasim.experiment.scenario import from_mapping
from hasim.experiment.summary import table
from hasim.metrics import Metric, Quantity, register, unregister
from hasim.reporting import evaluation_tables, page, run_folder
from hasim.reporting.figure import column_label
from hasim.studies import axes, evaluate, evaluation_scenes
from hasim.studies.comparison import compare
from hasim.studies.evaluate import contestants
from hasim.studies.results_table import read
from hasim.studies.sweep import sweep
from tests.experiment.test_plugins import hasim, install

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_metric.py"
SETTINGS = {
    "duration_s": 0.5,
    "scene": {"room": {"t60_s": 0}},
    "algorithm": {"kind": "mn_tango", "masks": "oracle"},
    "metrics": ["crest", "si_sdr"],
}


def crest_db(signals):
    """A toy: peak against root mean square, in dB."""
    peaks = np.max(np.abs(signals.estimate), axis=-1)
    left, right = 20 * np.log10(peaks / np.sqrt(np.mean(signals.estimate**2, axis=-1)))
    return {"crest_db_left": left, "crest_db_right": right}


@pytest.fixture(autouse=True)
def crest():
    register(Metric("crest", crest_db, (Quantity("crest", "crest factor", "dB", digits=1),)))
    yield
    unregister("crest")


def test_in_the_table_and_on_the_page_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "figures", lambda _: {})
    result = run(from_mapping(SETTINGS))
    shown = io.StringIO()
    Console(file=shown, width=120).print(table(result, stages=True))
    assert shown.getvalue().count("crest factor (dB)") == 2  # scores and stages
    numbers = result.numbers
    gain = numbers["crest_enhanced_db_left"] - numbers["crest_noisy_db_left"]
    assert numbers["crest_improvement_db_left"] == pytest.approx(gain)
    assert all("crest_db_right" in scores for scores in result.stages.values())
    report = (run_folder.write_run(result, tmp_path) / "report.html").read_text(encoding="utf-8")
    assert report.count('<th scope="row">crest factor (dB)</th>') == 1
    assert '<th scope="col">crest factor (dB)</th>' in report
    assert "crest factor improvement" in report


def test_in_the_table_of_a_sweep_and_in_comparisons(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(SETTINGS))
    grid = axes.grid(file, over=["algorithm.mu=0.5,2"], seeds=2)
    sweep(grid, tmp_path / "sweep")
    head = (tmp_path / "sweep" / "results.csv").read_text().splitlines()[0]
    assert "crest_enhanced_db_left" in head.split(",")
    shown = page.page(tmp_path / "sweep")
    assert "crest factor improvement (dB)" in shown
    data = json.loads(shown.partition('id="data">')[2].partition("</script>")[0])
    maximized = {one["name"]: one["maximize"] for one in data["columns"]}
    assert maximized["crest_enhanced_db_left"]
    sheet = read(tmp_path / "sweep")
    assert "crest_improvement_db" in {one.column for one in compare(sheet, sheet)}
    assert column_label("crest_enhanced_db_left") == "crest factor enhanced, left (dB)"


def test_in_scores_and_differences_of_an_evaluation(tmp_path):
    spec = evaluation_scenes.definition().model_copy(update={"duration_s": 1.0, "t60_s": (0, 0)})
    _, found = evaluate.evaluate(
        evaluation_scenes.scenarios(spec, 2),
        contestants(["mn_tango", "local"], "oracle"),
        tmp_path / "evaluation",
        settings=["metrics=[crest]"],
        cache_folder=tmp_path / "cache",
    )
    steps = {one["step"] for one in found["scores"] if one["metric"] == "crest_db"}
    assert steps == {"noisy", "received", "mn_dnn", "sn_dnn", "output"}
    assert {one["minus"] for one in found["differences"]} == {"noisy", "mn_tango"}
    tables = evaluation_tables
    for rows in (tables.by_step, tables.outputs, tables.differences):
        assert "crest factor (dB)" in rows(found)[0]
    for name in ("scores", "differences"):
        assert "crest_db" in (tmp_path / "evaluation" / f"{name}.csv").read_text()


def test_the_example_as_a_plug_in(tmp_path):
    """Known to the schema, to the check of scenarios, and measured."""
    entry = "seg_snr = own_metric:SEGMENTAL_SNR"
    install(tmp_path, "own_metric", EXAMPLE.read_text(), entry, "hasim.metrics")
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(SETTINGS | {"metrics": ["seg_snr"]}))
    done = hasim(tmp_path, "run", str(file), "--quiet", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    numbers = json.loads(done.stdout)["numbers"]
    assert -10 < numbers["seg_snr_noisy_db_left"] < numbers["seg_snr_enhanced_db_left"] < 35
    file.write_text(json.dumps(SETTINGS | {"metrics": ["seg_snp"]}))
    refused = hasim(tmp_path, "validate", str(file))
    assert "did you mean 'seg_snr'?" in refused.stderr
    shutil.rmtree(tmp_path / "own_metric-1.0.dist-info")
    with pytest.raises(ScenarioError, match=r"metrics.0: unknown choice \(got 'seg_snr'\)"):
        from_mapping(SETTINGS | {"metrics": ["seg_snr"]})
