"""`hasim explain`: why a run does not fit, or what happened to a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EXAMPLES = (
    "hasim explain runs/noise_90deg-0123456789ab",
    "hasim explain runs/noise_90deg-0123456789ab --ear left --frame 12",
)


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    frame: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Explain only this frame.")
    ] = None,
    ear: Annotated[Literal["left", "right"], typer.Option(help="Ear of the frame.")] = "left",
) -> None:
    """Explain step by step why a run does not fit, or what happened to a frame."""
    from hasim.reporting import explain as explanations

    if frame is None:
        lines = explanations.explain(folder)
    else:
        lines = explanations.frame(folder, ear, frame)
    typer.echo("\n".join(lines))
