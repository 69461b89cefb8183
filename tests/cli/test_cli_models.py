"""The commands around the networks: cost, data build, train, evaluate; and trained masks in a run.

The networks are tiny and random: what is tested is the way through the house, not what they know.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.config.diagnostics import ScenarioError
from hasim.config.spec import InputError
from hasim.experiment.run import enhance, mask_source, render_scene, run
from hasim.experiment.scenario import load, replace
from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.mask_estimator import estimator, networks
from hasim.networks.mn_dnn import MnDnnSpec
from hasim.networks.sn_dnn import SnDnnSpec
from hasim.networks.training import recipe_file
from hasim.networks.weights_file import build, save

ROOT = Path(__file__).parents[2]
NOISE_90 = ROOT / "scenarios" / "noise_90deg.yaml"


@pytest.fixture
def hasim():
    """Call the command line in this process."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def weights(tmp_path) -> Path:
    """A folder with a tiny network of each role."""
    torch.manual_seed(0)
    folder = tmp_path / "weights"
    save(build(MnDnnSpec(hidden=8, layers=1)), folder / "mn_dnn.safetensors")
    save(build(SnDnnSpec(hidden=8, layers=1, head=8)), folder / "sn_dnn.safetensors")
    return folder


# --- cost -----------------------------------------------------------------------------------------


def test_cost_gives_the_numbers_of_the_paper(hasim) -> None:
    """Derived from Tables II, IV and V to the last MAC; no tolerance."""
    rows = {row["name"]: row for row in json.loads(hasim("cost", "--json").stdout)["rows"]}
    macs = {name: row["macs_per_frame"] for name, row in rows.items()}
    assert (macs["sn_dnn"], macs["mn_dnn"]) == (557_824, 492_674)
    assert [macs[f"mn_tango_g{g}"] for g in (2, 4, 6, 8, 10)] == [
        *(172_674, 107_138, 82_658, 74_370, 69_930)
    ]
    for name in ("tango", "inverted_dagger", "inverted_star"):
        assert round(rows[name]["mmac_per_s"], 3) == 65.656
        assert rows[name]["parameters"] == 1_057_415
    assert round(rows["mn_tango"]["mmac_per_s"], 3) == 30.792
    assert rows["mn_tango"]["parameters"] == 496_006
    for groups, count in ((2, 179_207), (8, 80_903)):
        rule = rows[f"mn_tango_g{groups}"]["parameters_by_rule"]["with_erb_and_ranges"]
        assert rule == count


def test_cost_prints_what_the_paper_prints(hasim) -> None:
    """Ours, rounded as printed; two roundings differ: 65.65 for 65.656, 0.508 MB for 0.509 MiB."""
    rows = json.loads(hasim("cost", "--json").stdout)["rows"]
    for row in rows:
        paper = row["paper"] or {}
        if "kmacs_per_frame" in paper:
            assert round(row["macs_per_frame"] / 1e3, 2) == paper["kmacs_per_frame"]
        if "mmac_per_s" in paper:
            assert row["mmac_per_s"] == pytest.approx(paper["mmac_per_s"], abs=0.007)
        if "memory_mb" in paper:
            memory = row["memory"]["fp32" if row["name"] == "tango" else "int8"]
            near = min(abs(size - paper["memory_mb"]) for size in memory.values())
            assert near < 0.005


def test_cost_counts_the_rest_of_the_frame_as_a_run_does(hasim) -> None:
    rows = {row["name"]: row for row in json.loads(hasim("cost", "--json").stdout)["rows"]}
    program, _ = load(NOISE_90).programs
    assert rows["mn_tango"]["signal"]["covariance"] == sum(
        step.macs for step in program if getattr(step, "name", "").startswith("covariance")
    )
    whole = sum(rows["mn_tango"]["signal"].values()) + 492_674
    assert whole == sum(getattr(step, "macs", 0) for step in program)
    assert rows["mn_tango"]["total_mmac_per_s"] == pytest.approx(whole / 16e3)
    assert rows["sn_dnn"]["signal"] is None


def test_cost_of_a_sparse_erb_bank(hasim) -> None:
    """Every bin touches at most two bands: at most 386 of 12 352 MACs each way are left."""
    dense, sparse = (
        {row["name"]: row for row in json.loads(hasim("cost", *words, "--json").stdout)["rows"]}
        for words in ((), ("--erb", "sparse"))
    )
    saved = dense["mn_tango_g2"]["macs_per_frame"] - sparse["mn_tango_g2"]["macs_per_frame"]
    assert 2 * (12_352 - 386) <= saved < 2 * 12_352
    for rows in (dense, sparse):
        assert rows["mn_tango_g2"]["sparse_erb"]["saved_macs_per_frame"] == saved
        assert rows["mn_tango"]["sparse_erb"]["saved_macs_per_frame"] == 0


def test_cost_tables(hasim) -> None:
    answer = hasim("cost")
    assert answer.exit_code == 0
    for word in ("492674", "172.67", "65.656", "1057415"):
        assert word in answer.stdout


def test_cost_item_by_item_at_other_precisions(hasim) -> None:
    rows = json.loads(hasim("cost", "--weights", 3, "--json").stdout)["rows"]
    mn_dnn = next(row for row in rows if row["name"] == "mn_dnn")
    assert mn_dnn["at_precision"]["weights"] == (459_264 + 32_896) * 3 // 8 + 2
    shown = hasim("cost", "--activations", 16, "--scheme", "static").stdout
    assert "8-bit weights, 16-bit activations, static" in shown
    answer = hasim("cost", "--weights", 17)
    assert answer.exit_code == 2
    assert "--weights: must be 2 to 16, or 32 (got 17)" in answer.stderr


# --- trained masks --------------------------------------------------------------------------------


def spectra(seed: int, frames: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, 257, frames)) + 1j * rng.standard_normal((2, 257, frames))


def test_masks_are_those_of_a_network_stepped_frame_by_frame_that_rests_with_its_device() -> None:
    """Single precision in another order of sums: 1e-6."""
    torch.manual_seed(1)
    network = build(CompactMnDnnSpec(groups=2)).eval()
    own, other = spectra(0), spectra(1)
    computed = np.random.default_rng(2).random((2, 12)) < 0.6
    computed[0, :2] = False
    found = estimator({"mn_dnn": network}, stepped=computed)("mn_dnn", own, other)
    for ear in range(2):
        state, mask = None, np.zeros(257)
        for frame in range(12):
            if computed[ear, frame]:
                magnitude = np.abs(np.stack([own[ear, :, frame], other[ear, :, frame]]))
                with torch.no_grad():
                    stepped, state = network.step(torch.tensor(magnitude[None]).float(), state)
                mask = stepped[0].numpy()
            np.testing.assert_allclose(found[ear, :, frame], mask, atol=1e-6)
    everything = estimator({"mn_dnn": network})("mn_dnn", own, other)
    assert np.abs(everything - found)[:, :, -1].max() > 1e-4  # the skipped frames do matter


def test_a_network_begins_anew_after_a_reboot() -> None:
    """Single precision in another order of sums: 1e-6."""
    torch.manual_seed(1)
    network = build(MnDnnSpec(hidden=8, layers=1)).eval()
    own, other = spectra(0), spectra(1)
    restarted = np.zeros((2, 12), dtype=np.int8)
    restarted[1, 5] = 1
    everything = np.ones((2, 12), dtype=bool)
    plain = estimator({"mn_dnn": network})
    found = estimator({"mn_dnn": network}, stepped=everything, restarted=restarted)(
        "mn_dnn", own, other
    )
    before = plain("mn_dnn", own, other)
    after = plain("mn_dnn", own[..., 5:], other[..., 5:])
    np.testing.assert_allclose(found[0], before[0], atol=1e-6)
    np.testing.assert_allclose(found[1, :, :5], before[1, :, :5], atol=1e-6)
    np.testing.assert_allclose(found[1, :, 5:], after[1], atol=1e-6)
    assert np.abs(before[1, :, 5:] - after[1]).max() > 1e-4


def test_an_ear_that_never_computes_has_no_mask() -> None:
    computed = np.array([[False] * 12, [True] * 12])
    network = build(SnDnnSpec(hidden=8, layers=1, head=8)).eval()
    found = estimator({"sn_dnn": network}, stepped=computed)("sn_dnn", spectra(0))
    assert not found[0].any()
    assert found[1].all()


def short(**changes: object) -> object:
    return replace(
        load(NOISE_90),
        {
            "duration_s": 1,
            "metrics": ["si_sdr"],
            **{k.replace("__", "."): v for k, v in changes.items()},
        },
    )


@pytest.mark.parametrize("kind", ["mn_tango", "tango", "inverted_dagger", "inverted_star", "local"])
def test_trained_masks_in_a_run(weights, kind) -> None:
    scenario = short(
        algorithm__kind=kind, algorithm__masks="trained", algorithm__weights=str(weights)
    )
    outcome = run(scenario)
    oracle = run(short(algorithm__kind=kind, algorithm__masks="oracle"))
    for name, mask in outcome.masks.items():
        assert mask.shape == oracle.masks[name].shape
        assert 0 <= mask.min() <= mask.max() <= 1
        assert not np.allclose(mask, oracle.masks[name], atol=0.05)
    spec = outcome.scenario
    scene, timeline = render_scene(spec), outcome.timeline
    mask = mask_source(spec, scene, timeline)
    _, mics = enhance(spec, scene, timeline)
    if "sn_dnn" in outcome.masks and kind != "inverted_dagger":
        np.testing.assert_array_equal(mask("sn_dnn", mics[:, 0]), outcome.masks["sn_dnn"])


def test_where_the_partner_is_missing_the_network_sees_what_the_exchange_filled_in(weights) -> None:
    """All packets lost and silence filled in: the masks are those of a silent partner."""
    scenario = short(
        algorithm__masks="trained",
        algorithm__weights=str(weights),
        algorithm__concealment="zero",
        link__loss={"kind": "bernoulli", "probability": 1.0},
    )
    outcome = run(scenario)
    _, mics = enhance(scenario, outcome.scene, outcome.timeline)
    precision = scenario.algorithm.precision
    found = networks(weights, groups=0, bins=257, precision=precision)
    masks = estimator(found)
    expected = masks("mn_dnn", mics[:, 0], np.zeros_like(mics[:, 0]))
    np.testing.assert_allclose(outcome.masks["mn_dnn"], expected, atol=1e-6)


def test_relative_weights_start_at_the_file(weights, tmp_path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("algorithm: {masks: trained, weights: weights}\n")
    assert load(file).algorithm.weights == weights
    file.write_text("algorithm: {masks: trained, weights: weights/mn_dnn.safetensors}\n")
    assert load(file).algorithm.weights == weights / "mn_dnn.safetensors"
    file.write_text("algorithm: {masks: trained, weights: weigths}\n")
    with pytest.raises(ScenarioError, match=r"algorithm.weights: no such file .*weights"):
        load(file)
    file.write_text("algorithm: {masks: trained}\n")
    assert load(file).algorithm.weights is None  # those that come with hasim


def test_weights_that_cannot_be_used(weights, tmp_path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing of the kind")
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        "not a safetensors file": (damaged, 0, 257),
        "no weights": (empty, 0, 257),
        r"has groups 0, but algorithm.groups is 2": (weights, 2, 257),
        r"made for 257 bins, front_end has 129": (weights, 0, 129),
    }
    for message, (path, groups, bins) in cases.items():
        with pytest.raises(InputError, match=message):
            networks(path, groups=groups, bins=bins)


def test_a_bad_weights_file_is_exit_code_4(hasim, weights, tmp_path) -> None:
    def run(path: Path, kind: str) -> object:
        settings = {
            "duration_s": 1,
            "algorithm.kind": kind,
            "algorithm.masks": "trained",
            "algorithm.weights": path,
        }
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        return hasim("run", NOISE_90, *words, "--quiet", "--out", tmp_path / "runs")

    answer = run(ROOT / "README.md", "mn_tango")
    assert (answer.exit_code, answer.stderr.count("\n")) == (4, 1)
    assert "not a safetensors file" in answer.stderr
    answer = run(weights / "mn_dnn.safetensors", "tango")
    assert answer.exit_code == 4
    assert "no trained network sn_dnn; there are mn_dnn" in answer.stderr


# --- data, train ----------------------------------------------------------------------------------

TINY = """
epochs: 2
mask_only_epochs: 1
mask_only_frames: 16
batches_per_epoch: 1
scenes_per_batch: 2
frames: 16
validation_batches: 1
mn_dnn: {kind: mn_dnn, hidden: 8, layers: 1}
"""


@pytest.mark.slow
def test_from_recordings_to_a_run_with_trained_masks(hasim, tmp_path) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    for name in ("speech/a", "speech/b", "noise/a", "noise/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.3, 0.3, 32_000), 16_000)
    words = ("--speech", tmp_path / "speech", "--noise", tmp_path / "noise", "--jobs", 1)
    answer = hasim("data", "build", *words, "--scenes", 2, "--out", tmp_path / "set")
    assert (answer.exit_code, answer.stdout) == (0, f"{tmp_path / 'set'}\n")
    again = hasim("data", "build", *words, "--scenes", 3, "--out", tmp_path / "set")
    assert again.exit_code == 4
    assert "another spec" in again.stderr

    (tmp_path / "tiny.yaml").write_text(TINY)
    train = ("train", tmp_path / "tiny.yaml", "--data", tmp_path / "set")
    answer = hasim(*train, "--out", tmp_path / "run", "--device", "cpu", "--quiet")
    assert (answer.exit_code, answer.stderr) == (0, "")
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert made == {
        *("checkpoint.pt", "curves.png", "log.jsonl", "mask_only", "mn_dnn.safetensors"),
        "recipe.json",
    }
    assert (tmp_path / "run" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    outcome = run(short(algorithm__masks="trained", algorithm__weights=str(tmp_path / "run")))
    assert np.isfinite(outcome.numbers["si_sdr_enhanced_db_left"])


def test_mistakes_in_training_are_told_with_their_exit_codes(hasim, tmp_path) -> None:
    answer = hasim("train", "mn_tang", "--data", tmp_path, "--out", tmp_path / "run")
    assert answer.exit_code == 3
    assert "did you mean 'mn_tango'?" in answer.stderr
    (tmp_path / "wrong.yaml").write_text("epoch: 3\nalpha: 7\n")
    answer = hasim("train", tmp_path / "wrong.yaml", "--data", tmp_path, "--out", tmp_path / "run")
    assert answer.exit_code == 3
    assert "wrong.yaml:1:1: epoch: unknown key (got 3); did you mean 'epochs'?" in answer.stderr
    assert "wrong.yaml:2:8: alpha: too large (got 7)" in answer.stderr
    answer = hasim("train", "demo", "--data", tmp_path / "none", "--out", tmp_path / "run")
    assert answer.exit_code == 4
    assert "not a training set" in answer.stderr
    words = ("--noise", tmp_path, "--out", tmp_path / "set")
    answer = hasim("data", "build", "--speech", tmp_path / "none", *words)
    assert answer.exit_code == 4
    assert not (tmp_path / "run").exists()


def test_every_shipped_recipe_can_be_named() -> None:
    for name in recipe_file.shipped():
        assert recipe_file.load(name).name == name


# --- evaluate -------------------------------------------------------------------------------------


def test_evaluate_prints_tables_and_leaves_files(hasim, weights, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "one.yaml").write_text(
        "duration_s: 1\nscene: {room: {t60_s: 0}, snr_db: 0}\n"
    )
    words = ("evaluate", "--algorithms", "mn_tango", "--scenes", tmp_path / "scenes", "--n", 2)
    words += ("--weights", weights, "--set", "metrics=[si_sdr, si_sir]")
    words += ("--jobs", 1, "--quiet", "--out", tmp_path / "out")
    answer = hasim(*words)
    assert answer.exit_code == 0, answer.stderr
    assert "mn_tango, trained" in answer.stdout
    interval = re.compile(r"\d \[[+-]?\d")
    assert interval.search(answer.stdout)
    alone = [
        1 if word == 2 else tmp_path / "alone" if word == words[-1] else word for word in words
    ]
    assert not interval.search(hasim(*alone).stdout), "one scene has no intervals"
    told = json.loads(hasim(*words, "--json").stdout)
    assert (told["stored"], told["scenes"]) == (4, 2)
    assert {record["masks"] for record in told["scores"]} == {"", "oracle", "trained"}
    for name in ("results.csv", "scores.csv", "differences.csv", "evaluation.json"):
        assert (tmp_path / "out" / name).is_file()


def test_evaluate_refuses_what_does_not_go_together(hasim, tmp_path) -> None:
    out = ("--out", tmp_path / "out")
    answer = hasim("evaluate", "--algorithms", "mn_tango_g1", *out)
    assert answer.exit_code == 2
    answer = hasim("evaluate", "--algorithms", "mn_tang", *out)
    assert answer.exit_code == 3
    assert "mn_tango" in answer.stderr
    answer = hasim("evaluate", "--algorithms", "local", "--scenes", tmp_path, *out)
    assert answer.exit_code == 4
