"""The networks that come with hasim: they load, say where they are from, and enhance."""

from pathlib import Path

import pytest

import hasim
from hasim.config.diagnostics import ScenarioError
from hasim.config.spec import InputError
from hasim.dsp.stft import FrontEndSpec
from hasim.experiment.scenario import Scenario, replace
from hasim.networks import pretrained
from hasim.networks.mask_estimator import networks
from hasim.networks.quantization.network import QuantisedNetwork
from hasim.networks.training.dataflows import NETWORKS
from hasim.networks.training.recipe import Recipe
from hasim.networks.weights_file import load, read_card
from hasim.nodes import Centralised, Local, MnTango, Tango
from hasim.studies.evaluate import contestants

FILES = sorted(pretrained.FOLDER.rglob("*.safetensors"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_a_file_is_what_its_card_and_its_folder_say(file: Path) -> None:
    card, network = read_card(file), load(file)
    recipe = Recipe.model_validate(card["recipe"])
    assert recipe.name == file.parent.name
    assert network.spec == (recipe.sn_dnn if file.stem == "sn_dnn" else recipe.mn_dnn)
    assert {f.stem for f in file.parent.iterdir()} == set(NETWORKS[recipe.algorithm])
    assert card["validation"]["gevd_gain_db"] > 0


def test_they_are_small() -> None:
    assert sum(f.stat().st_size for f in FILES) < 20e6


def test_an_algorithm_that_hears_the_same_has_the_same_networks() -> None:
    assert pretrained.folder("centralised", 0) == pretrained.folder("mn_tango", 0)
    for node in (MnTango, Local, Centralised):
        assert pretrained.missing(node.model_fields["kind"].default, 0) is None


def test_every_algorithm_of_the_paper_has_networks() -> None:
    for kind in ("tango", "inverted_dagger", "inverted_star", "mn_tango", "local"):
        assert pretrained.missing(kind, 0) is None
    for groups in (2, 4, 6, 8, 10):
        assert pretrained.missing("mn_tango", groups) is None


@pytest.mark.parametrize("name", [name for name in pretrained.names() if "_w" in name])
def test_networks_in_few_bits_run_in_the_precision_that_their_name_says(name: str) -> None:
    trained = contestants([name])[1]
    spec = replace(Scenario(), trained.settings).algorithm
    assert isinstance(spec, MnTango | Tango)
    bits = spec.precision
    activations = f"a{bits.activations}" if bits.activations < 32 else ""
    assert name.removesuffix("_kd").endswith(f"_w{bits.weights}{activations}")
    found = networks(Path(str(spec.weights)), groups=spec.groups, bins=257, precision=bits)
    assert set(found) == set(NETWORKS[spec.kind])
    assert all(isinstance(network, QuantisedNetwork) for network in found.values())


def test_what_does_not_come_with_hasim_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"for mn_tango with groups: 1 \(there are .*mn_tango"):
        replace(Scenario(), {"algorithm.groups": 1})
    with pytest.raises(
        ScenarioError, match=r"for 512 samples every 256 at 16000 Hz \(got 512 samples every 1"
    ):
        replace(Scenario(), {"front_end.hop": 128})
    with pytest.raises(ScenarioError, match=r"for hasim:mn_tango_w1 \(there are .*mn_tango"):
        replace(
            Scenario(), {"algorithm.masks": "trained", "algorithm.weights": "hasim:mn_tango_w1"}
        )
    other = FrontEndSpec(window=256, hop=128)
    assert "got 256 samples every 128 at 8000 Hz" in str(
        pretrained.missing("local", 0, other, 8000)
    )
    # where nothing is asked of them they may be missing
    replace(Scenario(), {"algorithm.masks": "oracle", "front_end.hop": 128})


def test_a_name_means_the_folder_of_that_recipe() -> None:
    assert pretrained.folder("mn_tango", 0, "hasim:local") == pretrained.FOLDER / "local"
    named = {"algorithm.masks": "trained", "algorithm.weights": "hasim:mn_tango"}
    assert replace(Scenario(), named).algorithm.weights == "hasim:mn_tango"  # type: ignore[union-attr]
    beside = replace(Scenario(), named | {"algorithm.weights": "mn_tango"})
    assert beside.algorithm.weights == Path("mn_tango")  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["mn_tango", "local"])
def test_they_enhance_a_scene_of_unseen_sound(kind: str) -> None:
    scenario = replace(
        Scenario(),
        {"algorithm.kind": kind, "algorithm.masks": "trained", "duration_s": 5.0}
        | {"metrics": ["si_sir"], "algorithm.covariance": {"kind": "utterance"}},
    )
    numbers = hasim.run(scenario).numbers
    for ear in ("left", "right"):
        assert numbers[f"si_sir_improvement_db_{ear}"] > 5


def test_files_of_a_place(tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    # whether it is there, says who reads it
    assert pretrained.files(own) == [own]
    both = pretrained.files(Path("hasim:tango"))
    assert [file.name for file in both] == ["mn_dnn.safetensors", "sn_dnn.safetensors"]
    assert pretrained.file(Path("hasim:tango/sn_dnn.safetensors")) == both[1]
    with pytest.raises(
        InputError, match=r"holds 2 networks; name hasim:tango/mn_dnn.safetensors or"
    ):
        pretrained.file(Path("hasim:tango"))
    with pytest.raises(InputError, match=r"hasim:tongo: does not come with hasim \(there are inv"):
        pretrained.files(Path("hasim:tongo"))
    with pytest.raises(InputError, match="no weights"):
        pretrained.files(tmp_path)
