"""`hasim export`: the table of a sweep, or a network for a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EXAMPLES = (
    "hasim export runs/link_bandwidth --format parquet",
    "hasim export mn_dnn.safetensors --format c --out mn_dnn_c",
    "hasim export hasim:mn_tango_w8a8 --format c --out mn_tango_w8a8_c",
)


def export(
    what: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|WEIGHTS", help="Folder of a sweep, or weights: a file, or hasim:NAME."
        ),
    ],
    format: Annotated[
        Literal["csv", "json", "parquet", "c", "npz", "onnx"],
        typer.Option(help="Format: the first three for a sweep, the others for a network."),
    ] = "csv",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for a network's files; required for networks."),
    ] = None,
    weights: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=8,
            metavar="BITS",
            help="Bits of a float network's weights in C or npz.",
            show_default="8",
        ),
    ] = None,
) -> None:
    """Write a sweep's table beside it, or a network as C code, integer arrays or ONNX."""
    match format:
        case "csv" | "json" | "parquet":
            from hasim.studies import results_table

            if out is not None or weights is not None:
                raise typer.BadParameter("--out and --weights are for networks (c, npz, onnx)")
            typer.echo(str(results_table.export(what, format)))
        case _:
            from hasim.networks.export.export import export as export_network

            if out is None:
                raise typer.BadParameter(f"--format {format} needs --out DIR")
            for path in export_network(what, format, out, weights):
                typer.echo(str(path))
