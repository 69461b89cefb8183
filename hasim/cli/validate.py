"""`hasim validate` and `hasim schema`: check scenario files; print their JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.exit_codes import INVALID_SCENARIO
from hasim.cli.terminal import say

VALIDATE_EXAMPLES = ("hasim validate scenarios/*.yaml",)


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenario files.")],
) -> None:
    """Check scenario files; every mistake is a line on stderr."""
    from hasim.config.diagnostics import ScenarioError
    from hasim.experiment.scenario import load

    valid = True
    for file in files:
        try:
            load(file)
        except ScenarioError as error:
            valid = False
            for problem in error.problems:
                say(str(problem))
        else:
            typer.echo(f"{file}: ok")
    if not valid:
        raise typer.Exit(INVALID_SCENARIO)


SCHEMA_EXAMPLES = ("hasim schema > scenario.schema.json",)


def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from hasim.experiment.scenario import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
