"""Options and arguments that several commands have, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _remember_json(ctx: typer.Context, value: bool) -> bool:
    """Let errors be printed as JSON too (see `app`)."""
    ctx.ensure_object(dict)["json"] = value
    return value


Json = Annotated[
    bool,
    typer.Option(
        "--json", callback=_remember_json, help="Print one JSON object on stdout instead of text."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress on stderr.")]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a dotted path of the scenario, e.g. link.rate_kbps=64; may be given repeatedly.",
    ),
]
Over = Annotated[
    list[str] | None,
    typer.Option(
        "--over",
        metavar="KEY=VALUES",
        help="Add an axis: a dotted path and its values, e.g. link.rate_kbps=64,128; "
        "may be given repeatedly.",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of seeds, counted from the scenario's own.",
        show_default="the sweep file's, or 1",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the results table.", show_default="runs/NAME"),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Number of processes.", show_default="one per core"),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--time-limit-s",
        min=1e-3,
        metavar="S",
        help="Time limit of each run in seconds; a run that takes longer has failed.",
        show_default="none",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT",
        help="Use the workers of this Dask scheduler instead of local processes.",
        show_default="none",
    ),
]

Speech = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="Folder of speech recordings for the test scenes; may be given repeatedly.",
        show_default="the bundled ones",
    ),
]
Noise = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="DIR",
        help="Folder of noise recordings for the test scenes; may be given repeatedly.",
        show_default="the bundled ones",
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Float weights of one network: a file, or hasim:NAME for shipped ones.",
    ),
]
TestScenes = Annotated[int, typer.Option("--n", min=1, metavar="N", help="Number of test scenes.")]
SceneLength = Annotated[
    float, typer.Option(min=0.5, max=600, metavar="S", help="Length of each scene in seconds.")
]
