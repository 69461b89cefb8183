"""`hasim evaluate`: algorithms side by side on a set of scenes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from hasim.cli.exit_codes import PARTLY_FAILED
from hasim.cli.options import Jobs, Json, Noise, Quiet, Settings, Speech
from hasim.cli.study_runs import resumable, workers
from hasim.cli.terminal import names, print_json, print_table, say, usage_errors

EXAMPLES = (
    "hasim evaluate --algorithms mn_tango,tango,local --n 60 --out runs/table_2",
    "hasim evaluate --algorithms mn_tango_g2 --weights runs --n 200 --out g2",
    "hasim evaluate --algorithms mn_tango --set algorithm.covariance.kind=recursive --out rec",
)


def evaluate(
    algorithms: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Algorithms: kinds, or variants such as mn_tango_g2_w8a8."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the tables.")],
    masks: Annotated[
        Literal["oracle", "trained"],
        typer.Option(help="Masks of the networks; with trained, oracle masks are run beside them."),
    ] = "trained",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of weights, or of one such folder per algorithm."),
    ] = None,
    scenes: Annotated[
        str,
        typer.Option(
            metavar="test|DIR", help="Scenes: the seeded test set, or a folder of scenario files."
        ),
    ] = "test",
    n: Annotated[
        int | None,
        typer.Option(
            "--n", min=1, metavar="N", help="Number of scenes.", show_default="60, or all"
        ),
    ] = None,
    speech: Speech = None,
    noise: Noise = None,
    duration_s: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=600, help="Length of each test scene in seconds.", show_default="8"
        ),
    ] = None,
    settings: Settings = None,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare algorithms: every stage and metric with 95 % intervals; resumes where stopped."""
    from hasim.reporting import evaluation_tables
    from hasim.studies import evaluate as evaluation
    from hasim.studies import evaluation_scenes

    if scenes != "test" and (speech or noise or duration_s):
        raise typer.BadParameter("--speech, --noise and --duration-s belong to --scenes test")
    with usage_errors():
        compared = evaluation.contestants(names(algorithms), masks, weights)
    if scenes == "test":
        chosen = evaluation_scenes.chosen(n or 60, duration_s, speech, noise)
    else:
        chosen = evaluation_scenes.from_folder(Path(scenes), n)
    with resumable(out, quiet) as progress:
        tally, scores = evaluation.evaluate(
            chosen,
            compared,
            out,
            settings=settings or (),
            jobs=workers(jobs),
            progress=progress,
        )
    if as_json:
        print_json({"folder": str(out), **dataclasses.asdict(tally), **scores})
    else:
        print_table("mean at the left and the right ear", *evaluation_tables.by_step(scores))
        print_table("output, mean of both ears [95 % interval]", *evaluation_tables.outputs(scores))
        print_table(
            "differences, mean of both ears [95 % interval]", *evaluation_tables.differences(scores)
        )
        if scores["share_of_oracle"]:
            print_table("share of the oracle mask's improvement", *evaluation_tables.shares(scores))
        for name in ("results.csv", "scores.csv", "differences.csv", "evaluation.json"):
            typer.echo(str(out / name))
    if tally.failed:
        say("some runs failed; the column `error` of results.csv says why")
        raise typer.Exit(PARTLY_FAILED)
