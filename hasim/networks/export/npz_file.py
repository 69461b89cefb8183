"""An integer network as arrays in one .npz file: every tensor, multiplier, table and step by name.

Names are paths into `IntegerNetwork`: "layers.0.input.weights", "layers.2.cell.levels.step". What
a network does not have is not in the file; "network" is the float network's Spec as JSON. The same
network gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy import ndarray

from hasim.networks.quantization.integer import IntegerNetwork

FORMAT_VERSION = 1


def arrays(network: IntegerNetwork) -> dict[str, ndarray]:
    """All of a network as arrays by name; single numbers have no axes."""
    return {"format_version": np.array(FORMAT_VERSION), **dict(_flat(network, ""))}


def to_bytes(network: IntegerNetwork) -> bytes:
    """The file of a network: as `np.savez_compressed` writes it, without the time of day."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays(network).items():
            one = io.BytesIO()
            np.lib.format.write_array(one, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), one.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def load(path: Path) -> IntegerNetwork:
    """The network of a file; ValueError where it is not one of ours, or not of this version."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an .npz file ({error})") from None
    version = found.pop("format_version", None)
    if version is None or int(version) != FORMAT_VERSION:
        raise ValueError(f"{path}: format_version must be {FORMAT_VERSION} (got {version})")
    try:
        network: IntegerNetwork = _built(IntegerNetwork, "", found)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not an integer network ({error})") from None
    return network


def _flat(value: Any, name: str) -> Iterator[tuple[str, ndarray]]:
    def below(key: object) -> str:
        return f"{name}.{key}" if name else str(key)

    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _flat(getattr(value, field.name), below(field.name))
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from _flat(one, below(number))
    elif isinstance(value, dict):
        yield name, np.array(json.dumps(value, sort_keys=True))
    elif value is not None:
        yield name, np.asarray(value)


def _built(kind: Any, name: str, found: dict[str, ndarray]) -> Any:
    """The value of a type from the arrays at and below its name."""

    def below(key: object) -> str:
        return f"{name}.{key}" if name else str(key)

    # A type or None.
    if get_origin(kind) is UnionType:
        there = any(key == name or key.startswith(f"{name}.") for key in found)
        return _built(get_args(kind)[0], name, found) if there else None
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        parts = {key: _built(hint, below(key), found) for key, hint in hints.items()}
        return kind(**parts)  # type: ignore[operator]
    if get_origin(kind) is tuple:
        heads = {key[len(name) + 1 :].partition(".")[0] for key in found if key.startswith(name)}
        return tuple(
            _built(get_args(kind)[0], below(number), found) for number in range(len(heads))
        )
    value = found[name]
    if get_origin(kind) is dict:
        return json.loads(str(value))
    return value if kind is ndarray else value.item()
