"""Arrays that were expensive to compute, kept on disk under the hash of all that they depend on.

A key names the inputs and the code that computes the result from them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.config.files import whole_file

MAX_BYTES = 10**9
"""Size of a folder; above it, the files that were not used for longest are deleted."""
SETTLED_NS = 2_000_000_000
"""A file that has not been changed for so long can be recognised by its times."""

Arrays = dict[str, ndarray]


def fetch(key: Any, compute: Callable[[], Arrays], folder: Path | None = None) -> Arrays:
    """The arrays stored under `key`, or else what `compute` returns; `key` is a value of JSON.

    `folder` None: the user's cache folder. What a damaged file holds is computed again; in a folder
    that cannot be written nothing is kept. Several processes may ask for the same key at once.
    """
    folder = default_folder() if folder is None else folder
    path = folder / f"{content_hash(key)}.npz"
    stored = _read(path)
    if stored is not None:
        return stored
    arrays = compute()
    _write(path, arrays)
    return arrays


def default_folder() -> Path:
    """Where the operating system keeps caches of this user."""
    from platformdirs import user_cache_path

    return user_cache_path("hasim", appauthor=False)


def content_hash(key: Any) -> str:
    """SHA-256 of the JSON text of `key`, in hexadecimal digits."""
    text = json.dumps(key, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of the contents of a file, by which a key names it.

    A file is read once per process, and again when its size or its time of change is another.
    Raises OSError where it cannot be read.
    """
    status = os.stat(path)
    mark = (os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if (known := _file_hashes.get(mark)) is not None:
        return known
    began_ns = time.time_ns()
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    # Clocks of file systems are coarse: a file that is written once more right after it was
    # written may keep its times.
    if began_ns - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
        _file_hashes[mark] = found
    return found


_file_hashes: dict[tuple[str, int, int, int], str] = {}


def _read(path: Path) -> Arrays | None:
    try:
        # All checksums first: numpy believes the sizes that a file states.
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return None
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return None
    # the age of a file is the time since it was last used
    with suppress(OSError):
        os.utime(path)
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    # Where nothing can be written, nothing is kept.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Waiting for the disk would take longer than many results take; `_read` finds files that
        # a power cut damaged.
        with whole_file(path, durable=False) as unfinished:
            np.savez(unfinished, allow_pickle=False, **arrays)
        _make_room(path.parent)


def _make_room(folder: Path) -> None:
    """Delete what was not used for longest while the folder is larger than `MAX_BYTES`."""
    files = []
    for entry in os.scandir(folder):
        # another process may delete it at the same time
        with suppress(FileNotFoundError):
            if entry.name.endswith(".npz"):
                status = entry.stat()
                files.append((status.st_mtime_ns, status.st_size, entry.path))
    excess = sum(size for _, size, _ in files) - MAX_BYTES
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        with suppress(FileNotFoundError):
            os.remove(path)
        excess -= size
