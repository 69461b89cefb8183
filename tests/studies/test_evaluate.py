"""Evaluation: the test set's balance, scores and intervals of hand-made rows, and going on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hasim.acoustics.sources import FileSource, SpeechShapedNoise
from hasim.config.diagnostics import ScenarioError
from hasim.config.spec import InputError
from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnn
from hasim.networks.precision import QuantisationSpec
from hasim.networks.quantization.network import quantised
from hasim.networks.weights_file import save
from hasim.reporting import evaluation_tables
from hasim.studies import evaluate, evaluation_scenes, run_cache
from hasim.studies.case import OutdatedRows
from hasim.studies.evaluate import Contestant, contestants, judged
from hasim.studies.result_row import ResultRow
from tests.experiment.test_plugins import install

ROOT = Path(__file__).parents[2]

# --- the test set ---------------------------------------------------------------------------------


def test_any_six_scenes_in_a_row_hold_every_combination_once() -> None:
    scenes = [s.scene for s in evaluation_scenes.scenarios(evaluation_scenes.definition(), 25)]
    combinations = [(s.snr_db, s.noises[0].azimuth_deg) for s in scenes]
    for first in range(len(combinations) - 5):
        assert len(set(combinations[first : first + 6])) == 6
    assert set(combinations) == {(snr, at) for snr in (-5, 0, 5) for at in (-45, -90)}
    assert {s.target.azimuth_deg for s in scenes} == {0.0}
    assert {s.snr_at for s in scenes} == {"left"}


def test_every_noise_comes_equally_often() -> None:
    sources = [
        s.scene.noises[0].source
        for s in evaluation_scenes.scenarios(evaluation_scenes.definition(), 25)
    ]
    assert sorted(sources.count(source) for source in set(sources)) == [5] * 5


def test_more_scenes_leave_the_earlier_ones_and_differ_from_them() -> None:
    few = evaluation_scenes.scenarios(evaluation_scenes.definition(), 3)
    assert evaluation_scenes.scenarios(evaluation_scenes.definition(), 8)[:3] == few
    assert len({scene.scene.room for scene in few}) == 3


def test_recordings_of_ones_own(tmp_path) -> None:
    import soundfile

    for name in ("speech/a.wav", "speech/deeper/b.flac", "noise/c.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000), 16_000)
    own = evaluation_scenes.with_recordings(
        evaluation_scenes.definition(), [tmp_path / "speech"], [tmp_path / "noise"]
    )
    scenes = [s.scene for s in evaluation_scenes.scenarios(own, 4)]
    talkers = [s.target.source for s in scenes]
    assert {t.path.name for t in talkers} == {"a.wav", "b.flac"}
    for scene in scenes:
        noise = scene.noises[0].source
        assert isinstance(noise, (FileSource, SpeechShapedNoise))
        if isinstance(noise, SpeechShapedNoise):
            assert noise.path == scene.target.source.path
    (tmp_path / "noise" / "none").mkdir()
    with pytest.raises(InputError, match=r"noise/none: no audio files \(.wav, .flac"):
        evaluation_scenes.with_recordings(own, [], [tmp_path / "noise" / "none"])


def test_a_folder_of_scenarios_goes_round_with_other_seeds(tmp_path) -> None:
    for name, seed in (("b", 5), ("a", 7)):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nseed: {seed}\nduration_s: 1\n")
    found = evaluation_scenes.from_folder(tmp_path, 3)
    assert [(s.name, s.seed) for s in found] == [("a", 7), ("b", 5), ("a", 8)]
    assert len(evaluation_scenes.from_folder(tmp_path, None)) == 2
    with pytest.raises(InputError, match="no scenario files"):
        evaluation_scenes.from_folder(tmp_path / "none", None)


# --- scores ---------------------------------------------------------------------------------------


def rows(algorithm: str, masks: str, gains: list[float]) -> list[ResultRow]:
    """Rows in which noisy SI-SDR is the scene's number and enhanced is that plus its gain."""
    return [
        ResultRow(
            {"algorithm": algorithm, "masks": masks},
            scene,
            numbers={
                **{f"si_sdr_noisy_db_{ear}": float(scene) for ear in ("left", "right")},
                "si_sdr_enhanced_db_left": scene + gain,
                "si_sdr_enhanced_db_right": scene + gain + 2,
                "mn_dnn.si_sdr_db_left": scene + gain / 2,
                "ild_error_target_db": 3.0,
            },
            stages=("mn_dnn",),
        )
        for scene, gain in enumerate(gains)
    ]


A = Contestant("mn_tango", "oracle", {})
B = Contestant("mn_tango", "trained", {})


def only(records: list[dict], **wanted: str) -> dict:
    (found,) = [r for r in records if all(r[key] == value for key, value in wanted.items())]
    return found


def test_scores_and_paired_differences_of_rows_made_by_hand() -> None:
    gains = [5.0, 6.0, 7.0, 10.0]
    told = judged(
        [A, B], rows("mn_tango", "oracle", gains) + rows("mn_tango", "trained", [4, 5, 6, 9])
    )
    assert only(told["scores"], step="noisy", ear="both")["mean"] == 1.5
    left = only(told["scores"], masks="oracle", step="output", metric="si_sdr_db", ear="left")
    assert (left["mean"], left["scenes"]) == (8.5, 4)
    assert left["low_95"] < 8.5 < left["high_95"]
    assert only(told["scores"], masks="oracle", step="mn_dnn", ear="left")["mean"] == 5.0
    assert only(told["scores"], masks="oracle", metric="ild_error_target_db")["mean"] == 3.0
    # One dB less in every scene: the paired interval has no width, however scenes differ.
    paired = only(told["differences"], masks="trained", minus="mn_tango", ear="both")
    assert (paired["mean"], paired["low_95"], paired["high_95"]) == (-1.0, -1.0, -1.0)
    gained = only(told["differences"], masks="oracle", minus="noisy", ear="both")
    assert gained["mean"] == 8.0
    share = only(told["share_of_oracle"], ear="both")
    assert share["mean"] == pytest.approx(7 / 8)
    assert share["low_95"] < 7 / 8 < share["high_95"]


def test_a_scene_that_failed_is_left_out_for_all_who_are_compared_on_it() -> None:
    damaged = rows("mn_tango", "trained", [4, 5, 6])
    damaged[1] = ResultRow(damaged[1].settings, 1, error="InputError: no")
    told = judged([A, B], rows("mn_tango", "oracle", [5, 7, 7]) + damaged)
    paired = only(told["differences"], masks="trained", minus="mn_tango", ear="both")
    assert (paired["mean"], paired["scenes"]) == (-1.0, 2)


# --- contestants and runs -------------------------------------------------------------------------


def test_contestants(tmp_path) -> None:
    small = quantised(CompactMnDnn(), QuantisationSpec(weights=4))
    save(small, tmp_path / "mn_tango_g2" / "mn_dnn.safetensors")
    save(MnDnn(), tmp_path / "mn_dnn.safetensors")
    plain, compact = contestants(["tango", "mn_tango_g2"], "oracle")
    assert plain.settings == {"algorithm.kind": "tango"}
    assert compact.settings == {"algorithm.kind": "mn_tango", "algorithm.groups": 2}
    found = contestants(["mn_tango_g2", "tango"], "trained", tmp_path)
    assert [one.label for one in found] == [
        *("mn_tango_g2", "mn_tango_g2, trained", "tango", "tango, trained")
    ]
    assert found[1].settings["algorithm.weights"] == str(tmp_path / "mn_tango_g2")
    assert found[3].settings["algorithm.weights"] == str(tmp_path)
    bits = [one.settings["algorithm.precision.weights"] for one in (found[1], found[3])]
    assert bits == [4, 32]  # as they were trained
    with pytest.raises(ValueError, match="no trained networks come with hasim for mn_tango with"):
        contestants(["mn_tango_g1"], "trained")
    with pytest.raises(ValueError, match="twice"):
        contestants(["tango", "tango"])


FAST = ("metrics=[si_sdr, si_sir]",)


def tiny(count: int) -> list:
    spec = evaluation_scenes.definition().model_copy(
        update={"duration_s": 1.0, "t60_s": (0.15, 0.2), "length_m": (3.5, 4.0)}
    )
    return evaluation_scenes.scenarios(spec, count)


def test_an_evaluation_goes_on_where_it_was_and_repeats_itself(tmp_path) -> None:
    compared = contestants(["mn_tango", "local"], "oracle")
    where = {"settings": FAST, "cache_folder": tmp_path / "cache"}
    tally, told = evaluate.evaluate(tiny(2), compared, tmp_path / "a", **where)
    assert (tally.computed, tally.failed) == (4, 0)
    steps = [r["step"] for r in told["scores"] if r["algorithm"] == "mn_tango"]
    assert list(dict.fromkeys(steps)) == ["received", "mn_dnn", "output"]
    tally, more = evaluate.evaluate(tiny(3), compared, tmp_path / "a", **where)
    assert (tally.stored, tally.computed) == (4, 2)
    tally, again = evaluate.evaluate(tiny(2), compared, tmp_path / "b", **where)
    assert (tally.cached, tally.computed) == (4, 0)
    assert again == told
    assert more != told
    written = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(told))
    assert (tmp_path / "b" / "results.csv").read_text().count("\n") == 5
    other = {**where, "settings": (*FAST, "algorithm.mu=2")}
    with pytest.raises(InputError, match="another scenario"):
        evaluate.evaluate(tiny(2), compared, tmp_path / "a", **other)


def test_settings_that_an_algorithm_cannot_have_name_it(tmp_path) -> None:
    compared = contestants(["mn_tango", "local"], "oracle")
    zero = ["algorithm.concealment=zero"]
    with pytest.raises(ScenarioError, match=r"local: algorithm.concealment: unknown key"):
        evaluate.evaluate(tiny(1), compared, tmp_path / "a", settings=zero)
    with pytest.raises(ScenarioError, match=r"scene.snr_db: belongs to the scenes"):
        evaluate.evaluate(tiny(1), compared, tmp_path / "a", settings=["scene.snr_db=3"])


def test_tables_for_people() -> None:
    told = judged([A, B], rows("mn_tango", "oracle", [5, 6]) + rows("mn_tango", "trained", [4, 5]))
    head, lines = evaluation_tables.by_step(told)
    assert head == ["", "step", "SI-SDR (dB)"]
    assert lines[0] == ["noisy", "", "0.5 0.5"]
    assert lines[2] == ["mn_tango", "output", "6.0 8.0"]
    _, lines = evaluation_tables.differences(told)
    assert lines[-1] == ["mn_tango, trained - mn_tango", "-1.0 [-1.0, -1.0]"]
    assert evaluation_tables.shares(told)[1][0][1].startswith("0.85 [")


def test_one_scene_has_means_and_no_intervals() -> None:
    told = judged([A, B], rows("mn_tango", "oracle", [5]) + rows("mn_tango", "trained", [4]))
    records = [*told["scores"], *told["differences"], *told["share_of_oracle"]]
    assert {(r["low_95"], r["high_95"], r["scenes"]) for r in records} == {(None, None, 1)}
    shown = [evaluation_tables.outputs(told), evaluation_tables.differences(told)]
    for _, lines in (*shown, evaluation_tables.shares(told)):
        assert not any("[" in cell for line in lines for cell in line)


# --- named variants -------------------------------------------------------------------------------


def test_a_name_is_looked_up_and_never_taken_apart(tmp_path) -> None:
    quantised_one = contestants(["mn_tango_g2_w8a8"])[1]
    assert quantised_one.settings["algorithm.kind"] == "mn_tango"
    assert quantised_one.settings["algorithm.groups"] == 2
    assert quantised_one.settings["algorithm.weights"].endswith("mn_tango_g2_w8a8")
    bits = [quantised_one.settings[f"algorithm.precision.{k}"] for k in ("weights", "activations")]
    assert bits == [8, 8]
    assert contestants(["passthrough"]) == [
        Contestant("passthrough", "oracle", {"algorithm.kind": "passthrough"})
    ]
    for name, advice in (
        ("mn_tango_g3", "did you mean 'mn_tango_g"),
        ("mn_tang", "did you mean 'mn_tango'"),
        ("mn_tango_g2_w8a8_", "did you mean 'mn_tango_g2_w8a8'"),
        ("quite_another", "known: "),
    ):
        with pytest.raises(ScenarioError, match=rf"unknown algorithm \(got '{name}'\).*{advice}"):
            contestants([name])


def test_weights_of_a_name_of_ones_own_say_in_their_cards_what_they_are(tmp_path) -> None:
    mine = quantised(CompactMnDnn(CompactMnDnnSpec(groups=4)), QuantisationSpec(weights=3))
    card = {"recipe": {"algorithm": "mn_tango"}}
    save(mine, tmp_path / "my_trial" / "mn_dnn.safetensors", card)
    oracle, trained = contestants(["my_trial"], "trained", tmp_path)
    assert oracle.settings == {"algorithm.kind": "mn_tango", "algorithm.groups": 4}
    assert trained.settings["algorithm.precision.weights"] == 3
    save(mine, tmp_path / "nameless" / "mn_dnn.safetensors")
    with pytest.raises(ScenarioError, match="unknown algorithm"):
        contestants(["nameless"], "trained", tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "mn_dnn.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a safetensors file"):
        contestants(["broken"], "trained", tmp_path)


# --- sharing --------------------------------------------------------------------------------------


def test_scenes_and_timelines_are_shared_and_stages_stand_in_the_order_of_the_path(
    tmp_path, monkeypatch
) -> None:
    asked = {"render_scene": 0, "simulate_time": 0}
    for name in asked:
        honest = getattr(run_cache, name)

        def counting(scenario, name=name, honest=honest):
            asked[name] += 1
            return honest(scenario)

        monkeypatch.setattr(run_cache, name, counting)
    compared = contestants(["tango", "inverted_dagger", "local", "passthrough"], "oracle")
    where = {"settings": FAST, "cache_folder": tmp_path / "cache"}
    _, found = evaluate.evaluate(tiny(2), compared, tmp_path / "a", **where)
    # 2 scenes; passthrough and local have programs of their own, as the others have.
    assert asked == {"render_scene": 2, "simulate_time": 4 * 2}
    steps = {
        one.algorithm: list(
            dict.fromkeys(r["step"] for r in found["scores"] if r["algorithm"] == one.algorithm)
        )
        for one in compared
    }
    assert steps == {
        "tango": ["sn_dnn", "filter_1", "received_z", "mn_dnn", "output"],
        "inverted_dagger": [
            *("received", "mn_dnn", "filter_1", "received_z", "sn_dnn", "output"),
        ],
        "local": ["sn_dnn", "output"],
        "passthrough": ["output"],
    }


def test_rows_of_other_code_are_named_and_computed_again(tmp_path, monkeypatch) -> None:
    from hasim.experiment import identity as identities

    compared = contestants(["local"], "oracle")
    where = {"settings": FAST, "cache_folder": tmp_path / "cache"}
    evaluate.evaluate(tiny(1), compared, tmp_path / "a", **where)
    honest = identities.part_hash
    with monkeypatch.context() as patch:
        patch.setattr(
            identities, "part_hash", lambda part: "other" if part == "dsp" else honest(part)
        )
        identities.code_hash.cache_clear()
        with pytest.warns(OutdatedRows, match="1 row was made by other code"):
            tally, _ = evaluate.evaluate(tiny(1), compared, tmp_path / "a", **where)
    identities.code_hash.cache_clear()
    assert (tally.stored, tally.cached, tally.computed) == (0, 0, 1)


def test_the_projects_own_plug_in_has_its_stage(tmp_path) -> None:
    """Its one tap, `partner`, is not its output."""
    source = (ROOT / "examples" / "plug_in" / "front_sum.py").read_text()
    install(tmp_path, "front_sum", source, "front_sum = front_sum:FrontSum")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "hasim", "evaluate", "--algorithms", "front_sum"]
    command += ["--masks", "oracle", "--n", "1", "--duration-s", "1", "--jobs", "1", "--quiet"]
    command += ["--set", "metrics=[si_sdr]", "--out", "out", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert [r["step"] for r in scores if r["metric"] == "si_sdr_db" and r["ear"] == "left"] == [
        *("noisy", "partner", "output")
    ]
    assert "partner.si_sdr_db_left" in (tmp_path / "out" / "results.csv").read_text()
