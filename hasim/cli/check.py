"""`hasim check`: test a part of one's own against its contract."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from hasim.cli.exit_codes import PARTLY_FAILED
from hasim.cli.options import Json
from hasim.cli.terminal import print_json, usage_errors

EXAMPLES = (
    "hasim check front_sum",
    "hasim check my_package.codecs:ALaw",
    "hasim check examples/own_link.py:Uwb",
)


def check(
    plug_in: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN",
            help="Name of an installed entry point, MODULE:NAME, or FILE.py:NAME.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Test a node, link, codec, mask network or metric against its contract.

    Exit code 1 if a point fails.
    """
    with usage_errors():
        part = _loaded(plug_in)
        contract, run = _contract(part)
    checks = run(part)
    failed = [one for one in checks if one.problem]
    if as_json:
        points = [{"name": one.name, "problem": one.problem or None} for one in checks]
        print_json({"contract": contract, "passed": not failed, "checks": points})
    else:
        typer.echo(f"{plug_in}: {contract}")
        for one in checks:
            typer.echo(f"  {'FAILED' if one.problem else 'ok':6}  {one}")
    if failed:
        raise typer.Exit(PARTLY_FAILED)


def _loaded(plug_in: str) -> Any:
    """The class or object that an entry point or a path names; a class is called without
    arguments."""
    place, colon, name = plug_in.rpartition(":")
    if colon:
        module = _from_file(Path(place)) if place.endswith(".py") else _module(place)
        if not hasattr(module, name):
            raise ValueError(f"{plug_in}: {place} has no {name}")
        part = getattr(module, name)
    else:
        part = _entry_point(plug_in)
    try:
        return part() if isinstance(part, type) else part
    except Exception as error:
        raise ValueError(f"{plug_in}: cannot be made without arguments: {error}") from error


def _entry_point(name: str) -> Any:
    from hasim.config.plug_ins import GROUPS

    found = {entry.name: entry for group in GROUPS for entry in entry_points(group=group)}
    if name not in found:
        known = ", ".join(found) or "none"
        raise ValueError(f"{name}: no such entry point; installed are: {known}")
    try:
        return found[name].load()
    except Exception as error:
        raise ValueError(f"{name} ({found[name].value}): {error!r}") from error


def _module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"{name}: cannot be imported: {error!r}") from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path}: cannot be imported: {error!r}") from error
    return module


def _contract(part: Any) -> tuple[str, Callable[[Any], list[Any]]]:
    """Which contract an object asks to be tested by, and the test."""
    from hasim.metrics import Metric
    from hasim.metrics import contract as of_metrics
    from hasim.nodes import contract as of_nodes
    from hasim.simulation.link import contract as of_links
    from hasim.simulation.link.codecs import contract as of_codecs

    if isinstance(part, Metric):
        return "metric", of_metrics.check
    if hasattr(part, "enhance"):
        return "node algorithm", of_nodes.check
    if hasattr(part, "encode_decode"):
        return "codec", of_codecs.check
    if hasattr(part, "air"):
        return "link", of_links.check
    if callable(part) and hasattr(part, "cost"):
        return "mask network", _check_network
    raise ValueError(
        f"{type(part).__name__}: neither a node (enhance), a codec (encode_decode), a link (air), "
        "a mask network (callable, with a cost) nor a hasim.metrics.Metric"
    )


def _check_network(network: Any) -> list[Any]:
    """The contract of a mask network, in the role that it fulfils better."""
    from hasim.config.contract import Check
    from hasim.networks.contract import check

    problems = {role: check(network, role) for role in ("mn_dnn", "sn_dnn")}
    role = min(problems, key=lambda role: len(problems[role]))
    if not problems[role]:
        return [Check(f"masks, determinism, causality and cost, as {role}")]
    return [Check(f"as {role}", problem) for problem in problems[role]]
