"""`hasim quantize`: what networks lose in fewer bits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from hasim.cli.options import Json, Model, Noise, Quiet, SceneLength, Speech, TestScenes
from hasim.cli.terminal import count_bar, print_json, print_table, usage_errors

SENSITIVITY_EXAMPLES = (
    "hasim quantize sensitivity hasim:mn_tango --bits 4 --out runs/sensitivity",
    "hasim quantize sensitivity mn_dnn.safetensors --bits 3 --others 8 --n 12 --stoi",
)


def sensitivity(
    model: Model,
    bits: Annotated[
        int, typer.Option(min=2, max=16, metavar="N", help="Bits of the item that is lowered.")
    ] = 4,
    others: Annotated[
        int,
        typer.Option(
            metavar="N", help="Bits of everything else: 2 to 16, or 32 for floating point."
        ),
    ] = 32,
    n: TestScenes = 6,
    duration_s: SceneLength = 4.0,
    speech: Speech = None,
    noise: Noise = None,
    stoi: Annotated[bool, typer.Option("--stoi", help="Also print the loss of STOI.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the figure and the numbers.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Which activations and weights need their bits: errors of the mask, and what is left after
    the filter."""
    from hasim.config.files import write_whole
    from hasim.networks import pretrained
    from hasim.reporting import network_figures, network_tables
    from hasim.reporting.figure import png_bytes
    from hasim.studies import bit_width, evaluation_scenes

    (network,) = bit_width.read_networks([pretrained.file(model)])
    scenes = evaluation_scenes.chosen(n, duration_s, speech, noise)
    with usage_errors(), count_bar(quiet) as progress:
        rows = bit_width.drop_sensitivity(
            network, scenes, bits=bits, others=others, stoi=stoi, progress=progress
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(rows, indent=1, allow_nan=False) + "\n"
        write_whole(out / "sensitivity.json", text.encode())
        picture = png_bytes(network_figures.sensitivity(rows))
        write_whole(out / "sensitivity.png", picture)
    if as_json:
        print_json({"model": str(model), "scenes": n, "rows": rows})
        return
    print_table(
        f"one thing at a time at {bits} bits, means of {n} scenes", *network_tables.quantised(rows)
    )
    for name in ("sensitivity.json", "sensitivity.png") if out is not None else ():
        typer.echo(str(out / name))  # type: ignore[operator]


DYNAMIC_EXAMPLES = (
    "hasim quantize dynamic hasim:tango",
    "hasim quantize dynamic mn_dnn.safetensors --speech LibriSpeech/test-clean --n 30",
)


def dynamic(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="Weights in floating point: a file, a folder with one or two, or hasim:NAME.",
        ),
    ],
    n: TestScenes = 6,
    duration_s: SceneLength = 4.0,
    speech: Speech = None,
    noise: Noise = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What PyTorch's dynamic post-training quantisation costs, and how much of that each of its
    choices costs: 8 bits of weights, 7 or 8 of activations."""
    from hasim.networks import pretrained
    from hasim.reporting import network_tables
    from hasim.studies import bit_width, evaluation_scenes

    networks = bit_width.read_networks(pretrained.files(model))
    scenes = evaluation_scenes.chosen(n, duration_s, speech, noise)
    with count_bar(quiet) as progress:
        rows = bit_width.compare_dynamic(networks, scenes, progress=progress)
    if as_json:
        print_json({"model": str(model), "scenes": n, "rows": rows})
    else:
        print_table(f"against floating point, means of {n} scenes", *network_tables.quantised(rows))


SEARCH_BITS_EXAMPLES = (
    "hasim quantize search hasim:mn_tango --max-bytes 300000 --out small.safetensors",
    "hasim quantize search hasim:mn_tango --max-loss-db 0.1",
)


def search_bits(
    model: Model,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Limit of the network's stored bytes.")
    ] = None,
    max_loss_db: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Limit of the SI-SDR lost after the filter, in dB."),
    ] = None,
    n: TestScenes = 3,
    duration_s: SceneLength = 4.0,
    speech: Speech = None,
    noise: Noise = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights file to write with the bits found.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find bits for each weight matrix under a limit of bytes, of quality, or both (greedy)."""
    from hasim.networks import pretrained
    from hasim.studies import bit_width, evaluation_scenes

    if max_bytes is None and max_loss_db is None:
        raise typer.BadParameter("give --max-bytes, --max-loss-db, or both")
    (network,) = bit_width.read_networks([pretrained.file(model)])
    scenes = evaluation_scenes.chosen(n, duration_s, speech, noise)
    with count_bar(quiet) as progress:
        found, small = bit_width.search_bits(
            network, scenes, max_bytes=max_bytes, max_loss_db=max_loss_db, progress=progress
        )
    if out is not None:
        from hasim.networks.weights_file import save

        save(small, out, {"origin": str(model), "search": dataclasses.asdict(found)})
    if as_json:
        print_json({"model": str(model), "scenes": n, **dataclasses.asdict(found)})
        return
    print_table("bits of weights", ["", "bits"], [[name, str(b)] for name, b in found.bits.items()])
    typer.echo(f"{found.bytes} bytes, {found.loss_db:+.2f} dB of SI-SDR lost behind the filter")
    if not found.within_limits:
        typer.echo("nothing was found within the limits; this is as far as it goes")
    if out is not None:
        typer.echo(str(out))
