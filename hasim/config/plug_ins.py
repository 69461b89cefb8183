"""Parts from other packages, found by entry point: node algorithms, links, codecs, networks,
metrics."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

GROUPS = ("hasim.nodes", "hasim.links", "hasim.codecs", "hasim.networks", "hasim.metrics")


@cache
def plug_ins(group: str, name_of: Callable[[Any], str]) -> dict[str, Any]:
    """The classes or objects of an entry-point group by `name_of(one)`.

    One that cannot be loaded, or that has no such name, costs one warning.
    """
    found: dict[str, Any] = {}
    for entry in entry_points(group=group):
        try:
            plug_in = entry.load()
            found.setdefault(name_of(plug_in), plug_in)
        except Exception as error:
            warnings.warn(f"plug-in {entry.name} ({entry.value}): {error!r}", stacklevel=2)
    return found
