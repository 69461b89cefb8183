"""`hasim fit`: which algorithm fits which device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.options import Json
from hasim.cli.terminal import names, print_json, usage_errors

EXAMPLES = (
    "hasim fit",
    "hasim fit my.yaml --devices ref-stm32u575-160,ref-gap9-0v65-240 --algorithms tango",
)


def fit(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Scenario.", show_default="hasim's defaults"),
    ] = None,
    devices: Annotated[
        str, typer.Option(metavar="NAMES", help="Presets, paths of preset files, or all.")
    ] = "all",
    algorithms: Annotated[str, typer.Option(metavar="NAMES", help="Names, or all.")] = "all",
    as_json: Json = False,
) -> None:
    """Print which algorithm fits which device in time and memory, without running anything."""
    from hasim.config import presets as preset_files
    from hasim.experiment import scenario as scenarios
    from hasim.reporting import cost_tables
    from hasim.studies import device_fit as fits

    base = scenarios.Scenario() if file is None else scenarios.load(file)
    with usage_errors():
        cells = fits.fit(
            base,
            preset_files.names("devices") if devices == "all" else names(devices),
            tuple(fits.ALGORITHMS) if algorithms == "all" else names(algorithms),
        )
    if as_json:
        print_json({"cells": [cell.to_dict() for cell in cells]})
    else:
        typer.echo(cost_tables.matrix(cells))
