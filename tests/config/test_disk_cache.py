"""Arrays kept on disk: once computed, safe against damage, crowds and full or closed folders."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from hasim.config import disk_cache

KEY = {"made_by": "this", "size_m": (6.0, 4.5, 2.7)}


class Counted:
    """A computation that knows how often it ran."""

    def __init__(self, size: int = 10) -> None:
        self.runs = 0
        self.size = size

    def __call__(self) -> dict[str, np.ndarray]:
        self.runs += 1
        return {"full": np.arange(self.size) / 3, "direct": np.zeros((2, 2, 3))}


def test_computes_once_and_returns_the_same_bytes(tmp_path: Path) -> None:
    compute = Counted()
    first = disk_cache.fetch(KEY, compute, tmp_path / "new" / "folder")
    second = disk_cache.fetch(KEY, compute, tmp_path / "new" / "folder")
    assert compute.runs == 1
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].tobytes() == second[name].tobytes()
        assert first[name].shape == second[name].shape


def test_another_key_is_another_content(tmp_path: Path) -> None:
    compute = Counted()
    for size_m in ((6.0, 4.5, 2.7), (6.0, 4.5, 2.7000000000000006)):
        disk_cache.fetch(KEY | {"size_m": size_m}, compute, tmp_path)
    assert compute.runs == 2
    assert disk_cache.content_hash({"a": 1, "b": 2}) == disk_cache.content_hash({"b": 2, "a": 1})


def test_a_file_is_named_by_what_it_contains(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    (tmp_path / "c").write_bytes(b"two")
    a, b, c = (disk_cache.file_hash(tmp_path / name) for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_damaged_file_is_computed_again(tmp_path: Path, place: float) -> None:
    compute = Counted(1000)
    disk_cache.fetch(KEY, compute, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damages = {
        "turned bits": bytearray(whole),
        "cut off": whole[: int(place * len(whole))],
    }
    damages["turned bits"][int(place * len(whole))] ^= 0xFF
    for damage in damages.values():
        path.write_bytes(damage)
        again = disk_cache.fetch(KEY, compute, tmp_path)
        assert again["full"].tobytes() == (np.arange(1000) / 3).tobytes()
    path.write_bytes(whole)


def test_a_file_that_claims_terabytes_is_not_believed(tmp_path: Path) -> None:
    compute = Counted(1000)
    disk_cache.fetch(KEY, compute, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    claim = whole.replace(b"(1000,), }          ", b"(99999999999999,), }")
    assert len(claim) == len(whole) != 0
    assert claim != whole
    path.write_bytes(claim)
    assert disk_cache.fetch(KEY, compute, tmp_path)["full"].shape == (1000,)
    assert compute.runs == 2


def test_never_a_pickle(tmp_path: Path) -> None:
    """An array of objects would run code when loaded: it counts as damage."""
    compute = Counted()
    disk_cache.fetch(KEY, compute, tmp_path)
    (path,) = tmp_path.iterdir()
    with open(path, "wb") as file:
        np.savez(file, full=np.array([{"an": "object"}], dtype=object))
    assert disk_cache.fetch(KEY, compute, tmp_path)["full"].dtype == float
    assert compute.runs == 2


def test_works_without_a_folder_to_write_to(tmp_path: Path) -> None:
    compute = Counted()
    (tmp_path / "file").write_text("in the way")
    for _ in range(2):
        assert disk_cache.fetch(KEY, compute, tmp_path / "file" / "folder")["full"].size == 10
    assert compute.runs == 2


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert disk_cache.fetch(KEY, Counted(), tmp_path)["full"].size == 10
    assert list(tmp_path.iterdir()) == []


def test_the_longest_unused_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted(1000)  # 8 kB and a little
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 30_000)
    paths = {}
    for number in range(3):
        before = set(tmp_path.iterdir())
        disk_cache.fetch([number], compute, tmp_path)
        (paths[number],) = set(tmp_path.iterdir()) - before
        os.utime(paths[number], (number, number))
    disk_cache.fetch([0], compute, tmp_path)  # used again
    disk_cache.fetch([3], compute, tmp_path)
    assert not paths[1].exists()
    assert paths[0].exists()
    assert paths[2].exists()
    assert compute.runs == 4


def _in_a_crowd(folder: Path, results: multiprocessing.Queue) -> None:
    for number in range(20):
        arrays = disk_cache.fetch([number], Counted(2000), folder)
        results.put(bool(np.array_equal(arrays["full"], np.arange(2000) / 3)))


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    crowd = [context.Process(target=_in_a_crowd, args=(tmp_path, results)) for _ in range(3)]
    for process in crowd:
        process.start()
    answers = [results.get(timeout=900) for _ in range(60)]
    for process in crowd:
        process.join()
    assert all(answers)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npz"] * 20


def test_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **_: tmp_path / name)
    assert disk_cache.default_folder() == tmp_path / "hasim"
    compute = Counted()
    for _ in range(2):
        disk_cache.fetch(KEY, compute)
    assert compute.runs == 1
