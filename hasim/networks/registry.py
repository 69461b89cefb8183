"""Mask networks of one's own, by name: entry points of other packages, and objects from Python.

A package registers a network (an object, see `contract.MaskNetwork`) under the group
`hasim.networks`; `register` takes one from the program that is running. A scenario names it in
`algorithm.networks`.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import re
import secrets
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy import ndarray
from pydantic import PlainValidator, WithJsonSchema

from hasim.config.diagnostics import close_match
from hasim.config.spec import InputError, Spec
from hasim.networks.contract import MaskEstimator, MaskNetwork, NetworkCost, Role, mask_problem
from hasim.networks.steps import masks_in_steps

GROUP = "hasim.networks"

_registered: dict[str, MaskNetwork] = {}


def names() -> list[str]:
    """All networks that a scenario may name."""
    return sorted({*_registered, *(entry.name for entry in entry_points(group=GROUP))})


def register(network: MaskNetwork) -> str:
    """Make a network known in this process; returns the name that a scenario calls it by.

    The name holds a hash of what the network is (its pickle and the source of its class), so that
    other networks have other names. ValueError for what is no network.
    """
    _refuse_others(network, repr(network))
    label = getattr(network, "__name__", type(network).__name__)
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', label)}-{_digest(network)}"
    _registered[name] = network
    return name


def find(name: str) -> MaskNetwork:
    """The network of a name. ValueError where there is none, or where it cannot be loaded."""
    return _registered[name] if name in _registered else _loaded(name)


@cache
def _loaded(name: str) -> MaskNetwork:
    for entry in entry_points(group=GROUP, name=name):
        try:
            network = entry.load()
        except Exception as error:
            raise ValueError(f"{name} ({entry.value}) cannot be loaded, {error!r}") from error
        _refuse_others(network, f"{name} ({entry.value})")
        return network
    known = names()
    advice = close_match(name, known) or (
        f"registered are {', '.join(known)}" if known else "no package registers any"
    )
    raise ValueError(f"no network of the name {name!r}, {advice}")


def _refuse_others(network: Any, label: str) -> None:
    if isinstance(network, type):
        raise ValueError(f"{label} is a class, but must be an object: a mask network itself")
    if not callable(network) or not isinstance(getattr(network, "cost", None), NetworkCost):
        raise ValueError(
            f"{label} is no mask network: it must be callable and have a cost (NetworkCost)"
        )


def _digest(network: MaskNetwork) -> str:
    """Of the content; of nothing but chance where a network has no content to be read."""
    try:
        of = network if inspect.isfunction(network) else type(network)
        source = Path(inspect.getsourcefile(of) or "").read_bytes()
        return hashlib.sha256(source + pickle.dumps(network)).hexdigest()[:8]
    except Exception:
        # No source, or something in it that has no pickle: a lambda, an open file.
        return secrets.token_hex(4)


def _name(value: Any) -> str | None:
    """A name that is known; the name of an object."""
    if value is None:
        return None
    if isinstance(value, str):
        find(value)
        return value
    return register(value)


NetworkName = Annotated[
    str | None,
    PlainValidator(_name),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}),
]


class NetworksSpec(Spec):
    """Mask networks of one's own in place of the trained ones or of the oracle, by their names.

    A network is registered by a package (entry point `hasim.networks`) or from Python. It brings
    its own cost: `groups`, `precision`, `weights` say nothing about it.
    """

    sn_dnn: NetworkName = None
    """Single-node network: sees the ear's own signal; null: as `masks` says."""
    mn_dnn: NetworkName = None
    """Multi-node network: sees the ear's own signal and the partner's; null: as `masks` says."""

    def names(self) -> dict[Role, str]:
        """The names given, by role."""
        given: dict[Role, str | None] = {"sn_dnn": self.sn_dnn, "mn_dnn": self.mn_dnn}
        return {role: name for role, name in given.items() if name is not None}


def estimator(
    chosen: Mapping[Role, str],
    stepped: ndarray | None = None,
    restarted: ndarray | None = None,
) -> MaskEstimator:
    """Masks of one's own networks, given by their names; `stepped` and `restarted` (ear, frame) as
    in `masks_in_steps`.

    InputError, from the estimator, for a network that raises or whose masks are no masks.
    """

    def masks(network: Role, *spectra: ndarray) -> ndarray:
        name = chosen[network]
        channels = np.stack(spectra, axis=1)

        def run(some: ndarray) -> ndarray:
            label = f"algorithm.networks.{network}: {name}"
            try:
                made = find(name)(some)
            except Exception as error:
                raise InputError(f"{label} raised {error!r}") from error
            ears, _, bins, frames = some.shape
            if problem := mask_problem(made, (ears, bins, frames)):
                raise InputError(f"{label}: {problem}")
            return made

        return masks_in_steps(run, channels, stepped, restarted)

    return masks
