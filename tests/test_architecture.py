"""The house holds: heavy guests come in by their own doors and late, and imports point down.

Everything is read from the source of the files in hasim/, nothing is imported. A new file needs a
floor.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hasim"

# Which modules may let a guest in. A shelf stands for all that is on it.
DOORS = {
    "typer": {"cli"},
    "pyroomacoustics": {"room"},
    "simpy": {"simulation"},
    "torch": {"models", "training", "quantization"},
    "safetensors": {"models", "training", "quantization"},
    "ruamel": {"yaml_text"},
    "matplotlib": {"plots"},
    "jinja2": {"report"},
    "rich": {"cli", "table", "result"},
    "soundfile": {"audio_file", "result", "training"},
    "h5py": {"sofa"},
    "platformdirs": {"cache"},
    "dask": {"engine"},
    "distributed": {"engine"},
    "optuna": {"search"},
    "pyarrow": {"store"},
    "pystoi": {"metrics"},
    "pesq": {"metrics"},
    "lc3": {"codecs"},
    "onnx": {"quantization"},
    "scipy": {"*"},
}
# What may be imported at the head of a file; all else is imported where it is used.
EARLY = {"numpy", "pydantic", "pydantic_core", "hasim", *sys.stdlib_module_names}
# Where a guest is the very stuff of a file (a network is a torch module), it may stand at the head;
# the file is then as heavy as its guest, and other rooms import it late.
AT_HOME = {"typer": {"cli"}, "torch": {"models", "training", "quantization"}}

# From the ground up. What is on one floor may import its neighbours, but never in a circle.
FLOORS = (
    {  # ground
        *("spec", "program", "timeline", "memory", "energy", "stft", "masks", "covariance"),
        *("filters", "erb", "sources", "audio_file", "yaml_text", "cache", "sofa", "measured"),
        *("waves", "clocks", "rigid_sphere", "head", "room", "rate_bound", "presets", "latency"),
    },
    {"devices", "links", "losses", "codecs", "models", "quantization"},  # shelves
    {
        *("plan", "server", "radio", "ear", "recording", "simulation"),
        *("exchange", "nodes", "training", "scene", "verdict"),
    },  # machines
    {"metrics"},  # judges
    {
        *("scenario", "mistakes", "overrides", "experiment", "result", "table", "plots"),
        *("axes", "store", "run_cache", "apart", "engine", "sweep", "search", "paired", "pareto"),
        *("test_set", "evaluate", "budget", "recipe_file", "bit_study"),
        *("report", "reproduce", "trace", "pcapng", "explain", "fit"),
    },  # studies
    {"cli", "__main__", "__init__"},  # door
)


@dataclass(frozen=True)
class Import:
    """One import statement: who imports what, where, and whether at the head of the file."""

    module: str  # dotted, below hasim
    line: int
    name: str  # dotted
    early: bool
    for_types: bool  # under `if TYPE_CHECKING`: never executed

    def __str__(self) -> str:
        return f"hasim/{self.module.replace('.', '/')}: line {self.line}: {self.name}"


@cache
def _modules() -> dict[str, Path]:
    """Every module of hasim by its name below hasim; a shelf by the name of its folder."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        modules[name] = path
    return modules


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _statements(
    node: ast.AST, early: bool = True, for_types: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    """Import statements below a node, and whether they are executed when the file is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, early, for_types
        late = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _statements(child, early and not late, for_types or _is_for_types(child))


@cache
def _imports() -> tuple[Import, ...]:
    """All imports of all modules; `from hasim import scene` imports `hasim.scene`."""
    found = []
    for module, path in _modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for statement, early, for_types in _statements(tree):
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            else:
                assert statement.level == 0, f"{path}: relative import"
                names = [f"{statement.module}.{alias.name}" for alias in statement.names]
            found += [Import(module, statement.lineno, name, early, for_types) for name in names]
    return tuple(found)


def _inside() -> list[tuple[Import, str]]:
    """Imports of hasim by hasim that are executed, with the module that is imported."""
    inside = []
    for found in _imports():
        root, _, name = found.name.partition(".")
        if root != "hasim" or found.for_types:
            continue
        while name and name not in _modules():
            name = name.rpartition(".")[0]
        inside.append((found, name or "__init__"))
    return inside


def _room(module: str) -> str:
    """The station or shelf that a module belongs to."""
    return module.partition(".")[0]


def _floor(module: str) -> int:
    (floor,) = [level for level, rooms in enumerate(FLOORS) if _room(module) in rooms]
    return floor


def test_the_house_is_read_at_all():
    assert len(_modules()) > 30
    assert any(found.name == "numpy" for found in _imports())
    assert any(found.early for found in _imports())
    assert any(not found.early for found in _imports())


def test_every_room_has_one_floor():
    rooms = {_room(module) for module in _modules()}
    homeless = {room for room in rooms if sum(room in floor for floor in FLOORS) != 1}
    assert homeless == set()


@pytest.mark.parametrize("guest", DOORS)
def test_guests_come_in_by_their_own_doors(guest):
    wrong = [
        str(found)
        for found in _imports()
        if found.name.partition(".")[0] == guest
        and not found.for_types
        and not DOORS[guest] & {_room(found.module), "*"}
    ]
    assert wrong == []


def test_only_known_guests_come_in():
    wrong = [
        str(found)
        for found in _imports()
        if found.name.partition(".")[0] not in EARLY | set(DOORS) and not found.for_types
    ]
    assert wrong == []


def test_heavy_guests_come_late():
    wrong = []
    for found in _imports():
        guest = found.name.partition(".")[0]
        if found.early and not found.for_types and guest not in EARLY:
            at_home = _room(found.module) in AT_HOME.get(guest, ())
            wrong += [] if at_home else [str(found)]
    assert wrong == []


def test_what_carries_a_heavy_guest_comes_late_as_well():
    """A module that imports torch at its head may be imported early only by the rooms of torch."""
    heavy = {found.module for found in _imports() if found.early and found.name[:5] == "torch"}
    early = [(found, module) for found, module in _inside() if found.early]
    while grown := {found.module for found, module in early if module in heavy} - heavy:
        heavy |= grown
    wrong = [module for module in heavy if _room(module) not in AT_HOME["torch"]]
    assert wrong == []


def test_imports_point_down():
    wrong = [str(found) for found, module in _inside() if _floor(module) > _floor(found.module)]
    assert wrong == []


def test_imports_make_no_circle():
    """Late imports count, but for the index of a shelf that looks up what stands on it."""
    needs: dict[str, set[str]] = {module: set() for module in _modules()}
    for found, module in _inside():
        looks_up = not found.early and module.startswith(f"{found.module}.")
        if module != found.module and not looks_up:
            needs[found.module].add(module)
    free = True
    while free:  # what needs nothing is in no circle; take it away, and look again
        free = {module for module, needed in needs.items() if not needed}
        needs = {module: needed - free for module, needed in needs.items() if module not in free}
    assert needs == {}
