"""A result read back from its folder."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

import numpy as np
import pytest

import hasim
from hasim.experiment.load import load
from hasim.experiment.save import save
from hasim.experiment.scenario import Scenario
from hasim.reporting.run_folder import write_run
from tests.example_run import example_result

SETTINGS = {"duration_s": 1, "metrics": ["si_sdr", "pesq"]}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A short real run, and what was read back from its folder."""
    result = hasim.run("scenarios/noise_90deg.yaml", set=SETTINGS, out=tmp_path_factory.mktemp("a"))
    return result, hasim.load(result.folder)


def same(one, other) -> bool:
    """Equal to the last bit, records field by field."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


def test_everything_in_the_folder_comes_back(kept):
    result, again = kept
    assert again.scenario == result.scenario
    assert again.numbers == result.numbers
    assert list(again.stages) == list(result.stages)
    for name in ("unscored", "stages", "verdict", "versions", "hashes", "folder"):
        assert getattr(again, name) == getattr(result, name), name
    assert same(again.timeline, result.timeline)
    assert same(again.latency, result.latency)
    assert repr(again) == repr(result)


def test_sound_comes_back_as_rounded_to_24_bits(kept):
    result, again = kept
    for name, waveform in result.audio.items():
        assert np.abs(again.audio[name] - waveform).max() <= 2.0**-23, name


def test_what_is_not_in_the_folder_is_none(kept):
    _, again = kept
    assert (again.scene, again.masks) == (None, None)


def test_a_loaded_result_is_written_as_the_same_numbers(kept, tmp_path):
    """All but the pictures of scene and masks, which it does not have."""
    result, again = kept
    folder = write_run(again, tmp_path)
    for path in result.folder.glob("*.*"):
        if path.suffix not in (".html", ".wav"):
            assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_loud_run_has_its_level_back(tmp_path):
    result = example_result(20, loud=30.0)
    again = load(save(result, tmp_path))
    assert np.abs(again.audio["target"]).max() == pytest.approx(
        np.abs(result.audio["target"]).max(), rel=1e-6
    )


def test_an_algorithm_from_python_is_given_again(tmp_path):
    class Own(type(Scenario().algorithm)):
        kind: Literal["own"] = "own"

    example = example_result(20)
    changed = example.scenario.model_copy(update={"algorithm": Own(masks="oracle")})
    folder = save(dataclasses.replace(example, scenario=changed), tmp_path)
    with pytest.raises(hasim.ScenarioError, match=r"algorithm\.kind"):
        load(folder)
    assert load(folder, algorithm=Own(masks="oracle")).scenario.algorithm == Own(masks="oracle")


@pytest.mark.parametrize(
    "name", ["manifest.json", "summary.json", "timeline.npz", "enhanced.wav", "noisy.wav"]
)
@pytest.mark.parametrize("damage", ["gone", "empty", "noise"])
def test_a_damaged_folder_is_refused(tmp_path, name, damage):
    path = save(example_result(10), tmp_path) / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else b"\x00\xffnonsense")
    with pytest.raises(hasim.InputError, match=name):
        load(path.parent)


@pytest.mark.parametrize(
    ("file", "key"),
    [("manifest.json", "audio"), ("manifest.json", "stages"), ("summary.json", "verdict")],
)
def test_a_folder_without_a_key_is_refused(tmp_path, file, key):
    path = save(example_result(10), tmp_path) / file
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(hasim.InputError, match=f"damaged, or of another version of hasim.*{key}"):
        load(path.parent)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(hasim.InputError, match="not the folder of a run"):
        load(tmp_path / "nothing")
