"""`hasim compare`: paired differences of two sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.options import Json
from hasim.cli.terminal import names, print_json, usage_errors

EXAMPLES = ()


def compare(
    a: Annotated[Path, typer.Argument(metavar="DIR_A", help="Folder of a sweep.")],
    b: Annotated[Path, typer.Argument(metavar="DIR_B", help="Folder of another sweep.")],
    columns: Annotated[
        str,
        typer.Option(metavar="A,B", help="Columns to compare.", show_default="quality, latency"),
    ] = "",
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the numbers here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print B minus A, paired over seeds, for all points that both tables have."""
    from hasim.config.files import write_whole
    from hasim.studies import comparison
    from hasim.studies.columns import point_label
    from hasim.studies.results_table import read

    with usage_errors():
        found = comparison.compare(read(a), read(b), names(columns))
    if csv is not None:
        write_whole(csv, comparison.csv_text(found).encode())
    if as_json:
        print_json({"differences": [one.as_dict() for one in found]})
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="B minus A, with 95 % intervals over seeds", title_justify="left")
    for name in ("point", "column", "A", "B", "difference", "seeds"):
        shown.add_column(name, justify="left" if name in ("point", "column") else "right")
    for one in found:
        is_point = one.point != comparison.ALL_POINTS
        shown.add_row(
            point_label(json.loads(one.point)) if is_point else one.point,
            one.column,
            f"{one.mean_a:.4g}",
            f"{one.mean_b:.4g}",
            one.difference.text("+.3g"),
            str(one.difference.count),
            style="bold" if one.difference.excludes_zero else None,
        )
    Console().print(shown)
    typer.echo("bold: the interval leaves out zero", err=True)
