"""The front door: parse, call, print; nothing else.

The answer goes to stdout, all else to stderr. Exit codes are public: 0 done; 2 wrong usage;
3 invalid scenario; 4 bad input file; 5 a limit of disk, memory or time; 70 a mistake in hasim;
130 interrupted; 143 terminated. (1 is for studies of which a part failed.) What does not fit on
a device is a result.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

INVALID_SCENARIO = 3
BAD_INPUT_FILE = 4
LIMIT = 5
BUG = 70
INTERRUPTED = 130

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE}


class _FrontDoor(TyperGroup):
    """Whatever goes wrong behind the door is said in plain lines and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        asked = ctx.ensure_object(dict)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            try:
                answer = super().invoke(ctx)
                sys.stdout.flush()
                return answer
            except BrokenPipeError:  # the reader (`head`, say) has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit() from None
            except KeyboardInterrupt:
                _say("hasim: stopped")
                raise typer.Exit(INTERRUPTED) from None
            except (Exception, MemoryError) as error:
                if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                    raise  # Typer's own
                if asked.get("traceback"):
                    import traceback

                    traceback.print_exc()
                code, lines = _told(error)
                for line in lines:
                    _say(line)
                if asked.get("json"):
                    _print_json({"error": {"exit_code": code, "messages": lines}})
                raise typer.Exit(code) from None


def _lines(*lines: str) -> str:
    """Text in which Typer keeps the line breaks."""
    return "\n\n".join(lines)


app = typer.Typer(cls=_FrontDoor, no_args_is_help=True, pretty_exceptions_enable=False)

Scenarios = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenario files.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"hasim {version('hasim')}")
        raise typer.Exit()


@app.callback(
    epilog=_lines(
        "Examples:",
        "hasim run scenarios/noise_90deg.yaml",
        "hasim run scenarios/lossy_link.yaml --set link.loss.mean_loss=0.2",
        "hasim validate scenarios/*.yaml",
    )
)
def hasim(
    ctx: typer.Context,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in hasim an error came up.")
    ] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which version."),
    ] = False,
) -> None:
    """Simulate binaural hearing aids: scene, algorithm, two devices and the link between them."""
    ctx.ensure_object(dict)["traceback"] = traceback


@app.command(
    epilog=_lines(
        "Examples:",
        "hasim run scenarios/noise_90deg.yaml --seed 1",
        "hasim run my.yaml --set algorithm.kind=local --set scene.noises.0.azimuth_deg=45",
        "hasim run my.yaml --json --quiet | jq .numbers",
    )
)
def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a dotted path, e.g. link.rate_kbps=64."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Another seed than the file's.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the result's folder is made.")
    ] = Path("runs"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    stages: Annotated[
        bool, typer.Option("--stages", help="Also score what lies between input and output.")
    ] = False,
) -> None:
    """Run a scenario: print the table and the verdict, leave a folder with everything."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim import scenario as scenarios

    overrides = [*(settings or ()), *(() if seed is None else (f"seed={seed}",))]
    scenario = scenarios.load(file, overrides)

    from hasim import experiment, result

    try:
        outcome = experiment.run(scenario, progress=_hush if quiet else _say)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        # What only the stations can see, such as a talker behind the wall.
        problem = scenarios.Problem(scenarios.Place(str(file)), "", str(error))
        raise scenarios.ScenarioError([problem]) from error
    folder = result.save(outcome, out)
    if as_json:
        _print_json(result.summary(outcome, folder))
    else:
        from rich.console import Console

        Console().print(result.table(outcome, stages=stages))
        typer.echo(str(folder))


@app.command(epilog=_lines("Example:", "hasim validate scenarios/*.yaml"))
def validate(files: Scenarios) -> None:
    """Check scenario files: every mistake on a line of its own, on stderr."""
    from hasim.scenario import ScenarioError, load

    valid = True
    for file in files:
        try:
            load(file)
        except ScenarioError as error:
            valid = False
            for problem in error.problems:
                _say(str(problem))
        else:
            typer.echo(f"{file}: ok")
    if not valid:
        raise typer.Exit(INVALID_SCENARIO)


@app.command(epilog=_lines("Example:", "hasim schema > scenario.schema.json"))
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from hasim.scenario import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _told(error: BaseException) -> tuple[int, list[str]]:
    """Exit code and lines for whatever went wrong."""
    from hasim.spec import InputError, LimitError

    if isinstance(error, InputError):
        return BAD_INPUT_FILE, [str(error)]
    if isinstance(error, LimitError):
        return LIMIT, [str(error)]
    if isinstance(error, MemoryError):
        return LIMIT, [f"hasim: out of memory: {error}"]
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return LIMIT, [f"hasim: {error.filename or 'the result'}: {error.strerror}"]
    from hasim.scenario import ScenarioError

    if isinstance(error, ScenarioError):
        return INVALID_SCENARIO, [str(problem) for problem in error.problems]
    message = " ".join(str(error).split())
    return BUG, [
        f"hasim: a mistake in hasim itself: {type(error).__name__}: {message}",
        "hasim: `hasim --traceback ...` shows where; please report it with the scenario",
    ]


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _hush(_: str) -> None:
    pass


def _show_warning(message: Warning | str, *_: Any) -> None:
    _say(f"warning: {message}")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, allow_nan=False))
