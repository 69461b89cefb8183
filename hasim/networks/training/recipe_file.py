"""Training recipes as YAML files: shipped ones by name, others by path."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hasim.config.diagnostics import ScenarioError, Shape, close_match, problems_of
from hasim.config.yaml_reader import Place, Problem, YamlNode, read

if TYPE_CHECKING:
    from hasim.networks.training.recipe import Recipe


def shipped() -> list[str]:
    """Names of the recipes that come with hasim."""
    folder = resources.files("hasim.networks.training") / "recipes"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(name_or_file: str) -> Recipe:
    """A shipped recipe by its name, or a recipe from a file.

    Raises:
        ScenarioError: all mistakes, with their lines.
    """
    from hasim.networks.training.recipe import Recipe

    if name_or_file in shipped():
        file = resources.files("hasim.networks.training") / "recipes" / f"{name_or_file}.yaml"
        text = file.read_text(encoding="utf-8")
    else:
        try:
            text = Path(name_or_file).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            right = close_match(name_or_file, shipped())
            right = right or f"a YAML file, or one of {', '.join(shipped())}"
            problem = Problem(Place(name_or_file), "", f"cannot be read: {reason}", None, right)
            raise ScenarioError([problem]) from error
    document = read(text, name_or_file)
    root = document.root
    if root is None or document.problems:
        raise ScenarioError(document.problems)
    if root.value is None:
        root = YamlNode({}, root.place)
    try:
        return Recipe.model_validate_json(json.dumps(root.plain()), strict=True)
    except ValidationError as error:
        schema = Recipe.model_json_schema()
        shape = Shape(schema, schema.get("$defs", {}))
        raise ScenarioError(problems_of(error.errors(include_url=False), root, shape)) from error
