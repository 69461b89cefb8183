"""`hasim cost`: operations, parameters and bytes of the networks."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from hasim.cli.options import Json
from hasim.cli.terminal import print_json, print_table, usage_errors

EXAMPLES = (
    "hasim cost",
    "hasim cost --weights 4 --scheme static",
    "hasim cost --json | jq '.rows[0]'",
)


def cost(
    erb: Annotated[
        Literal["dense", "sparse"],
        typer.Option(help="Multiply with the whole ERB matrices, or skip their zeros."),
    ] = "dense",
    weights: Annotated[
        int,
        typer.Option(metavar="N", help="Bits of weights for the table of bytes: 2 to 16, or 32."),
    ] = 8,
    activations: Annotated[
        int,
        typer.Option(metavar="N", help="Bits of activations for the same table: 2 to 16, or 32."),
    ] = 8,
    scheme: Annotated[
        Literal["dynamic", "static"], typer.Option(help="How ranges of activations are found.")
    ] = "dynamic",
    as_json: Json = False,
) -> None:
    """Print what the networks cost beside the paper's figures, and the rest of a frame's cost."""
    from hasim.networks.precision import PrecisionSpec, known_bits
    from hasim.reporting import cost_tables
    from hasim.studies import paper_costs

    with usage_errors():
        precision = PrecisionSpec(
            weights=known_bits("--weights", weights),
            activations=known_bits("--activations", activations),
            scheme=scheme,
        )
    rows = paper_costs.rows(erb, precision)
    if as_json:
        print_json({"rows": rows})
        return
    print_table("kMAC per frame by component (Table IV)", *cost_tables.components(rows))
    print_table("parameters and memory (Tables II and V)", *cost_tables.sizes(rows))
    title = f"bytes at {weights}-bit weights, {activations}-bit activations, {scheme}"
    print_table(title, *cost_tables.items(rows))
    print_table("all of a frame: the paper counts the network alone", *cost_tables.whole(rows))
