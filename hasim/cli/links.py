"""`hasim links fit`: a loss model from recorded losses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.options import Json
from hasim.cli.terminal import print_json

EXAMPLES = ("hasim links fit recorded.csv",)


def fit(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE", help="Losses: 0 or 1 (lost) for every packet, as text or CSV."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Fit a Gilbert channel to recorded losses: what to write under `link.loss`, with
    intervals."""
    from hasim.config.spec import InputError
    from hasim.simulation.link.losses import fit_gilbert, read_trace

    trace = read_trace(file)
    if trace["left_to_right"] == trace["right_to_left"]:
        del trace["right_to_left"]
    try:
        fits = {way: fit_gilbert(lost) for way, lost in trace.items()}
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error
    if as_json:
        print_json({way: dataclasses.asdict(found) for way, found in fits.items()})
        return
    for way, found in fits.items():
        typer.echo(f"# {way}: " if len(fits) > 1 else "# ", nl=False)
        typer.echo(f"{found.packets} packets, {found.bursts} bursts; 95 % intervals")
        typer.echo("kind: gilbert")
        for name in ("mean_loss", "mean_burst"):
            value = getattr(found, name)
            typer.echo(f"{name}: {value.value:.4g}  # {value.low:.4g} to {value.high:.4g}")
        for name in ("p", "r"):
            value = getattr(found, name)
            typer.echo(f"# {name} = {value.value:.4g} ({value.low:.4g} to {value.high:.4g})")
        seen = "bursts are plain" if found.evidence > 2 else "bursts are not proven"
        typer.echo(f"# {seen}: log likelihood {found.evidence:.1f} above that of single losses")
