"""What commands print: answers on stdout; progress, notes and errors on stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer


def print_json(value: Any) -> None:
    """One line of JSON on stdout; NaN and infinities raise ValueError."""
    typer.echo(json.dumps(value, allow_nan=False))


def print_table(title: str, head: list[str], lines: list[list[str]]) -> None:
    """A table on stdout: names on the left, numbers on the right."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        shown.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for line in lines:
        shown.add_row(*line)
    Console().print(shown)


def say(text: str) -> None:
    """A line on stderr."""
    typer.echo(text, err=True)


def ignore(_: Any) -> None:
    """Progress that is not shown."""


def names(text: str) -> list[str]:
    """The names in a list separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def duration_text(seconds: float) -> str:
    """A duration with a unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def usage_errors() -> Iterator[None]:
    """A ValueError inside, such as an unknown column, is wrong usage (exit code 2)."""
    from hasim.config.diagnostics import ScenarioError
    from hasim.config.spec import InputError

    try:
        yield
    except (InputError, ScenarioError):
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def input_errors() -> Iterator[None]:
    """A ValueError inside, such as an empty folder, is a bad input file (exit code 4)."""
    from hasim.config.spec import InputError

    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


@contextmanager
def count_bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar for (done, total); nothing where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=quiet or not console.is_terminal
    ) as bars:
        bar = bars.add_task("", total=None)
        yield lambda done, total: bars.update(bar, total=total, completed=done)


@contextmanager
def study_progress(quiet: bool) -> Iterator[Callable[[Any], None]]:
    """For the Tally of a study: a bar with rate, time left and failures; a line every 10 s where
    stderr is not a terminal."""
    if quiet:
        yield ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    began = time.monotonic()
    console = Console(stderr=True)

    def details(tally: Any) -> str:
        parts = [f"{tally.failed} failed"] if tally.failed else []
        if tally.computed:
            each = (time.monotonic() - began) / tally.computed
            left = duration_text((tally.cases - tally.done) * each)
            rate = f"{1 / each:.1f} runs/s" if each < 1 else f"{60 / each:.1f} runs/min"
            parts = [rate, f"{left} left", *parts]
        return ", ".join(parts)

    if not console.is_terminal:
        last = [began]

        def line(tally: Any) -> None:
            if time.monotonic() - last[0] > 10:
                last[0] = time.monotonic()
                say(f"{tally.done} of {tally.cases} done, {details(tally)}")

        yield line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda tally: bars.update(
            bar, total=tally.cases, completed=tally.done, description=details(tally)
        )
