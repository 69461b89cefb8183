"""The recipes that come with the package."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

import hasim.networks.training
from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.cost import COUNTED
from hasim.networks.mn_dnn import MnDnnSpec
from hasim.networks.precision import FLOATING, PrecisionSpec
from hasim.networks.training.dataflows import NETWORKS
from hasim.networks.training.recipe import Recipe
from hasim.networks.variants import VARIANTS

BEGUN = {"mn_tango_first", "mn_tango_mask", "local_first", "local_mask"}
"""What other recipes begin with."""
# one ear's network, a trial
OTHERS = {"local", "demo"} | BEGUN
# recipe -> the recipe that it starts from, bits of weights and activations
ROUNDED = {
    "tango_w8": ("tango", 8, 32),
    "tango_w8a8": ("tango", 8, 8),
    "mn_tango_w8a8": ("mn_tango", 8, 8),
    "mn_tango_w8a8_kd": ("mn_tango", 8, 8),
    "mn_tango_g2_w8a8": ("mn_tango_g2", 8, 8),
    "mn_tango_g8_w8a8": ("mn_tango_g8", 8, 8),
    "mn_tango_g2_w4a8": ("mn_tango_g2", 4, 8),
}
FILES = sorted((Path(hasim.networks.training.__file__).parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_recipe_is_named_as_its_file_and_trains_what_it_says(file: Path) -> None:
    recipe = Recipe.model_validate(YAML(typ="safe").load(file))
    assert recipe.name == file.stem
    for source in recipe.start_from.values():
        assert source.name in {f.stem for f in FILES}
    if recipe.name in VARIANTS:
        variant = VARIANTS[recipe.name]
        found = recipe.mn_dnn.groups if isinstance(recipe.mn_dnn, CompactMnDnnSpec) else 0
        assert found == variant.groups
        assert recipe.algorithm == variant.kind
        assert NETWORKS[recipe.algorithm] == variant.networks
        if recipe.quantisation is not None:
            given = recipe.quantisation.model_dump()
            assert {name: given[name] for name in PrecisionSpec.model_fields} == (
                variant.precision.model_dump()
            )
        else:
            assert variant.precision == FLOATING


def test_there_is_one_for_every_algorithm_with_networks() -> None:
    assert {f.stem for f in FILES} == {*COUNTED} | OTHERS | ROUNDED.keys()


@pytest.mark.parametrize("name", ROUNDED)
def test_recipes_that_round_go_on_from_the_float_ones(name: str) -> None:
    source, weights, activations = ROUNDED[name]
    recipe, start = (
        Recipe.model_validate(YAML(typ="safe").load(FILES[0].with_name(f"{file}.yaml")))
        for file in (name, source)
    )
    assert recipe.quantisation is not None
    assert (recipe.quantisation.weights, recipe.quantisation.activations) == (weights, activations)
    assert recipe.algorithm == start.algorithm
    assert (recipe.mn_dnn, recipe.sn_dnn) == (start.mn_dnn, start.sn_dnn)
    assert recipe.start_from == {n: Path(source) for n in NETWORKS[recipe.algorithm]}
    assert (recipe.frames, recipe.learning_rate, recipe.mask_only_epochs) == (64, 1e-4, 0)
    taught = name.endswith("_kd")
    assert (recipe.distillation is not None) == taught
    if recipe.distillation is not None:
        assert recipe.distillation.teacher == recipe.start_from
        assert (recipe.distillation.weight_kd, recipe.distillation.weight_task) == (0.3, 0.7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bfloat16": True}, "bfloat16: must be false with quantisation"),
        ({"epochs": 2, "mask_only_epochs": 0, "batches_per_epoch": 25}, "less than the 50 batches"),
    ],
)
def test_what_cannot_round_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({"quantisation": {}} | change)


def test_every_network_needs_a_teacher_and_epochs_to_hear_it() -> None:
    taught = {"algorithm": "tango", "distillation": {"teacher": {"mn_dnn": "a"}}}
    with pytest.raises(ValidationError, match="must name weights for sn_dnn and mn_dnn"):
        Recipe.model_validate(taught)
    taught = {"distillation": {"teacher": {"mn_dnn": "a"}}, "epochs": 4, "mask_only_epochs": 4}
    with pytest.raises(ValidationError, match="distillation: needs epochs with the last filter"):
        Recipe.model_validate(taught)


def test_the_paper_settings_are_the_defaults() -> None:
    recipe = Recipe()
    assert (recipe.learning_rate, recipe.frames) == (5e-4, 512)
    assert (recipe.alpha, recipe.beta, recipe.mu) == (0.3, 0.3, 1.0)
    assert recipe.mn_dnn == MnDnnSpec()


def test_unknown_keys_and_networks_are_named() -> None:
    with pytest.raises(ValidationError, match="epoch\n"):
        Recipe.model_validate({"epoch": 3})
    with pytest.raises(ValidationError, match="groups"):
        Recipe.model_validate({"mn_dnn": {"kind": "compact_mn_dnn", "groups": 3}})
