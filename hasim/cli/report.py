"""`hasim report`: the page of a run or of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "hasim report runs/noise_90deg-0123456789ab",
    "hasim report runs/link_bandwidth --out front.html",
)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run or of a sweep.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page [default: DIR/report.html].")
    ] = None,
) -> None:
    """Write one HTML page with tables, figures and sound; it needs no network."""
    from hasim.reporting import page as report_page

    typer.echo(str(report_page.write(folder, out)))
