"""What the commands that run many scenarios share: progress, signals, outcome and exit code."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from hasim.cli.exit_codes import PARTLY_FAILED
from hasim.cli.terminal import duration_text, print_json, say, study_progress


def workers(jobs: int | None) -> int:
    """`--jobs`, or one for each core."""
    return jobs or os.cpu_count() or 1


@contextmanager
def resumable(folder: Path, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Progress of a study; where it is stopped, a line says that the same command goes on."""
    try:
        with study_progress(quiet) as shown, _stoppable(shown) as progress:
            yield progress
    except (KeyboardInterrupt, SystemExit):
        say(f"hasim: finished runs are kept in {folder}; the same command goes on from there")
        raise


def forecast_text(forecast: Any, workers: int | None) -> str:
    """How many runs, how many of them are there already, and about how long the others take."""
    text = (
        f"{forecast.points} points x {forecast.seeds} seeds = {forecast.cases} runs; "
        f"{forecast.stored} in the table, {forecast.cached} in the cache, "
        f"{forecast.to_compute} to compute"
    )
    if forecast.outdated:
        text += f" ({forecast.outdated} in the table were made by other code or from other files)"
    if forecast.to_compute:
        seconds = forecast.to_compute * forecast.seconds_each / (workers or 1)
        how = "as the runs so far" if forecast.measured else "by rule of thumb"
        text += f": about {duration_text(seconds)} {how}, "
        text += f"on {workers} workers" if workers else "on one worker"
    return text


def print_outcome(tally: Any, folder: Path, as_json: bool) -> None:
    """What a study has done; exit code 1 where a part of it failed."""
    if as_json:
        print_json({"folder": str(folder), **dataclasses.asdict(tally)})
    else:
        say(
            f"{tally.done} of {tally.cases} runs: {tally.stored} were there, "
            f"{tally.cached} from the cache, {tally.computed} computed, {tally.failed} failed"
        )
        typer.echo(str(folder / "results.csv"))
    if tally.failed:
        say("the column `error` says why; --retry-failed runs them again")
        raise typer.Exit(PARTLY_FAILED)


@contextmanager
def _stoppable(progress: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Progress that also stops a study whose signal was lost.

    A signal raises its exception wherever Python is, and within a finaliser Python drops it; the
    next row raises it again.
    """
    caught: list[int] = []
    installed = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in installed.items() if callable(handler)}

    def remember(number: int, frame: Any) -> None:
        caught.append(number)
        handlers[signal.Signals(number)](number, frame)

    def report(tally: Any) -> None:
        for number in caught:
            handlers[signal.Signals(number)](number, None)
        progress(tally)

    for number in handlers:
        signal.signal(number, remember)
    try:
        yield report
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
