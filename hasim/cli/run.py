"""`hasim run`: one scenario, its table and verdict, and a folder with everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.options import Json, Quiet, Settings
from hasim.cli.terminal import ignore, print_json, say

EXAMPLES = (
    "hasim run scenarios/noise_90deg.yaml --seed 1",
    "hasim run my.yaml --set algorithm.kind=local --set scene.noises.0.azimuth_deg=45",
    "hasim run my.yaml --json --quiet | jq .numbers",
)


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file.")],
    settings: Settings = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Seed to use instead of the file's.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder in which the result's folder is made.")
    ] = Path("runs"),
    as_json: Json = False,
    quiet: Quiet = False,
    stages: Annotated[
        bool,
        typer.Option(
            "--stages", help="Also print the scores of the stages between input and output."
        ),
    ] = False,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a trace for Perfetto (JSON).")
    ] = None,
    pcapng: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the packets for Wireshark (pcapng)."),
    ] = None,
) -> None:
    """Run a scenario: print the table and the verdict, write a folder with everything."""
    import hasim as api
    from hasim.config.diagnostics import ScenarioError
    from hasim.config.yaml_reader import Place, Problem
    from hasim.experiment import scenario as scenarios

    overrides = [*(settings or ()), *(() if seed is None else (f"seed={seed}",))]
    scenario = scenarios.load(file, overrides)
    try:
        outcome = api.run(scenario, out=out, progress=ignore if quiet else say)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        # What only rendering can see, such as a talker behind the wall.
        raise ScenarioError([Problem(Place(str(file)), "", str(error))]) from error
    if trace is not None:
        from hasim.reporting import perfetto

        perfetto.write(outcome, trace)
    if pcapng is not None:
        from hasim.reporting import wireshark

        wireshark.write(outcome, pcapng)
    if as_json:
        from hasim.experiment.result import summary

        print_json(summary(outcome, outcome.folder))
    else:
        from rich.console import Console

        from hasim.experiment.summary import table

        Console().print(table(outcome, stages=stages))
        typer.echo(str(outcome.folder))
