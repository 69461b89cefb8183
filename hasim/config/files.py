"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def csv_bytes(columns: Mapping[str, Iterable[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def json_bytes(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()


def _written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def swap_in(unfinished: Path, folder: Path, aside: Path) -> None:
    """Rename `unfinished` to `folder`; what stood there is kept aside until that has worked."""
    try:
        while True:
            try:
                unfinished.rename(folder)
                break
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(FileNotFoundError):  # another run has just replaced it
                folder.rename(aside)
    except OSError:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # folders cannot be opened elsewhere
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """A file that is there whole, or as it was before."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
