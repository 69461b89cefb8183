"""The folder of a run with everything in it: numbers, tables, sound, figures, page."""

from __future__ import annotations

from pathlib import Path

from hasim.experiment.load import load
from hasim.experiment.result import RunResult
from hasim.experiment.save import folder_name, save
from hasim.reporting import notebook, page  # noqa: F401  a result in a notebook shows its table
from hasim.reporting.figure import png_bytes
from hasim.reporting.run_figures import figures

__all__ = ["load", "write_run"]


def write_run(result: RunResult, parent: str | Path) -> Path:
    """Write the run below `parent`, with figures and `report.html`; return its folder.

    Raises OSError where it cannot be written; nothing is left behind then.
    """

    def complete(unfinished: Path) -> None:
        (unfinished / "figures").mkdir()
        for name, figure in figures(result).items():
            (unfinished / "figures" / f"{name}.png").write_bytes(png_bytes(figure))
        text = page.of_run(unfinished, folder_name(result), result.scenario)
        (unfinished / page.NAME).write_bytes(text.encode())

    return save(result, parent, complete)
