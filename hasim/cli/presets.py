"""`hasim presets`: the shipped devices, radios, batteries, links and loss models."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from hasim.cli.options import Json
from hasim.cli.terminal import print_json

WIDE_COLUMNS = 160
"""On a narrower terminal the texts follow below the table."""

EXAMPLES = (
    "hasim presets devices",
    "hasim presets links --json | jq keys",
)


def presets(
    group: Annotated[
        Literal["devices", "radios", "batteries", "links", "losses"],
        typer.Argument(help="Kind of preset."),
    ],
    as_json: Json = False,
) -> None:
    """List the presets with their values and sources; * marks estimates."""
    from hasim.config import presets as preset_files

    if as_json:
        loaded = {name: preset_files.load(group, name) for name in preset_files.names(group)}
        print_json({name: preset.model_dump(mode="json") for name, preset in loaded.items()})
        return
    from rich.box import HEAVY_HEAD
    from rich.console import Console
    from rich.table import Table

    from hasim.reporting import preset_table

    rows, console = preset_table.sheet(group), Console()
    # Where columns of text would squeeze the numbers, texts follow below the table.
    below = ("what", "provenance", "source") if console.width < WIDE_COLUMNS else ()
    box, gap = (None, (0, 1, 0, 0)) if below else (HEAVY_HEAD, (0, 1))
    shown = Table(show_lines=not below, box=box, padding=gap)
    folded = ("values", "what", "source")
    for name in rows[0]:
        if name not in below:
            header = name.replace(" ", "\n") if below and name not in folded else name
            shown.add_column(header, overflow="fold", no_wrap=name not in folded)
    for row in rows:
        shown.add_row(*(text for name, text in row.items() if name not in below))
    console.print(shown)
    for row in rows if below else ():
        texts = [row["what"], row["provenance"], *row["source"].splitlines()]
        console.print(f"{row['name']}\n  " + "\n  ".join(texts), highlight=False, markup=False)
