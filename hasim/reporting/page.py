"""The page to look at and listen to: one HTML file for a run or a sweep, read from its folder.

The file holds everything it shows and asks for nothing: fonts are the reader's own, styles, script,
pictures and sound are inside, and its Content Security Policy forbids the network. It bears no
date, so the same folder leaves the same bytes. Whatever comes out of the folder is text to be
escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from hasim.config.files import write_whole
from hasim.config.spec import InputError
from hasim.experiment.scenario import Scenario
from hasim.reporting import run_page, sweep_page
from hasim.reporting.settings import number
from hasim.studies.results_table import FILE as SWEEP_FILE

NAME = "report.html"


def write(folder: str | Path, out: Path | None = None) -> Path:
    """Write the page of a run or a sweep to `out`, or into its folder; return where it is.

    Raises:
        InputError: not the folder of a run or of a sweep, a damaged one, or no place for the page.
        LimitError: a sweep of more points than a page can hold.
        ScenarioError: the folder's scenario is not one of this hasim.
    """
    path = out or Path(folder) / NAME
    content = page(folder).encode()
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: {'a folder' if path.is_dir() else 'its folder does not exist'}")
    write_whole(path, content)
    return path


def page(folder: str | Path) -> str:
    """The page of a run or a sweep as text; raises as `write` does."""
    folder = Path(folder)
    if (folder / SWEEP_FILE).is_file():
        return _rendered("sweep", sweep_page.context(folder))
    if (folder / run_page.MANIFEST).is_file():
        return of_run(folder, folder.resolve().name)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    raise InputError(
        f"{folder}: neither the folder of a run ({run_page.MANIFEST}) nor of a sweep ({SWEEP_FILE})"
    )


def of_run(folder: Path, name: str, scenario: Scenario | None = None) -> str:
    """The page of the run in `folder`, which is or will be called `name`.

    `scenario` None: the one in the folder. Raises as `write` does.
    """
    return _rendered("run", run_page.context(folder, name, scenario))


def _rendered(kind: str, content: dict[str, Any]) -> str:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    room = Environment(
        loader=FunctionLoader(lambda name: _text(f"{name}.html.j2")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    room.filters["number"] = number
    style, script = _text("page.css"), _text("page.js") + _text(f"{kind}.js")
    return room.get_template(kind).render(
        content, style=style, script=script, policy=_policy(style, script), hasim=version("hasim")
    )


def _policy(style: str, script: str) -> str:
    """Nothing but what the file itself holds, and of that only this style and this script."""
    parts = {"default-src": "'none'", "img-src": "data:", "media-src": "data:"}
    parts |= {"style-src": _named(style), "script-src": _named(script)}
    parts |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _named(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _text(name: str) -> str:
    return files("hasim.reporting").joinpath(name).read_text(encoding="utf-8")
