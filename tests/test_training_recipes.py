"""The recipes that come with the package."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

import hasim.training
from hasim.models.compact_mn_dnn import CompactMnDnnSpec
from hasim.models.cost import VARIANTS
from hasim.models.mn_dnn import MnDnnSpec
from hasim.training.recipe import Recipe

OTHERS = {"local", "demo", "mn_tango_mask_only"}  # one ear's network, a trial, a comparison
FILES = sorted((Path(hasim.training.__file__).parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_recipe_is_named_as_its_file_and_trains_what_it_says(file: Path) -> None:
    recipe = Recipe.model_validate(YAML(typ="safe").load(file))
    assert recipe.name == file.stem
    if recipe.name in VARIANTS:
        groups = dict(VARIANTS[recipe.name])["mn_dnn"]
        found = recipe.mn_dnn.groups if isinstance(recipe.mn_dnn, CompactMnDnnSpec) else 0
        assert found == groups
        assert recipe.name.startswith(recipe.algorithm)


def test_there_is_one_for_every_algorithm_with_networks() -> None:
    assert {f.stem for f in FILES} == VARIANTS.keys() - {"sn_dnn", "mn_dnn"} | OTHERS


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
