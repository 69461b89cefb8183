"""Values that are set from outside a scenario file, by dotted paths: `scene.noises.0.azimuth_deg`.

Every path of a scenario can be set, also those that the file leaves out. Setting a `kind` keeps the
keys of the old kind that the new one has as well; setting a `preset` replaces all values beside it.
Shallow paths are set first, `preset` and `kind` before their neighbours, in any order of the
settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hasim.config.diagnostics import Shape, close_match, entry_number
from hasim.config.presets import expand, names_preset
from hasim.config.yaml_reader import Place, Problem, YamlNode, node_of, read, shortened


class Override(NamedTuple):
    """One path and its new value."""

    path: tuple[str, ...]
    value: YamlNode


def parse(
    overrides: Mapping[str, Any] | Sequence[str], place: Place
) -> tuple[list[Override], list[Problem]]:
    """Overrides from `{"a.b": value}` or from `["a.b=yaml"]`, and the mistakes in them."""
    settings, problems = [], []
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            try:
                settings.append(Override(tuple(key.split(".")), node_of(value, place)))
            except ValueError as error:
                problems.append(Problem(place, shortened(key), str(error)))
        return settings, problems
    for text in overrides:
        key, equals, value_text = text.partition("=")
        if not equals or not key:
            wrong, right = "not a setting", "must be KEY=VALUE, for example algorithm.mu=2"
            problems.append(Problem(place, "", wrong, shortened(text), right))
            continue
        document = read(value_text, place.file, with_lines=False)
        for problem in document.problems:
            inner = f"{key}.{problem.key}" if problem.key else key
            problems.append(dataclasses.replace(problem, key=shortened(inner)))
        if document.root is not None and not document.problems:
            settings.append(Override(tuple(key.split(".")), document.root))
    return settings, problems


def apply(
    root: YamlNode, shape: Shape, settings: Iterable[Override], folder: Path | None = None
) -> tuple[YamlNode, list[Problem]]:
    """A copy of `root` with the settings made, and the mistakes in them.

    Paths of presets start at `folder` (None: the working directory).
    """
    problems: list[Problem] = []
    order = {"preset": 0, "kind": 1}
    for path, value in sorted(settings, key=lambda item: (len(item[0]), order.get(item[0][-1], 2))):
        if path[-1] == "preset" and names_preset(value):
            # The whole mapping is replaced.
            path = path[:-1]
            value = YamlNode({"preset": value}, value.place, keys={"preset": value.place})
        filled, wrong = expand(value, folder, path)
        problems += wrong
        try:
            root = _set(root, shape, path, 0, filled)
        except _Impossible as impossible:
            problems.append(impossible.problem)
    return root, problems


def value_at(values: Any, path: str) -> Any:
    """The value at a dotted path of plain mappings and lists; None where there is none.

    >>> value_at({"scene": {"noises": [{"snr_db": 0}]}}, "scene.noises.0.snr_db")
    0
    """
    for part in path.split("."):
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list) and part.isdecimal() and int(part) < len(values):
            values = values[int(part)]
        else:
            return None
    return values


class _Impossible(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def _set(
    node: YamlNode, shape: Shape, path: tuple[str, ...], depth: int, value: YamlNode
) -> YamlNode:
    """A copy of `node` in which `path[depth:]` is `value`."""
    if depth == len(path):
        return value
    part = path[depth]
    if isinstance(node.value, list):
        return _set_entry(node, shape, path, depth, value)
    if not isinstance(node.value, dict):
        raise _impossible(path[:depth], value, "a single value, it has no keys", node.printed())
    if part == "kind" and depth == len(path) - 1:
        return _set_kind(node, shape, value)
    shape = _chosen(node, shape)
    inner = shape.child(part)
    if inner is None:
        known = shape.known_keys()
        right = close_match(part, known) or f"known keys: {', '.join(known)}"
        raise _impossible(path[: depth + 1], value, "unknown key", value.printed(), right)
    child = node.value.get(part)
    if child is None:
        child = node_of(inner.schema.get("default"), value.place)
    items = {**node.value, part: _set(child, inner, path, depth + 1, value)}
    return YamlNode(items, node.place, keys={part: value.place, **node.keys})


def _set_entry(
    node: YamlNode, shape: Shape, path: tuple[str, ...], depth: int, value: YamlNode
) -> YamlNode:
    """A copy of the list `node` with one entry changed."""
    assert isinstance(node.value, list)
    entries = list(node.value)
    index = entry_number(path[depth], entries)
    inner = None if index is None else shape.child(index)
    if index is None or inner is None:
        right = f"must be a whole number from 0 to {len(entries) - 1}" if entries else ""
        got = shortened(repr(path[depth]))
        raise _impossible(path[: depth + 1], value, "no such entry", got, right)
    entries[index] = _set(entries[index], inner, path, depth + 1, value)
    return YamlNode(entries, node.place)


def _set_kind(node: YamlNode, shape: Shape, value: YamlNode) -> YamlNode:
    """A copy of the mapping `node` with another kind, without the keys that only the old kind has
    and without its preset.
    """
    assert isinstance(node.value, dict)
    items = {key: item for key, item in node.value.items() if key != "preset"}
    items["kind"] = value
    kinds = shape.kinds()
    if isinstance(value.value, str) and value.value in kinds:
        known = kinds[value.value].known_keys()
        items = {key: item for key, item in items.items() if key in known}
    return YamlNode(items, node.place, keys={**node.keys, "kind": value.place})


def _chosen(node: YamlNode, shape: Shape) -> Shape:
    """The shape of a mapping with its kind."""
    assert isinstance(node.value, dict)
    kinds = shape.kinds()
    if not kinds:
        return shape
    default = shape.schema.get("default", {}).get("kind", next(iter(kinds)))
    kind = node.value["kind"].value if "kind" in node.value else default
    return kinds.get(kind, shape) if isinstance(kind, str) else shape


def _impossible(
    path: tuple[str, ...], value: YamlNode, wrong: str, got: str, right: str = ""
) -> _Impossible:
    return _Impossible(Problem(value.place, shortened(".".join(path)), wrong, got, right))
