"""The front door: parse, call, print; nothing else.

The answer goes to stdout, all else to stderr. Exit codes are public: 0 done; 2 wrong usage;
3 invalid scenario; 4 bad input file; 5 a limit of disk, memory or time; 70 a mistake in hasim;
130 interrupted; 143 terminated. (1 is for studies of which a part failed.) What does not fit on
a device is a result.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

INVALID_SCENARIO = 3
PARTLY_FAILED = 1
BAD_INPUT_FILE = 4
LIMIT = 5
BUG = 70
INTERRUPTED = 130

_KEPT = "hasim: what is finished is kept in {}; the same command goes on from there"
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


WIDE_COLUMNS = 160

# The groups of `hasim --help`.
RUN = "One scenario"
DEVICES = "Devices, links, costs"
STUDY = "Many runs"
NETWORKS = "Networks"

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
        "hasim sweep scenarios/sweeps/link_bandwidth.yaml",
        "hasim pareto runs/link_bandwidth --minimize link_kbps --maximize si_sdr_improvement_db",
        "hasim fit --devices all --algorithms all",
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
    rich_help_panel=RUN,
    epilog=_lines(
        "Examples:",
        "hasim run scenarios/noise_90deg.yaml --seed 1",
        "hasim run my.yaml --set algorithm.kind=local --set scene.noises.0.azimuth_deg=45",
        "hasim run my.yaml --json --quiet | jq .numbers",
    ),
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
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also leave a trace for Perfetto (JSON).")
    ] = None,
    pcapng: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also leave the packets for Wireshark.")
    ] = None,
) -> None:
    """Run a scenario: print the table and the verdict, leave a folder with everything."""
    ctx.ensure_object(dict)["json"] = as_json
    import hasim as api
    from hasim.config.diagnostics import ScenarioError
    from hasim.config.yaml_reader import Place, Problem
    from hasim.experiment import scenario as scenarios

    overrides = [*(settings or ()), *(() if seed is None else (f"seed={seed}",))]
    scenario = scenarios.load(file, overrides)
    try:
        outcome = api.run(scenario, out=out, progress=_hush if quiet else _say)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        # What only rendering can see, such as a talker behind the wall.
        raise ScenarioError([Problem(Place(str(file)), "", str(error))]) from error
    if trace is not None:
        from hasim.reporting import perfetto as traces

        traces.write(outcome, trace)
    if pcapng is not None:
        from hasim.reporting import wireshark as captures

        captures.write(outcome, pcapng)
    if as_json:
        from hasim.experiment.result import summary

        _print_json(summary(outcome, outcome.folder))
    else:
        from rich.console import Console

        from hasim.experiment.summary import table

        Console().print(table(outcome, stages=stages))
        typer.echo(str(outcome.folder))


@app.command(
    rich_help_panel=RUN,
    epilog=_lines(
        "Examples:",
        "hasim report runs/noise_90deg-0123456789ab",
        "hasim report runs/link_bandwidth --out front.html",
    ),
)
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run or of a sweep.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page [default: DIR/report.html].")
    ] = None,
) -> None:
    """Make one HTML page to look at, listen to and pass on; it opens without network."""
    from hasim.reporting import page as report_page

    typer.echo(str(report_page.write(folder, out)))


@app.command(
    rich_help_panel=RUN,
    epilog=_lines(
        "Examples:",
        "hasim explain runs/noise_90deg-0123456789ab",
        "hasim explain runs/noise_90deg-0123456789ab --ear left --frame 12",
    ),
)
def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    frame: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only the story of this frame.")
    ] = None,
    ear: Annotated[Literal["left", "right"], typer.Option(help="Of the frame.")] = "left",
) -> None:
    """Say step by step why a run does not fit, or what happened to a frame."""
    from hasim.reporting import explain as explanations

    if frame is None:
        lines = explanations.explain(folder)
    else:
        lines = explanations.frame(folder, ear, frame)
    typer.echo("\n".join(lines))


@app.command(
    rich_help_panel=DEVICES,
    epilog=_lines("Examples:", "hasim presets devices", "hasim presets links --json | jq keys"),
)
def presets(
    ctx: typer.Context,
    shelf: Annotated[
        Literal["devices", "radios", "batteries", "links", "losses"],
        typer.Argument(help="Which ones."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """List the presets with their values and where these come from; * marks estimates."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.config import presets as shelves

    if as_json:
        loaded = {name: shelves.load(shelf, name) for name in shelves.names(shelf)}
        _print_json({name: preset.model_dump(mode="json") for name, preset in loaded.items()})
        return
    from rich.box import HEAVY_HEAD
    from rich.console import Console
    from rich.table import Table

    from hasim.reporting import preset_table

    rows, console = preset_table.sheet(shelf), Console()
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


@app.command(
    "fit",
    rich_help_panel=DEVICES,
    epilog=_lines(
        "Examples:",
        "hasim fit",
        "hasim fit my.yaml --devices ref-stm32u575-160,ref-gap9-0v65-240 --algorithms tango",
    ),
)
def fit_devices(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Scenario.", show_default="hasim's defaults"),
    ] = None,
    devices: Annotated[str, typer.Option(metavar="NAMES", help="Presets, or all.")] = "all",
    algorithms: Annotated[str, typer.Option(metavar="NAMES", help="Names, or all.")] = "all",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the matrix.")
    ] = False,
) -> None:
    """Say which algorithm fits which device, in time and in memory, without running anything."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.config import presets as shelves
    from hasim.experiment import scenario as scenarios
    from hasim.reporting import cost_tables
    from hasim.studies import device_fit as fits

    base = scenarios.Scenario() if file is None else scenarios.load(file)
    with _usage():
        cells = fits.fit(
            base,
            shelves.names("devices") if devices == "all" else _words(devices),
            tuple(fits.ALGORITHMS) if algorithms == "all" else _words(algorithms),
        )
    if as_json:
        _print_json({"cells": [cell.told() for cell in cells]})
    else:
        typer.echo(cost_tables.matrix(cells))


@app.command(rich_help_panel=RUN, epilog=_lines("Example:", "hasim validate scenarios/*.yaml"))
def validate(files: Scenarios) -> None:
    """Check scenario files: every mistake on a line of its own, on stderr."""
    from hasim.config.diagnostics import ScenarioError
    from hasim.experiment.scenario import load

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


@app.command(rich_help_panel=RUN, epilog=_lines("Example:", "hasim schema > scenario.schema.json"))
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from hasim.experiment.scenario import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


Over = Annotated[
    list[str] | None,
    typer.Option("--over", metavar="KEY=VALUES", help="An axis, e.g. link.rate_kbps=64,128."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a dotted path at every point."),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="So many, from the scenario's own on.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the table.", show_default="runs/NAME")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Processes.", show_default="one per core")
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--time-limit-s", min=1e-3, metavar="S", help="End a run that takes longer; it has failed."
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="A Dask scheduler instead of own processes."),
]


@app.command(
    rich_help_panel=STUDY,
    epilog=_lines(
        "Examples:",
        "hasim sweep scenarios/sweeps/link_bandwidth.yaml --dry-run",
        "hasim sweep my.yaml --over link.rate_kbps=64,128,256 --over algorithm.groups=0,2,8",
        "hasim sweep my.yaml --over 'algorithm.mu={start: 0, stop: 2, count: 5}' --seeds 8",
    ),
)
def sweep(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file or sweep file.")],
    over: Over = None,
    settings: Settings = None,
    seeds: Seeds = None,
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    time_limit_s: TimeLimit = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many runs, and about how long.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run again what failed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of sentences.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Run a scenario over axes and seeds: one row each in a table; stopped, it goes on later."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.studies import axes
    from hasim.studies import sweep as sweeps

    plan = axes.plan(
        file, over=over or (), seeds=seeds, set=settings or (), time_limit_s=time_limit_s
    )
    folder = out or Path("runs") / plan.name
    workers = jobs or os.cpu_count() or 1
    forecast = sweeps.forecast(plan, folder)
    told = _plan_in_words(forecast, workers if cluster is None else None)
    if dry_run:
        if as_json:
            _print_json({"folder": str(folder), **forecast.told()})
        else:
            typer.echo(told)
        return
    if not quiet:
        _say(told)
    try:
        with _progress(quiet) as shown, _stoppable(shown) as progress:
            tally = sweeps.sweep(
                plan,
                folder,
                jobs=workers,
                cluster=cluster,
                retry_failed=retry_failed,
                progress=progress,
            )
    except (KeyboardInterrupt, SystemExit):
        _say(_KEPT.format(folder))
        raise
    _say_outcome(tally, folder, as_json)


def _plan_in_words(forecast: Any, workers: int | None) -> str:
    words = (
        f"{forecast.points} points x {forecast.seeds} seeds = {forecast.cases} runs; "
        f"{forecast.stored} in the table, {forecast.cached} in the cache, "
        f"{forecast.to_compute} to compute"
    )
    if forecast.to_compute:
        seconds = forecast.to_compute * forecast.seconds_each / (workers or 1)
        how = "as the runs so far" if forecast.measured else "by rule of thumb"
        words += f": about {_duration(seconds)} {how}, "
        words += f"on {workers} workers" if workers else "on one worker"
    return words


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[Any], None]]:
    """A bar with rate, time left and failures; plain lines where stderr is no terminal."""
    if quiet:
        yield _hush
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    began = time.monotonic()
    console = Console(stderr=True)

    def words(tally: Any) -> str:
        parts = [f"{tally.failed} failed"] if tally.failed else []
        if tally.computed:
            each = (time.monotonic() - began) / tally.computed
            left = _duration((tally.cases - tally.done) * each)
            rate = f"{1 / each:.1f} runs/s" if each < 1 else f"{60 / each:.1f} runs/min"
            parts = [rate, f"{left} left", *parts]
        return ", ".join(parts)

    if not console.is_terminal:
        said = [began]

        def line(tally: Any) -> None:
            if time.monotonic() - said[0] > 10:
                said[0] = time.monotonic()
                _say(f"{tally.done} of {tally.cases} done, {words(tally)}")

        yield line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda tally: bars.update(
            bar, total=tally.cases, completed=tally.done, description=words(tally)
        )


@contextmanager
def _stoppable(progress: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """Progress that also stops a study whose signal was lost.

    A signal raises its exception wherever Python is, and within a finaliser Python drops it; the
    next row raises it again.
    """
    caught: list[int] = []
    honest = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in honest.items() if callable(handler)}

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


def _say_outcome(tally: Any, folder: Path, as_json: bool) -> None:
    """What a study has done; exit code 1 where a part of it failed."""
    if as_json:
        _print_json({"folder": str(folder), **dataclasses.asdict(tally)})
    else:
        _say(
            f"{tally.done} of {tally.cases} runs: {tally.stored} were there, "
            f"{tally.cached} from the cache, {tally.computed} computed, {tally.failed} failed"
        )
        typer.echo(str(folder / "results.csv"))
    if tally.failed:
        _say("the column `error` says why; --retry-failed runs them again")
        raise typer.Exit(PARTLY_FAILED)


@app.command(
    rich_help_panel=STUDY,
    epilog=_lines(
        "Example:",
        "hasim search my.yaml --over link.codec.bits=2,4,8,16 --over algorithm.groups=0,2,4,8 "
        "--objectives min:link_kbps,min:total_mmac_per_s,max:si_sdr_improvement_db",
    ),
)
def search(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file or sweep file.")],
    objectives: Annotated[
        str, typer.Option(metavar="min:A,max:B", help="Columns to make small or large.")
    ],
    over: Over = None,
    settings: Settings = None,
    seeds: Seeds = None,
    trials: Annotated[
        int, typer.Option(min=1, metavar="N", help="Points to try, each with all seeds.")
    ] = 60,
    sampler: Annotated[
        Literal["nsga2", "tpe", "qmc", "random"], typer.Option(help="How Optuna proposes points.")
    ] = "nsga2",
    out: Out = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    time_limit_s: TimeLimit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of sentences.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Look for the front of a grid that is too large to sweep (needs Optuna)."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.studies import axes, pareto
    from hasim.studies import search as searches

    with _usage():
        goals = [pareto.objective(text) for text in _words(objectives)]
    plan = axes.plan(
        file,
        over=over or (),
        seeds=seeds,
        set=settings or (),
        time_limit_s=time_limit_s,
        whole=False,
    )
    folder = out or Path("runs") / f"{plan.name}-search"
    try:
        with _progress(quiet) as shown, _stoppable(shown) as progress, _usage():
            tally = searches.search(
                plan,
                folder,
                goals,
                trials=trials,
                sampler=sampler,
                jobs=jobs or os.cpu_count() or 1,
                cluster=cluster,
                progress=progress,
            )
    except (KeyboardInterrupt, SystemExit):
        _say(_KEPT.format(folder))
        raise
    _say_outcome(tally, folder, as_json)


@app.command(
    rich_help_panel=STUDY,
    epilog=_lines(
        "Examples:",
        "hasim export runs/link_bandwidth --format parquet",
        "hasim export mn_dnn.safetensors --format c --out mn_dnn_c",
        "hasim export hasim:mn_tango_w8a8 --format c --out mn_tango_w8a8_c",
    ),
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
        typer.Option(help="What to write: the first three of a sweep, the others of a network."),
    ] = "csv",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where a network goes; required for it.")
    ] = None,
    weights: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=8,
            metavar="BITS",
            help="Of a float network's weights in C or npz.",
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


@app.command(
    rich_help_panel=STUDY,
    epilog=_lines(
        "Examples:",
        "hasim pareto runs/hop --minimize latency_ms --maximize si_sdr_improvement_db",
        "hasim pareto runs/groups --minimize network_mmac_per_s,latency_ms --rule plain",
    ),
)
def pareto(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep.")],
    minimize: Annotated[
        str, typer.Option(metavar="A,B", help="Columns that should be small.")
    ] = "",
    maximize: Annotated[str, typer.Option(metavar="C", help="Columns that should be large.")] = "",
    rule: Annotated[
        Literal["paired", "plain"],
        typer.Option(help="Beaten where paired differences over seeds say so, or the means."),
    ] = "paired",
    colour: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="What the colour says.", show_default="latency, if it varies"
        ),
    ] = None,
    feasible: Annotated[
        bool, typer.Option("--feasible", help="Leave out what does not fit its device or link.")
    ] = False,
    limits: Annotated[
        str, typer.Option(metavar="PRESET,PRESET", help="Also draw what these presets have.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where figures go.", show_default="DIR/pareto"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of sentences.")
    ] = False,
) -> None:
    """The points of a sweep that no other point beats: figure (PNG, SVG, PDF) and numbers (CSV)."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.reporting import pareto_figure
    from hasim.studies import pareto as fronts
    from hasim.studies import results_table

    sheet = results_table.read(folder)
    objectives = [
        fronts.Objective(column, maximized)
        for columns, maximized in ((minimize, False), (maximize, True))
        for column in _words(columns)
    ]
    with _usage():
        front = fronts.front(
            sheet,
            objectives,
            rule=rule,
            feasible_only=feasible,
            colour=colour,
            presets=_words(limits),
        )
    paths = pareto_figure.save(front, out or folder / "pareto")
    if as_json:
        _print_json(pareto_figure.to_dict(front) | {"files": [str(path) for path in paths]})
        return
    for line in pareto_figure.in_lines(front):
        typer.echo(line)
    for path in paths:
        typer.echo(str(path))


@app.command(
    rich_help_panel=STUDY,
    epilog=_lines("Example:", "hasim compare runs/with_tango runs/with_mn_tango"),
)
def compare(
    ctx: typer.Context,
    a: Annotated[Path, typer.Argument(metavar="DIR_A", help="Folder of a sweep.")],
    b: Annotated[Path, typer.Argument(metavar="DIR_B", help="Folder of another.")],
    columns: Annotated[
        str,
        typer.Option(metavar="A,B", help="Columns to compare.", show_default="quality, latency"),
    ] = "",
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the numbers here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """B minus A, paired over seeds, for all points that both tables have."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.config.files import write_whole
    from hasim.studies import results_table, statistics

    with _usage():
        found = statistics.compare(results_table.read(a), results_table.read(b), _words(columns))
    if csv is not None:
        write_whole(csv, statistics.csv_text(found).encode())
    if as_json:
        _print_json({"differences": statistics.told(found)})
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(title="B minus A, with 95 % intervals over seeds", title_justify="left")
    for name in ("point", "column", "A", "B", "difference", "seeds"):
        shown.add_column(name, justify="left" if name in ("point", "column") else "right")
    for one in found:
        span = one.difference
        ends = f" [{span.low:+.3g}, {span.high:+.3g}]" if span.count > 1 else ""
        shown.add_row(
            statistics.in_words(json.loads(one.point)) if one.point[:1] == "{" else one.point,
            one.column,
            f"{one.mean_a:.4g}",
            f"{one.mean_b:.4g}",
            f"{span.mean:+.3g}{ends}",
            str(span.count),
            style="bold" if one.clear else None,
        )
    Console().print(shown)
    typer.echo("bold: the interval leaves out zero", err=True)


links = typer.Typer(no_args_is_help=True, help="The radio between the ears.")
app.add_typer(links, name="links", rich_help_panel=DEVICES)


@links.command(epilog=_lines("Example:", "hasim links fit recorded.csv"))
def fit(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="TRACE", help="0 or 1 (lost) for every packet; text or CSV.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of lines.")
    ] = False,
) -> None:
    """Fit a Gilbert channel to recorded losses: what to write under `link.loss`, with
    intervals."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.config.spec import InputError
    from hasim.simulation.link.losses import fit_gilbert, read_trace

    trace = read_trace(file)
    if trace["left_to_right"] == trace["right_to_left"]:
        del trace["right_to_left"]
    try:
        fits = {way: fit_gilbert(lost) for way, lost in trace.items()}
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error
    if as_json:
        _print_json({way: dataclasses.asdict(found) for way, found in fits.items()})
        return
    for way, found in fits.items():
        typer.echo(f"# {way}: " if len(fits) > 1 else "# ", nl=False)
        typer.echo(f"{found.packets} packets, {found.bursts} bursts; 95 % intervals")
        typer.echo("kind: gilbert")
        for name in ("mean_loss", "mean_burst"):
            value = getattr(found, name)
            typer.echo(f"{name}: {value.value:.4g}  # {value.low:.4g} to {value.high:.4g}")
        for name in ("p", "r"):
            value = getattr(found, name)
            typer.echo(f"# {name} = {value.value:.4g} ({value.low:.4g} to {value.high:.4g})")
        seen = "bursts are plain" if found.evidence > 2 else "bursts are not proven"
        typer.echo(f"# {seen}: log likelihood {found.evidence:.1f} above that of single losses")


@app.command(
    rich_help_panel=DEVICES,
    epilog=_lines(
        "Examples:",
        "hasim cost",
        "hasim cost --weights 4 --scheme static",
        "hasim cost --json | jq '.rows[0]'",
    ),
)
def cost(
    ctx: typer.Context,
    erb: Annotated[
        Literal["dense", "sparse"],
        typer.Option(help="Multiply with the whole ERB matrices, or skip their zeros."),
    ] = "dense",
    weights: Annotated[
        int, typer.Option(metavar="N", help="Bits of the bytes item by item: 2 to 16, or 32.")
    ] = 8,
    activations: Annotated[
        int, typer.Option(metavar="N", help="The same of activations: 2 to 16, or 32.")
    ] = 8,
    scheme: Annotated[
        Literal["dynamic", "static"], typer.Option(help="Where ranges of activations come from.")
    ] = "dynamic",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
) -> None:
    """What the networks cost, beside the paper's figures, and what a frame costs besides."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.networks.precision import PrecisionSpec, known_bits
    from hasim.reporting import cost_tables
    from hasim.studies import paper_costs

    with _usage():
        precision = PrecisionSpec(
            weights=known_bits("--weights", weights),
            activations=known_bits("--activations", activations),
            scheme=scheme,
        )
    rows = paper_costs.rows(erb, precision)
    if as_json:
        _print_json({"rows": rows})
        return
    _show("kMAC per frame by component (Table IV)", *cost_tables.components(rows))
    _show("parameters and memory (Tables II and V)", *cost_tables.sizes(rows))
    title = f"bytes at {weights}-bit weights, {activations}-bit activations, {scheme}"
    _show(title, *cost_tables.items(rows))
    _show("all of a frame: the paper counts the network alone", *cost_tables.whole(rows))


data = typer.Typer(no_args_is_help=True, help="Training sets.")
app.add_typer(data, name="data", rich_help_panel=NETWORKS)


@data.command(
    epilog=_lines(
        "Example:",
        "hasim data build --speech LibriSpeech/dev-clean --noise noises --scenes 400 --out set",
    )
)
def build(
    speech: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Folder of speech; may be given repeatedly.")
    ],
    noise: Annotated[
        list[Path], typer.Option(metavar="DIR", help="Folder of noise; may be given repeatedly.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the training set.")],
    scenes: Annotated[int, typer.Option(min=2, metavar="N", help="Rooms to compute.")] = 400,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="What the rooms are drawn from.")
    ] = 0,
    jobs: Jobs = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Make a training set: recordings and room responses; stopped, it goes on later."""
    from hasim.networks.training import data as sets

    with _bad_input(), _bar(quiet) as progress:
        sets.build(
            speech,
            noise,
            out,
            sets.BankSpec(scenes=scenes, seed=seed),
            jobs or os.cpu_count() or 1,
            progress,
        )
    typer.echo(str(out))


@app.command(
    rich_help_panel=NETWORKS,
    epilog=_lines(
        "Examples:",
        "hasim train demo --data set --out runs/demo",
        "hasim train my_recipe.yaml --data set --out runs/mine --device cuda",
    ),
)
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A YAML file, or a shipped recipe's name.")
    ],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Training set, from `hasim data build`.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Weights, log, curves, checkpoint.")],
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Where to train.", show_default="cuda where there is one"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train mask networks; stopped, the same command goes on from the last epoch."""
    from hasim.networks.training import recipe_file

    chosen = recipe_file.load(recipe)

    from hasim.networks.training import train as training

    try:
        with _bad_input():
            training.train(chosen, data, out, device, None if quiet else sys.stderr)
    finally:
        log = out / "log.jsonl"
        if log.is_file():
            from hasim.config.files import write_whole
            from hasim.reporting import network_figures
            from hasim.reporting.figure import png_bytes

            epochs = [json.loads(line) for line in log.read_text().splitlines()]
            write_whole(out / "curves.png", png_bytes(network_figures.training_curves(epochs)))
    typer.echo(str(out))


Speech = Annotated[
    list[Path] | None, typer.Option(metavar="DIR", help="Speech in place of the bundled.")
]
Noise = Annotated[
    list[Path] | None, typer.Option(metavar="DIR", help="Noise in place of the bundled.")
]


@app.command(
    rich_help_panel=STUDY,
    epilog=_lines(
        "Examples:",
        "hasim evaluate --algorithms mn_tango,tango,local --n 60 --out runs/table_2",
        "hasim evaluate --algorithms mn_tango_g2 --weights runs --n 200 --out g2",
        "hasim evaluate --algorithms mn_tango --set algorithm.covariance.kind=recursive --out rec",
    ),
)
def evaluate(
    ctx: typer.Context,
    algorithms: Annotated[
        str, typer.Option(metavar="A,B", help="Kinds, with _g2 and so on for compact networks.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of tables and runs.")],
    masks: Annotated[
        Literal["oracle", "trained"],
        typer.Option(help="With trained masks, oracle masks are run beside them."),
    ] = "trained",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Weights, or a folder with one per algorithm."),
    ] = None,
    scenes: Annotated[
        str, typer.Option(metavar="test|DIR", help="The test set, or a folder of scenario files.")
    ] = "test",
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, metavar="N", help="Scenes.", show_default="60, or all"),
    ] = None,
    speech: Speech = None,
    noise: Noise = None,
    duration_s: Annotated[
        float | None,
        typer.Option(min=0.5, max=600, help="Length of a test scene.", show_default="8"),
    ] = None,
    settings: Settings = None,
    jobs: Jobs = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Algorithms side by side: every stage and metric with 95 % intervals; stopped, it goes on."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.reporting import evaluation_tables
    from hasim.studies import evaluate as evaluation
    from hasim.studies import evaluation_scenes

    if scenes != "test" and (speech or noise or duration_s):
        raise typer.BadParameter("--speech, --noise and --duration-s belong to --scenes test")
    with _usage():
        compared = evaluation.contestants(_words(algorithms), masks, weights)
    if scenes == "test":
        chosen = _test_scenes(n or 60, duration_s, speech, noise)
    else:
        chosen = evaluation_scenes.from_folder(Path(scenes), n)
    try:
        with _progress(quiet) as progress:
            tally, told = evaluation.evaluate(
                chosen,
                compared,
                out,
                settings=settings or (),
                jobs=jobs or os.cpu_count() or 1,
                progress=progress,
            )
    except (KeyboardInterrupt, SystemExit):
        _say(_KEPT.format(out))
        raise
    if as_json:
        _print_json({"folder": str(out), **dataclasses.asdict(tally), **told})
    else:
        _show("mean at the left and the right ear", *evaluation_tables.by_step(told))
        _show("output, mean of both ears [95 % interval]", *evaluation_tables.outputs(told))
        _show(
            "differences, mean of both ears [95 % interval]", *evaluation_tables.differences(told)
        )
        if told["share_of_oracle"]:
            _show("share of the oracle mask's improvement", *evaluation_tables.shares(told))
        for name in ("results.csv", "scores.csv", "differences.csv", "evaluation.json"):
            typer.echo(str(out / name))
    if tally.failed:
        _say("some runs failed; the column `error` of results.csv says why")
        raise typer.Exit(PARTLY_FAILED)


quantize = typer.Typer(no_args_is_help=True, help="Networks in fewer bits.")
app.add_typer(quantize, name="quantize", rich_help_panel=NETWORKS)

Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Weights of one network, in floating point: a file, or hasim:NAME."
    ),
]
TestScenes = Annotated[int, typer.Option("--n", min=1, metavar="N", help="Test scenes to hear.")]
SceneLength = Annotated[
    float, typer.Option(min=0.5, max=600, metavar="S", help="Length of a scene.")
]


@quantize.command(
    epilog=_lines(
        "Examples:",
        "hasim quantize sensitivity hasim:mn_tango --bits 4 --out runs/sensitivity",
        "hasim quantize sensitivity mn_dnn.safetensors --bits 3 --others 8 --n 12 --stoi",
    )
)
def sensitivity(
    ctx: typer.Context,
    model: Model,
    bits: Annotated[
        int, typer.Option(min=2, max=16, metavar="N", help="Bits of what is dropped.")
    ] = 4,
    others: Annotated[
        int, typer.Option(metavar="N", help="Bits of all else: 2 to 16, or 32 for floating point.")
    ] = 32,
    n: TestScenes = 6,
    duration_s: SceneLength = 4.0,
    speech: Speech = None,
    noise: Noise = None,
    stoi: Annotated[bool, typer.Option("--stoi", help="Also what STOI loses.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the figure and the numbers.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Which points and weights need their bits: errors before the filter, and what is left behind
    it."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.config.files import write_whole
    from hasim.networks import pretrained
    from hasim.reporting import evaluation_tables, network_figures
    from hasim.reporting.figure import png_bytes
    from hasim.studies import bit_width

    (network,) = bit_width.read_networks([pretrained.file(model)])
    scenes = _test_scenes(n, duration_s, speech, noise)
    with _usage(), _bar(quiet) as progress:
        rows = bit_width.sensitivity(
            network, scenes, bits=bits, others=others, stoi=stoi, progress=progress
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(rows, indent=1, allow_nan=False) + "\n"
        write_whole(out / "sensitivity.json", text.encode())
        picture = png_bytes(network_figures.sensitivity(rows))
        write_whole(out / "sensitivity.png", picture)
    if as_json:
        _print_json({"model": str(model), "scenes": n, "rows": rows})
        return
    _show(
        f"one thing at a time at {bits} bits, means of {n} scenes", *evaluation_tables.table(rows)
    )
    for name in ("sensitivity.json", "sensitivity.png") if out is not None else ():
        typer.echo(str(out / name))  # type: ignore[operator]


@quantize.command(
    epilog=_lines(
        "Examples:",
        "hasim quantize dynamic hasim:tango",
        "hasim quantize dynamic mn_dnn.safetensors --speech LibriSpeech/test-clean --n 30",
    )
)
def dynamic(
    ctx: typer.Context,
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """What dynamic post-training quantisation as PyTorch does it costs, and which of its choices
    costs how much of that: 8 bits of weights, and of activations 7 or 8."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.networks import pretrained
    from hasim.reporting import evaluation_tables
    from hasim.studies import bit_width

    networks = bit_width.read_networks(pretrained.files(model))
    scenes = _test_scenes(n, duration_s, speech, noise)
    with _bar(quiet) as progress:
        rows = bit_width.dynamic(networks, scenes, progress=progress)
    if as_json:
        _print_json({"model": str(model), "scenes": n, "rows": rows})
    else:
        _show(f"against floating point, means of {n} scenes", *evaluation_tables.table(rows))


@quantize.command(
    name="search",
    epilog=_lines(
        "Examples:",
        "hasim quantize search hasim:mn_tango --max-bytes 300000 --out small.safetensors",
        "hasim quantize search hasim:mn_tango --max-loss-db 0.1",
    ),
)
def search_bits(
    ctx: typer.Context,
    model: Model,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="All that is stored of the network.")
    ] = None,
    max_loss_db: Annotated[
        float | None, typer.Option(metavar="DB", help="SI-SDR that may be lost behind the filter.")
    ] = None,
    n: TestScenes = 3,
    duration_s: SceneLength = 4.0,
    speech: Speech = None,
    noise: Noise = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights file of what was found.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Bits for each weight matrix under a limit of bytes, of quality, or both: greedy."""
    ctx.ensure_object(dict)["json"] = as_json
    from hasim.networks import pretrained
    from hasim.studies import bit_width

    if max_bytes is None and max_loss_db is None:
        raise typer.BadParameter("give --max-bytes, --max-loss-db, or both")
    (network,) = bit_width.read_networks([pretrained.file(model)])
    scenes = _test_scenes(n, duration_s, speech, noise)
    with _bar(quiet) as progress:
        found, small = bit_width.search(
            network, scenes, max_bytes=max_bytes, max_loss_db=max_loss_db, progress=progress
        )
    if out is not None:
        from hasim.networks.weights_file import save

        save(small, out, {"origin": str(model), "search": dataclasses.asdict(found)})
    if as_json:
        _print_json({"model": str(model), "scenes": n, **dataclasses.asdict(found)})
        return
    _show("bits of weights", ["", "bits"], [[name, str(b)] for name, b in found.bits.items()])
    typer.echo(f"{found.bytes} bytes, {found.loss_db:+.2f} dB of SI-SDR lost behind the filter")
    if not found.within_limits:
        typer.echo("nothing was found within the limits; this is as far as it goes")
    if out is not None:
        typer.echo(str(out))


def _test_scenes(
    count: int,
    duration_s: float | None,
    speech: Sequence[Path] | None,
    noise: Sequence[Path] | None,
) -> list[Any]:
    from hasim.studies import evaluation_scenes

    definition = evaluation_scenes.with_recordings(
        evaluation_scenes.definition(), speech or (), noise or ()
    )
    if duration_s is not None:
        definition = definition.model_copy(update={"duration_s": duration_s})
    return evaluation_scenes.scenarios(definition, count)


def _show(title: str, head: list[str], lines: list[list[str]]) -> None:
    """A table on the terminal, names on the left, numbers on the right."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        shown.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for line in lines:
        shown.add_row(*line)
    Console().print(shown)


@contextmanager
def _bad_input() -> Iterator[None]:
    """Folders and recordings that training cannot use are bad input files."""
    from hasim.config.spec import InputError

    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar for so many of so many; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=quiet or not console.is_terminal
    ) as bars:
        bar = bars.add_task("", total=None)
        yield lambda done, total: bars.update(bar, total=total, completed=done)


@contextmanager
def _usage() -> Iterator[None]:
    """Unknown columns and the like are mistakes in the command, not in hasim."""
    from hasim.config.spec import InputError

    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _told(error: BaseException) -> tuple[int, list[str]]:
    """Exit code and lines for whatever went wrong."""
    from hasim.config.spec import InputError, LimitError

    if isinstance(error, InputError):
        return BAD_INPUT_FILE, [str(error)]
    if isinstance(error, LimitError):
        return LIMIT, [str(error)]
    if isinstance(error, MemoryError):
        return LIMIT, [f"hasim: out of memory: {error}"]
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return LIMIT, [f"hasim: {error.filename or 'the result'}: {error.strerror}"]
    from hasim.config.diagnostics import ScenarioError

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
