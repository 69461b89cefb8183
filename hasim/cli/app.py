"""The command line: parse, call, print; nothing else.

The answer goes to stdout, everything else to stderr. Every error ends in plain lines and a
documented exit code (`exit_codes`). A new command is a file beside this one and a line in
`COMMANDS`.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hasim.cli import (
    check,
    compare,
    cost,
    evaluate,
    explain,
    export,
    fit,
    links,
    pareto,
    presets,
    quantize,
    report,
    run,
    search,
    sweep,
    train,
    validate,
)
from hasim.cli.exit_codes import INTERRUPTED, code_and_lines
from hasim.cli.terminal import print_json, say

SCENARIO = "One scenario"
DEVICES = "Devices, links, costs"
STUDIES = "Many runs"
NETWORKS = "Networks"

EXAMPLES = (
    "hasim run scenarios/noise_90deg.yaml",
    "hasim run scenarios/lossy_link.yaml --set link.loss.mean_loss=0.2",
    "hasim validate scenarios/*.yaml",
    "hasim sweep scenarios/sweeps/link_bandwidth.yaml",
    "hasim pareto runs/link_bandwidth --minimize link_kbps --maximize si_sdr_improvement_db",
    "hasim fit --devices all --algorithms all",
)

GROUPS = {
    "links": (DEVICES, "The radio between the ears."),
    "data": (NETWORKS, "Training sets."),
    "quantize": (NETWORKS, "Networks in fewer bits."),
}
"""Commands of two words: the first word, its panel of `hasim --help`, its help."""

COMMANDS: tuple[tuple[str, str, Callable[..., None], Sequence[str]], ...] = (
    (SCENARIO, "run", run.run, run.EXAMPLES),
    (SCENARIO, "report", report.report, report.EXAMPLES),
    (SCENARIO, "explain", explain.explain, explain.EXAMPLES),
    (SCENARIO, "validate", validate.validate, validate.VALIDATE_EXAMPLES),
    (SCENARIO, "schema", validate.schema, validate.SCHEMA_EXAMPLES),
    (SCENARIO, "check", check.check, check.EXAMPLES),
    (DEVICES, "presets", presets.presets, presets.EXAMPLES),
    (DEVICES, "fit", fit.fit, fit.EXAMPLES),
    (DEVICES, "cost", cost.cost, cost.EXAMPLES),
    (DEVICES, "links fit", links.fit, links.EXAMPLES),
    (STUDIES, "sweep", sweep.sweep, sweep.EXAMPLES),
    (STUDIES, "search", search.search, search.EXAMPLES),
    (STUDIES, "export", export.export, export.EXAMPLES),
    (STUDIES, "pareto", pareto.pareto, pareto.EXAMPLES),
    (STUDIES, "compare", compare.compare, compare.EXAMPLES),
    (STUDIES, "evaluate", evaluate.evaluate, evaluate.EXAMPLES),
    (NETWORKS, "data build", train.build, train.BUILD_EXAMPLES),
    (NETWORKS, "train", train.train, train.TRAIN_EXAMPLES),
    (NETWORKS, "quantize sensitivity", quantize.sensitivity, quantize.SENSITIVITY_EXAMPLES),
    (NETWORKS, "quantize dynamic", quantize.dynamic, quantize.DYNAMIC_EXAMPLES),
    (NETWORKS, "quantize search", quantize.search_bits, quantize.SEARCH_BITS_EXAMPLES),
)
"""Panel of `hasim --help`, name, function, examples."""


class _CommandGroup(TyperGroup):
    """Turns every error of a command into lines on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        asked = ctx.ensure_object(dict)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            try:
                answer = super().invoke(ctx)
                sys.stdout.flush()
                return answer
            except BrokenPipeError:
                # The reader (`head`, for instance) has seen enough.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit() from None
            except KeyboardInterrupt:
                say("hasim: stopped")
                raise typer.Exit(INTERRUPTED) from None
            except (Exception, MemoryError) as error:
                # Typer's own exceptions carry their exit code.
                if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                    raise
                if asked.get("traceback"):
                    import traceback

                    traceback.print_exc()
                code, lines = code_and_lines(error)
                for line in lines:
                    say(line)
                if asked.get("json"):
                    print_json({"error": {"exit_code": code, "messages": lines}})
                raise typer.Exit(code) from None


def _show_warning(message: Warning | str, *_: Any) -> None:
    say(f"warning: {message}")


def _examples(commands: Sequence[str]) -> str:
    """Lines below the help; Typer keeps the breaks between paragraphs only."""
    return "\n\n".join(["Examples:" if len(commands) > 1 else "Example:", *commands])


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"hasim {version('hasim')}")
        raise typer.Exit()


app = typer.Typer(cls=_CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(epilog=_examples(EXAMPLES))
def hasim(
    ctx: typer.Context,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Print the Python traceback of an error.")
    ] = False,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Simulate binaural hearing aids: scene, algorithm, two devices and the link between them."""
    ctx.ensure_object(dict)["traceback"] = traceback


def _register() -> None:
    groups: dict[str, typer.Typer] = {}
    for panel, name, function, examples in COMMANDS:
        group, _, last = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = typer.Typer(no_args_is_help=True, help=GROUPS[group][1])
            app.add_typer(groups[group], name=group, rich_help_panel=GROUPS[group][0])
        if group:
            groups[group].command(last, epilog=_examples(examples))(function)
        else:
            app.command(last, rich_help_panel=panel, epilog=_examples(examples))(function)


_register()
