"""The one writer of files and folders: whole or not at all, and on the disk when a call returns.

Everything is written beside its place under another name, flushed to the disk (fsync), and then
renamed into place. After a full disk, a kill or a power cut the earlier content is still there.
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

    Raises OSError, with the name `path`, where it cannot be written.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def whole_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends without an exception.

    For libraries that write files by name. The path has the ending of `path`. With `durable` False
    the file is still whole after a crash of the process, but may be lost or damaged by a power cut:
    for files that are checked when read and can be made again.

    Raises OSError, with the name `path`, where it cannot be written.
    """
    unfinished = path.with_name(f".{_unique()}.{path.name}")
    try:
        yield unfinished
        if durable:
            _flush(unfinished)
        os.replace(unfinished, path)
    except OSError as error:
        # numpy gives no number for a full disk, and nobody knows the name of the unfinished file
        number, reason = error.errno or errno.EIO, error.strerror or str(error)
        raise OSError(number, reason, str(path)) from error
    finally:
        with suppress(OSError):
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


def csv_text(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as comma-separated values: a line of names, and one per row; None is empty.

    >>> csv_text(["ear", "snr_db"], [("left", 1.5), ("right", None)])
    'ear,snr_db\\nleft,1.5\\nright,\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """An object as indented JSON with sorted keys; NaN and infinities raise ValueError."""
    text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()


def _unique() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    # Windows cannot open folders.
    if path.is_dir() and os.name != "posix":
        return
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
