"""The order of the packages holds: imports point down, make no circle, and heavy libraries come in
by one package each.

Everything is read from the source of the files in hasim/, nothing is imported. A new package needs
a place in `ORDER`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hasim"

ORDER = (
    "cli",
    "reporting",
    "studies",
    "experiment",
    "nodes",
    "networks",
    "simulation",
    "metrics",
    "acoustics",
    "dsp",
    "config",
)
"""A package imports only from itself and from those after it. `hasim/__init__.py` and
`hasim/__main__.py` stand above all."""

LIBRARIES = {
    "typer": {"cli"},
    "jinja2": {"reporting"},
    "matplotlib": {"reporting"},
    "PIL": {"reporting"},
    "rich": {"cli", "experiment", "reporting"},
    "distributed": {"studies"},
    "optuna": {"studies"},
    "pandas": {"studies"},
    "pyarrow": {"studies"},
    "torch": {"networks"},
    "safetensors": {"networks"},
    "onnx": {"networks"},
    "simpy": {"simulation"},
    "lc3": {"simulation"},
    "threadpoolctl": {"experiment"},
    "pesq": {"metrics"},
    "pystoi": {"metrics"},
    "pyroomacoustics": {"acoustics"},
    "soundfile": {"acoustics"},
    "h5py": {"acoustics"},
    "ruamel": {"config"},
    "platformdirs": {"config"},
    "scipy": set(ORDER) - {"cli"},
}
"""Which packages may import which library."""

EARLY = {"numpy", "pydantic", "pydantic_core", "hasim", *sys.stdlib_module_names}
"""What a file may import at its head; all else is imported in the function that needs it."""

AT_HEAD = {"typer": "cli", "torch": "networks"}
"""Where a library is what a file consists of (a network is a torch module), it stands at the head.
Such a file is as heavy as its library, so other packages import it late."""

MAX_LINES = 400
MAX_CLI_LINES = 200


@dataclass(frozen=True)
class Import:
    """One import statement: who imports what, where, and whether at the head of the file."""

    # dotted, without "hasim."
    module: str
    line: int
    # dotted, as imported
    name: str
    early: bool
    # under `if TYPE_CHECKING`, never executed
    for_types: bool

    def __str__(self) -> str:
        return f"hasim/{self.module.replace('.', '/')}: line {self.line}: {self.name}"


@cache
def _modules() -> dict[str, Path]:
    """Every module by its dotted name without "hasim."; a package by the name of its folder."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts)] = path
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
    """All imports of all modules; `from hasim.dsp import stft` imports `hasim.dsp.stft`."""
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


@cache
def _inside() -> tuple[tuple[Import, str], ...]:
    """Imports of hasim by hasim, those for types included, with the module that is imported."""
    inside = []
    for found in _imports():
        root, _, name = found.name.partition(".")
        if root == "hasim":
            while name and name not in _modules():
                name = name.rpartition(".")[0]
            inside.append((found, name or "__init__"))
    return tuple(inside)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _is_top(module: str) -> bool:
    return module in ("__init__", "__main__")


def test_the_source_is_read_at_all():
    assert len(_modules()) > 150
    assert any(found.name == "numpy" for found in _imports())
    assert any(found.early for found in _imports())
    assert any(not found.early for found in _imports())


def test_nothing_is_loose_at_the_top():
    assert {_package(module) for module in _modules()} == {*ORDER, "__init__", "__main__"}
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == {
        "__init__.py",
        "__main__.py",
        "py.typed",
    }


def test_tests_mirror_the_packages():
    folders = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} <= set(ORDER)


def test_imports_point_down():
    rank = {package: place for place, package in enumerate(ORDER)}
    wrong = [
        str(found)
        for found, module in _inside()
        if not _is_top(found.module)
        and (_is_top(module) and _package(found.module) != "cli")
        | (not _is_top(module) and rank[_package(module)] < rank[_package(found.module)])
    ]
    assert wrong == []


def _circle(needs: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_files_make_no_circle():
    """Late imports and those for types count."""
    needs: dict[str, set[str]] = {module: set() for module in _modules()}
    for found, module in _inside():
        if module != found.module:
            needs[found.module].add(module)
    assert _circle(needs) == []


def test_folders_make_no_circle():
    """What a folder's files import, without the folders that it lies in or that lie in it."""
    folder = {name: path.parent.relative_to(PACKAGE) for name, path in _modules().items()}
    needs: dict[str, set[str]] = {str(path): set() for path in folder.values()}
    for found, module in _inside():
        own, other = folder[found.module], folder[module]
        if own != other and own not in other.parents and other not in own.parents:
            needs[str(own)].add(str(other))
    assert _circle(needs) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_comes_in_by_its_packages(library):
    wrong = [
        str(found)
        for found in _imports()
        if found.name.partition(".")[0] == library
        and _package(found.module) not in LIBRARIES[library]
    ]
    assert wrong == []


def test_only_known_libraries_come_in():
    known = EARLY | set(LIBRARIES)
    wrong = [str(found) for found in _imports() if found.name.partition(".")[0] not in known]
    assert wrong == []


def test_heavy_libraries_come_late():
    wrong = []
    for found in _imports():
        library = found.name.partition(".")[0]
        if found.early and not found.for_types and library not in EARLY:
            at_home = AT_HEAD.get(library) == _package(found.module)
            wrong += [] if at_home else [str(found)]
    assert wrong == []


def test_what_carries_torch_comes_late_as_well():
    """A module that imports torch at its head is imported early in `networks` alone."""
    heavy = {found.module for found in _imports() if found.early and found.name[:5] == "torch"}
    early = [(found, m) for found, m in _inside() if found.early and not found.for_types]
    while grown := {found.module for found, module in early if module in heavy} - heavy:
        heavy |= grown
    assert [module for module in heavy if _package(module) != "networks"] == []


def test_no_file_is_too_long():
    lines = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lines.items() if n > MAX_LINES} == {}
    assert {name: n for name, n in lines.items() if name[:4] == "cli/" and n > MAX_CLI_LINES} == {}
