"""Dataclasses of arrays as named arrays and back, for a cache or a NumPy archive (`.npz`).

`outline`, one of the arrays, is JSON text that says how the others make up the record. Nothing is
pickled, so reading a file never runs code.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.config.disk_cache import Arrays
from hasim.config.spec import InputError

Classes = Mapping[str, type]
"""Class name -> class: the dataclasses that `unpacked` may make."""


def packed(record: Any) -> Arrays:
    """A dataclass, and those in it, as arrays.

    Raises TypeError for a value that is no array, dataclass, dict, tuple, number, text or None.
    """
    arrays: Arrays = {}
    outline = json.dumps(_outline(record, arrays)).encode()
    return {"outline": np.frombuffer(outline, dtype=np.uint8)} | arrays


def unpacked(arrays: Mapping[str, ndarray], classes: Classes) -> Any:
    """The record that `packed` was given.

    Raises KeyError, TypeError or ValueError for arrays that it did not make.
    """
    return _rebuilt(json.loads(arrays["outline"].tobytes()), arrays, classes)


def npz_bytes(record: Any) -> bytes:
    """A record as a compressed NumPy archive; equal records give equal bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **packed(record))
    return content.getvalue()


def read_npz(path: Path, classes: Classes) -> Any:
    """The record in an archive that `npz_bytes` made.

    Raises InputError: no such file, or a damaged one.
    """
    try:
        # Every checksum first: numpy trusts the sizes that a file claims.
        with zipfile.ZipFile(path) as file:
            if (name := file.testzip()) is not None:
                raise ValueError(f"wrong checksum of {name}")
        with np.load(path, allow_pickle=False) as file:
            return unpacked(dict(file), classes)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError) as error:
        raise InputError(f"{path}: damaged ({error})") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error})") from error


def _outline(value: Any, arrays: Arrays) -> Any:
    """A value as JSON: [kind, content]; arrays by their names."""
    if isinstance(value, ndarray):
        arrays[f"array_{len(arrays)}"] = value
        return ["array", f"array_{len(arrays) - 1}"]
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: getattr(value, field.name) for field in fields(value)}
        return [type(value).__name__, _outline(own, arrays)]
    if isinstance(value, dict):
        return ["dict", [[name, _outline(item, arrays)] for name, item in value.items()]]
    if isinstance(value, tuple):
        return ["tuple", [_outline(item, arrays) for item in value]]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return ["plain", value]
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _rebuilt(outline: Any, arrays: Mapping[str, ndarray], classes: Classes) -> Any:
    kind, content = outline
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {name: _rebuilt(item, arrays, classes) for name, item in content}
    if kind == "tuple":
        return tuple(_rebuilt(item, arrays, classes) for item in content)
    if kind == "plain":
        return content
    return classes[kind](**_rebuilt(content, arrays, classes))
