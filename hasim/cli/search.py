"""`hasim search`: the front of a grid that is too large to sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hasim.cli.options import Cluster, Jobs, Json, Out, Over, Quiet, Seeds, Settings, TimeLimit
from hasim.cli.study_runs import print_outcome, resumable, workers
from hasim.cli.terminal import names, usage_errors

EXAMPLES = (
    "hasim search my.yaml --over link.codec.bits=2,4,8,16 --over algorithm.groups=0,2,4,8 "
    "--objectives min:link_kbps,min:total_mmac_per_s,max:si_sdr_improvement_db",
)


def search(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file or sweep file.")],
    objectives: Annotated[
        str, typer.Option(metavar="min:A,max:B", help="Columns to minimize or maximize.")
    ],
    over: Over = None,
    settings: Settings = None,
    seeds: Seeds = None,
    trials: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of points to try, each with all seeds.")
    ] = 60,
    sampler: Annotated[
        Literal["nsga2", "tpe", "qmc", "random"],
        typer.Option(help="Optuna sampler that proposes the points."),
    ] = "nsga2",
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    time_limit_s: TimeLimit = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for the front of a grid that is too large to sweep (needs Optuna)."""
    from hasim.studies import axes, pareto
    from hasim.studies import search as searches

    with usage_errors():
        goals = [pareto.objective(text) for text in names(objectives)]
    grid = axes.grid(
        file,
        over=over or (),
        seeds=seeds,
        set=settings or (),
        time_limit_s=time_limit_s,
        whole=False,
    )
    folder = out or Path("runs") / f"{grid.name}-search"
    with resumable(folder, quiet) as progress, usage_errors():
        tally = searches.search(
            grid,
            folder,
            goals,
            trials=trials,
            sampler=sampler,
            jobs=workers(jobs),
            cluster=cluster,
            progress=progress,
        )
    print_outcome(tally, folder, as_json)
