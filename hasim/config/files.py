"""Files and folders that are written whole or not at all, and are on the disk when a call returns.

Everything is written beside its place under another name, flushed to the disk (fsync), and then
renamed into place. A process that is killed leaves what was there before.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it holds `content`, or what it held before.

    Raises OSError where it cannot be written.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends without an exception.

    For libraries that write files by name. The path has the ending of `path`.
    """
    unfinished = path.with_name(f".{_unique()}.{path.name}")
    try:
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder whose content `fill` writes; an earlier one is replaced when all is there.

    Raises OSError where it cannot be written; then nothing has changed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = _unique()
    unfinished = folder.with_name(f".{folder.name}.{mark}.new")
    try:
        unfinished.mkdir()
        fill(unfinished)
        for path in sorted(unfinished.rglob("*")):
            _flush(path)
        _flush(unfinished)
        _swap_in(unfinished, folder, folder.with_name(f".{folder.name}.{mark}.old"))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def csv_bytes(columns: Mapping[str, Iterable[Any]]) -> bytes:
    """A table as CSV; all columns have the same length."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """An object as indented JSON with sorted keys; NaN and infinities raise ValueError."""
    text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()


def _unique() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    if path.is_dir() and os.name != "posix":
        return  # folders cannot be opened elsewhere
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap_in(unfinished: Path, folder: Path, aside: Path) -> None:
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
            # another process may have just replaced it
            with suppress(FileNotFoundError):
                folder.rename(aside)
    except OSError:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    _flush(folder.parent)
