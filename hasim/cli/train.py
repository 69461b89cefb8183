"""`hasim data build` and `hasim train`: training sets and mask networks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from hasim.cli.options import Jobs, Quiet
from hasim.cli.study_runs import workers
from hasim.cli.terminal import count_bar, input_errors

BUILD_EXAMPLES = (
    "hasim data build --speech LibriSpeech/dev-clean --noise noises --scenes 400 --out set",
)


def build(
    speech: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Folder of speech; may be given repeatedly.")
    ],
    noise: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Folder of noise; may be given repeatedly.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the training set.")],
    scenes: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of rooms to compute.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the rooms.")] = 0,
    jobs: Jobs = None,
    quiet: Quiet = False,
) -> None:
    """Make a training set of recordings and room responses; resumes where it was stopped."""
    from hasim.networks.training import data as sets

    with input_errors(), count_bar(quiet) as progress:
        sets.build(
            speech,
            noise,
            out,
            sets.TrainingSetSpec(scenes=scenes, seed=seed),
            workers(jobs),
            progress,
        )
    typer.echo(str(out))


TRAIN_EXAMPLES = (
    "hasim train demo --data set --out runs/demo",
    "hasim train my_recipe.yaml --data set --out runs/mine --device cuda",
)


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A YAML file, or a shipped recipe's name.")
    ],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Training set, from `hasim data build`.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Weights, log, curves, checkpoint.")],
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Device to train on.", show_default="cuda where there is one"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train mask networks; resumes from the last epoch."""
    from hasim.networks.training import recipe_file

    chosen = recipe_file.load(recipe)

    from hasim.networks.training import train as training

    try:
        with input_errors():
            training.train(chosen, data, out, device, None if quiet else sys.stderr)
    finally:
        log = out / "log.jsonl"
        if log.is_file():
            from hasim.config.files import write_whole
            from hasim.reporting import network_figures
            from hasim.reporting.figure import png_bytes

            epochs = [json.loads(line) for line in log.read_text().splitlines()]
            write_whole(out / "curves.png", png_bytes(network_figures.training_curves(epochs)))
    typer.echo(str(out))
