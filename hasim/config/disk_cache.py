"""Arrays that were expensive to compute, kept on disk under the hash of everything they depend on.

A key names the inputs and whatever computes the result from them.
"""

from __future__ import annotations

import hashlib
import json
import os
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
"""Above this, the files that have not been used for longest go."""

Arrays = dict[str, ndarray]


def fetch(key: Any, compute: Callable[[], Arrays], folder: Path | None = None) -> Arrays:
    """The arrays stored under `key` (anything that JSON can say), or else what `compute` returns.

    `folder` None: the user's cache folder. A file that is damaged is computed again; a folder that
    cannot be written is as good as an empty one. Several processes may ask for the same key at
    once: a file appears whole or not at all.
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
    """Where the operating system wants caches of this user."""
    from platformdirs import user_cache_path

    return user_cache_path("hasim", appauthor=False)


def content_hash(key: Any) -> str:
    """SHA-256 of the JSON text of `key`, in hexadecimal digits."""
    text = json.dumps(key, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of what a file contains: the way to name a file in a key."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Arrays | None:
    try:
        # every checksum first: numpy trusts the sizes that a file claims
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return None
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return None
    with suppress(OSError):
        os.utime(path)  # the age of a file is the time since it was last used
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    # A cache that cannot be written does without.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Waiting for the disk takes longer than many a result; `_read` finds what a power cut
        # leaves of it.
        with whole_file(path, durable=False) as unfinished:
            np.savez(unfinished, allow_pickle=False, **arrays)
        _make_room(path.parent)


def _make_room(folder: Path) -> None:
    files = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process makes room too
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
