"""What a result is known by: the scenario, the contents of the files it names, and the code.

Run folders, rows of tables and entries of caches all use these hashes, so a result is found again
exactly where nothing that makes it has changed. Hashes are hexadecimal SHA-256.
"""

from __future__ import annotations

import hashlib
import inspect
import marshal
import pickle
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType
from typing import Any

from hasim.config.disk_cache import content_hash, file_hash
from hasim.config.spec import Spec
from hasim.experiment.scenario import Scenario
from hasim.metrics import catalogue
from hasim.networks import pretrained, registry
from hasim.networks.registry import NetworksSpec
from hasim.nodes.mask_driven import MaskDrivenNode

ROOT = Path(__file__).parents[1]
RUN = ("experiment", "nodes", "networks", "simulation", "metrics", "acoustics", "dsp", "config")
"""The packages that turn a scenario into numbers."""
SCENE = ("experiment/run.py", "acoustics", "dsp", "config")
"""What makes a scene: these packages import only from one another."""
TIMELINE = ("experiment/run.py", "simulation", "dsp", "config")
"""What makes a timeline out of programs, devices and a link."""
MASKS = ("experiment/run.py", "networks", "simulation", "dsp", "config")
"""What trained networks answer to given spectra."""
NO_PART_OF_A_RUN = (
    "networks/weights",
    "networks/training",
    "networks/export",
    "networks/quantization/calibration.py",
)
"""In these packages, but not used by a run; weights count where a scenario names them."""
LIBRARIES = ("numpy", "scipy", "pyroomacoustics", "simpy", "torch", "pystoi", "pesq", "lc3py")
"""Packages that do the arithmetic."""
UNTRACEABLE = "unknown"
"""Stands in `code_of` for a class whose source cannot be found."""


def identity(scenario: Scenario) -> str:
    """The hash of a result before it is made; the scenario's name makes no difference."""
    parts = content(scenario)
    del parts["name"]
    made_by = [code_hash(*RUN), *foreign_code(scenario)]
    return content_hash({"code": made_by, "scenario": parts})


def code_of(scenario: Scenario) -> str:
    """Twelve digits of the code that makes the result of a scenario: `"3f2a91c0d4e5"`; where
    classes from outside hasim take part, `"3f2a91c0d4e5+77aa01bc33de"` with twelve more of theirs.
    """
    own, others = code_hash(*RUN)[:12], foreign_code(scenario)
    if untraceable(scenario):
        return f"{own}+{UNTRACEABLE}"
    return f"{own}+{content_hash(others)[:12]}" if others else own


def foreign_code(value: Any) -> list[str]:
    """What a scenario, or a part of one, has from outside hasim: the names of the classes and
    functions, each with the hash of its module and package."""
    return sorted(f"{_name(one)} {_source(one) or _bytecode(one)}" for one in set(_foreign(value)))


def untraceable(value: Any) -> list[str]:
    """Names of what may change unseen in a scenario, or in a part of one: classes whose source
    cannot be found, and objects that are no Specs. What they make must not be kept for later."""
    unseen = {one for one in _foreign(value) if _source(one) is None} | set(_objects(value))
    return sorted(map(_name, unseen))


def content(value: Any) -> Any:
    """A Spec as values for JSON in which every file is the hash of what it contains.

    The place and the name of a file make no difference; a file that is not there is its path.
    Networks that come with hasim are the contents of their files.
    """
    if isinstance(value, Path):
        return _file_content(value)
    if isinstance(value, Spec):
        parts = {name: content(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, MaskDrivenNode) and value.masks == "trained":
            parts["weights"] = _file_content(_weights(value))
        if isinstance(value, NetworksSpec):
            parts |= {role: [name, _network_hash(name)] for role, name in value.names().items()}
        return parts
    if isinstance(value, Mapping):
        return {key: content(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [content(item) for item in value]
    if isinstance(value, _PLAIN):
        return value
    return {"class": _name(_class(value))}


def outline(value: Any) -> Any:
    """A Spec as values for JSON in which every file is its name: what it is, whatever is in it."""
    if isinstance(value, Path):
        return {"file": value.name}
    if isinstance(value, Spec):
        return {name: outline(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: outline(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [outline(item) for item in value]
    return content(value)


@cache
def code_hash(*parts: str) -> str:
    """The hash of packages of hasim, or of single files of them, and of the versions of the
    packages that do the arithmetic: `code_hash("dsp", "experiment/run.py")`."""
    versions = {name: _version(name) for name in LIBRARIES}
    return content_hash({"source": {part: part_hash(part) for part in parts}, "with": versions})


@cache
def part_hash(part: str) -> str:
    """The hash of a package of hasim or of a file in it, with everything that lies beside the
    Python files and that a run may use."""
    place = ROOT / part
    left_out = tuple(ROOT / name for name in NO_PART_OF_A_RUN)
    files = [place] if place.is_file() else _files(place)
    return _hash_of(ROOT, [file for file in files if not any(map(file.is_relative_to, left_out))])


def _foreign(value: Any) -> Iterator[Any]:
    """Classes and functions from outside hasim, and the classes that they inherit from."""
    if isinstance(value, Scenario):
        for name in value.metrics:
            yield from _foreign(catalogue.find(name).measure)
    if isinstance(value, NetworksSpec):
        for name in value.names().values():
            yield from _foreign(registry.find(name))
    if isinstance(value, Spec):
        for name in type(value).model_fields:
            yield from _foreign(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _foreign(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _foreign(item)
    own = _class(value)
    for one in own.__mro__ if isinstance(own, type) else (own,):
        root = str(one.__module__).partition(".")[0]
        if root == "__main__" or root not in _KNOWN:
            yield one


# Known by their versions or hashed as packages.
_KNOWN = {"hasim", "pydantic", *LIBRARIES, *sys.stdlib_module_names}


def _objects(value: Any) -> Iterator[Any]:
    """The classes of what a Spec holds that is neither a Spec, nor a function, nor plain data, and
    those of networks that cannot be pickled."""
    if isinstance(value, NetworksSpec):
        for name in value.names().values():
            if _network_hash(name) is None:
                yield type(registry.find(name))
    if isinstance(value, Spec):
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _objects(item)
    elif not isinstance(value, (*_PLAIN, Path, type, FunctionType)):
        yield type(value)


_PLAIN = (type(None), bool, int, float, str)


def _class(value: Any) -> Any:
    """The class of an object; a function or a class stands for itself."""
    while isinstance(value, partial):
        value = value.func
    return value if isinstance(value, (type, FunctionType)) else type(value)


def _name(one: Any) -> str:
    return f"{one.__module__}.{one.__qualname__}"


@cache
def _source(one: Any) -> str | None:
    """The hash of the module of a class and of the package it is in; None where there is no file.

    Found once per process: what was imported is what runs, whatever happens to the file later.
    """
    try:
        found = inspect.getsourcefile(one)
    except (TypeError, OSError):
        found = None
    if found is None or not (file := Path(found)).is_file():
        return None
    package = sys.modules.get(str(one.__module__).partition(".")[0])
    top = getattr(package, "__file__", None)
    if top is not None and hasattr(package, "__path__"):
        folder = Path(top).parent
        return _hash_of(folder, _files(folder))
    return _hash_of(file.parent, [file])


@cache
def _network_hash(name: str) -> str | None:
    """The hash of what a network of one's own holds, such as weights; None where it has no pickle.

    What it computes with them is in its source.
    """
    try:
        return hashlib.sha256(pickle.dumps(registry.find(name))).hexdigest()
    except Exception:
        return None


def _bytecode(one: Any) -> str:
    """The hash of what a class without source consists of, as far as it can be seen."""
    functions = [one] if isinstance(one, FunctionType) else vars(one).values()
    code = [marshal.dumps(f.__code__) for f in functions if isinstance(f, FunctionType)]
    return hashlib.sha256(b"".join(code)).hexdigest()


def _weights(spec: MaskDrivenNode) -> Path:
    if isinstance(spec.weights, Path):
        return spec.weights
    return pretrained.folder(getattr(spec, "kind", ""), spec.groups, spec.weights)


def _file_content(path: Path) -> Any:
    """A file as the hash of its content, a folder of weights as those of its files."""
    if path.is_dir():
        return {file.name: _file_content(file) for file in sorted(path.glob("*.safetensors"))}
    try:
        return {"sha256": file_hash(path)}
    except OSError:
        return {"path": str(path)}


def _files(folder: Path) -> list[Path]:
    """All files of a package, in a fixed order, but what Python and editors leave there."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _hash_of(folder: Path, files: list[Path]) -> str:
    return content_hash([[file.relative_to(folder).as_posix(), file_hash(file)] for file in files])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
