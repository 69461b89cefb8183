"""Paths in a Spec: where relative ones start, and whether the files are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hasim.config.diagnostics import find
from hasim.config.similar import similar_file
from hasim.config.spec import Spec
from hasim.config.yaml_reader import Problem, YamlNode


def rooted(value: Any, folder: Path, root: YamlNode, key: tuple[str, ...] = ()) -> Any:
    """A Spec whose relative paths start at the folder of the file in which they were written.

    `root` are the values the Spec was made of, with their places; paths that were written in no
    file (`--set`) start at `folder`. `key` is where `value` is in the Spec.
    """
    if isinstance(value, Path):
        node, depth = find(root, key)
        in_file = depth == len(key) and node.place.line > 0
        start = Path(os.path.abspath(node.place.file)).parent if in_file else folder
        return Path(os.path.normpath(start / value))
    if isinstance(value, tuple):
        return tuple(
            rooted(item, folder, root, (*key, str(number))) for number, item in enumerate(value)
        )
    if isinstance(value, Spec):
        changed = {}
        for name in type(value).model_fields:
            old = getattr(value, name)
            new = rooted(old, folder, root, (*key, name))
            if new != old:
                changed[name] = new
        return value.model_copy(update=changed) if changed else value
    return value


def missing_files(spec: Spec, root: YamlNode) -> Iterator[Problem]:
    """A Problem for each path in a Spec, made of the values `root`, that is no file.

    Weights may be a folder. Preset files are not looked for: their values are in the Spec.
    """
    for key, path in paths(spec):
        is_folder_of_weights = key[-1] == "weights" and path.is_dir()
        if key[-1] != "preset" and not path.is_file() and not is_folder_of_weights:
            node, _ = find(root, key)
            wrong = "a folder, not a file" if path.is_dir() else "no such file"
            yield Problem(node.place, ".".join(key), wrong, str(path), similar_file(path))


def paths(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Every path in a Spec, with its key."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from paths(item, (*key, str(index)))
    elif isinstance(value, Spec):
        for name in type(value).model_fields:
            yield from paths(getattr(value, name), (*key, name))
