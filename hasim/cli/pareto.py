"""`hasim pareto`: the points of a sweep that no other point beats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hasim.cli.options import Json
from hasim.cli.terminal import names, print_json, usage_errors

EXAMPLES = (
    "hasim pareto runs/hop --minimize latency_ms --maximize si_sdr_improvement_db",
    "hasim pareto runs/groups --minimize network_mmac_per_s,latency_ms --rule plain",
)


def pareto(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep.")],
    minimize: Annotated[str, typer.Option(metavar="A,B", help="Columns to minimize.")] = "",
    maximize: Annotated[str, typer.Option(metavar="C", help="Columns to maximize.")] = "",
    rule: Annotated[
        Literal["paired", "plain"],
        typer.Option(
            help="When a point beats another: by paired differences over seeds, or by the means."
        ),
    ] = "paired",
    colour: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column shown as colour.", show_default="latency, if it varies"
        ),
    ] = None,
    feasible: Annotated[
        bool,
        typer.Option("--feasible", help="Leave out points that do not fit their device or link."),
    ] = False,
    limits: Annotated[
        str, typer.Option(metavar="PRESET,PRESET", help="Presets whose limits are drawn too.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the figures.", show_default="DIR/pareto"),
    ] = None,
    as_json: Json = False,
) -> None:
    """The points of a sweep that no other point beats: figure (PNG, SVG, PDF) and numbers (CSV)."""
    from hasim.reporting import pareto_figure
    from hasim.studies import pareto as fronts
    from hasim.studies import results_table

    sheet = results_table.read(folder)
    objectives = [
        fronts.Objective(column, maximized)
        for columns, maximized in ((minimize, False), (maximize, True))
        for column in names(columns)
    ]
    with usage_errors():
        front = fronts.front(
            sheet,
            objectives,
            rule=rule,
            feasible_only=feasible,
            colour=colour,
            presets=names(limits),
        )
    paths = pareto_figure.save(front, out or folder / "pareto")
    if as_json:
        print_json(pareto_figure.to_dict(front) | {"files": [str(path) for path in paths]})
        return
    for line in pareto_figure.summary_lines(front):
        typer.echo(line)
    for path in paths:
        typer.echo(str(path))
