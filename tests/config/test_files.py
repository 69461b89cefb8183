"""Files are whole or not there, and one place writes them."""

from __future__ import annotations

import ast
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import hasim
from hasim.config import files

OLD, NEW = b"old" * 10, b"new" * 100_000


@contextmanager
def full_disk() -> Iterator[None]:
    """Writing beyond the first 4 kB of a file fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _by_name(path: Path) -> None:
    with files.whole_file(path) as unfinished:
        np.save(unfinished, np.frombuffer(NEW, np.uint8))


def _not_durable(path: Path) -> None:
    with files.whole_file(path, durable=False) as unfinished:
        unfinished.write_bytes(NEW)


WRITERS: dict[str, Callable[[Path], None]] = {
    "content": lambda path: files.write_whole(path, NEW),
    "by name": _by_name,
    "not durable": _not_durable,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, writer):
    path = tmp_path / "file.npy"
    path.write_bytes(OLD)
    with full_disk(), pytest.raises(OSError, match=r"file\.npy'$") as caught:
        WRITERS[writer](path)
    assert caught.value.filename == str(path)
    assert caught.value.errno
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]
    WRITERS[writer](path)
    assert NEW in path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_folder_whole(tmp_path):
    def fill(unfinished: Path) -> None:
        (unfinished / "small").write_bytes(OLD)
        (unfinished / "large").write_bytes(NEW)

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "small").write_bytes(b"before")
    with full_disk(), pytest.raises(OSError, match="too large"):
        files.write_folder(folder, fill)
    assert (folder / "small").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [folder]
    files.write_folder(folder, fill)
    assert (folder / "large").read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [folder]


def test_an_interrupted_block_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def interrupted() -> None:
        with files.whole_file(path) as unfinished:
            unfinished.write_bytes(NEW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_folder_the_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/file'$"):
        files.write_whole(tmp_path / "nowhere" / "file", NEW)


INTO_A_NEW_FOLDER = {"experiment/save.py", "reporting/run_folder.py"}
"""They fill a folder of `write_folder`, which appears when it is whole."""


def _writes(node: ast.AST) -> bool:
    """Whether an expression writes a file otherwise than by `hasim.config.files`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="write_text" | "write_bytes")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name("os"), attr="replace" | "rename")):
            return True
        case ast.Call(func=ast.Name("open"), args=[file, ast.Constant(str(mode)), *_]):
            return "r" not in mode and ast.unparse(file) != "os.devnull"
        case ast.Call(func=ast.Attribute(attr="open"), args=[ast.Constant(str(mode)), *_]):
            return "r" not in mode
        case ast.Call(func=ast.Attribute(value=ast.Name("csv"), attr="writer" | "DictWriter")):
            return True
        case ast.Import(names=[ast.alias(name="tempfile")]):
            return True
    return False


def test_one_place_writes_files():
    package = Path(hasim.__file__).parent
    found = {
        f"{path.relative_to(package)}: line {node.lineno}"
        for path in package.rglob("*.py")
        if str(path.relative_to(package)) not in INTO_A_NEW_FOLDER | {"config/files.py"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _writes(node)
    }
    assert found == set()
