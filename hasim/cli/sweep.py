"""`hasim sweep`: one row for every point of a grid and every seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.options import Cluster, Jobs, Json, Out, Over, Quiet, Seeds, Settings, TimeLimit
from hasim.cli.study_runs import forecast_text, print_outcome, resumable, workers
from hasim.cli.terminal import print_json, say

EXAMPLES = (
    "hasim sweep scenarios/sweeps/link_bandwidth.yaml --dry-run",
    "hasim sweep my.yaml --over link.rate_kbps=64,128,256 --over algorithm.groups=0,2,8",
    "hasim sweep my.yaml --over 'algorithm.mu={start: 0, stop: 2, count: 5}' --seeds 8",
)


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file or sweep file.")],
    over: Over = None,
    settings: Settings = None,
    seeds: Seeds = None,
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    time_limit_s: TimeLimit = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the number of runs and an estimate of their time; run nothing."
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run the failed cases again.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a scenario over axes and seeds, one row of a table each; resumes where it was stopped."""
    from hasim.studies import axes
    from hasim.studies import sweep as sweeps

    grid = axes.grid(
        file, over=over or (), seeds=seeds, set=settings or (), time_limit_s=time_limit_s
    )
    folder = out or Path("runs") / grid.name
    forecast = sweeps.forecast(grid, folder)
    text = forecast_text(forecast, workers(jobs) if cluster is None else None)
    if dry_run:
        if as_json:
            print_json({"folder": str(folder), **forecast.to_dict()})
        else:
            typer.echo(text)
        return
    if not quiet:
        say(text)
    with resumable(folder, quiet) as progress:
        tally = sweeps.sweep(
            grid,
            folder,
            jobs=workers(jobs),
            cluster=cluster,
            retry_failed=retry_failed,
            progress=progress,
        )
    print_outcome(tally, folder, as_json)
