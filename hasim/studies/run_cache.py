"""What runs can share: scenes, timelines, trained masks and finished rows, under the hash of what
they came of.

All but rows are arrays in files (see `cache`), and those used last stay in memory; rows are in one
SQLite file. All keys hold the hash of hasim's own source and of the packages that do its
arithmetic, so a changed program never meets old results. Bounded in size, safe with several
processes, and no pickle anywhere.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from numpy import ndarray

from hasim.acoustics.scene import Image, Scene
from hasim.config.disk_cache import Arrays, content_hash, default_folder, fetch, file_hash
from hasim.config.records import packed, unpacked
from hasim.config.spec import Spec
from hasim.experiment.run import mask_source, play_time, render_scene
from hasim.experiment.scenario import Scenario
from hasim.networks.contract import MaskEstimator, Role
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.simulation.timeline import Deliveries, Timeline

MAX_MEMORY_BYTES = 256 * 2**20
"""Arrays kept in memory by each process."""
MAX_ROWS = 200_000
"""About 4 kB each."""
ARITHMETIC = ("numpy", "scipy", "pyroomacoustics", "simpy", "torch", "pystoi", "pesq")


def folder_of_sweeps() -> Path:
    """Where shared parts are kept if nobody says otherwise."""
    return default_folder() / "sweeps"


@cache
def code_hash() -> str:
    """Hexadecimal digest of all that turns a scenario into numbers: hasim's source and assets,
    packages, plug-ins."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    for name in ARITHMETIC:
        digest.update(f"{name} {_version(name)}\n".encode())
    for entry in sorted(entry_points(group="hasim.nodes"), key=lambda entry: entry.name):
        from_package = entry.dist.name if entry.dist else ""
        digest.update(f"{entry.name} {entry.value} {_version(from_package)}\n".encode())
    return digest.hexdigest()


def content(value: Any) -> Any:
    """A Spec as plain values in which every file is what it contains, not where it lies.

    A file that is not there is its path: whoever needs it will say so.
    """
    if isinstance(value, Path):
        if value.is_dir():  # of weights
            return {path.name: content(path) for path in sorted(value.glob("*.safetensors"))}
        try:
            return {"sha256": file_hash(value)}
        except OSError:
            return {"path": str(value)}
    if isinstance(value, Spec):
        return {name: content(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: content(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [content(item) for item in value]
    return value


def scene(scenario: Scenario, folder: Path, code: str) -> Scene:
    """`experiment.render_scene`, or what it gave before for the same scene, seed and duration."""
    key = scene_key(scenario, code)
    return unpacked(_shared(key, lambda: packed(render_scene(scenario)), folder), _RECORDS)


def scene_key(scenario: Scenario, code: str) -> dict[str, Any]:
    """All that a scene comes of."""
    return {
        "what": "scene",
        "code": code,
        "scene": content(scenario.scene),
        "seed": scenario.seed,
        "duration_s": scenario.duration_s,
        "sample_rate_hz": scenario.sample_rate_hz,
    }


def timeline(scenario: Scenario, folder: Path, code: str) -> Timeline:
    """`experiment.play_time`, or what it gave before for a scenario that differs in nothing that
    time knows of: sound, scores, and what an algorithm is beside its programs."""
    key = content(scenario)
    for part in ("name", "scene", "metrics", "scoring", "algorithm"):
        del key[part]
    key |= {"what": "timeline", "code": code, "programs": repr(scenario.programs)}
    return unpacked(_shared(key, lambda: packed(play_time(scenario)), folder), _RECORDS)


def masks(
    scenario: Scenario, scene: Scene, timeline: Timeline, folder: Path, code: str
) -> MaskEstimator:
    """`experiment.mask_source`, or what trained networks gave before for the same inputs.

    What the networks hear of the other ear has come over the link, so runs with different links
    share its masks only where the same arrived. Weights are read when a mask is not known.
    """
    spec = scenario.algorithm
    trained: tuple[Role, ...] = ()
    if isinstance(spec, MaskDrivenNode):
        trained = spec.trained_roles(scenario.front_end, scenario.link.codec)
    if not trained:
        # An oracle's masks are made faster than read; nothing says when a network of one's own has
        # changed.
        return mask_source(scenario, scene, timeline)
    common = {
        "what": "masks",
        "code": code,
        "networks": {k: v for k, v in content(spec).items() if k not in _AFTER_THE_MASKS},
        "front_end": content(scenario.front_end),
        "frames": [_array_hash(timeline.renewed), _array_hash(timeline.restarted)],
    }
    source: list[MaskEstimator] = []

    def kept(network: Role, *inputs: ndarray) -> ndarray:
        def computed() -> Arrays:
            if not source:
                source.append(mask_source(scenario, scene, timeline))
            return {"mask": source[0](network, *inputs)}

        if network not in trained:
            return computed()["mask"]
        key = common | {"network": network, "inputs": [_array_hash(given) for given in inputs]}
        return _shared(key, computed, folder)["mask"]

    return kept


# Of an algorithm, this makes no difference to what a network answers to given inputs.
_AFTER_THE_MASKS = {
    *("kind", "oracle_mask", "spare_groups", "filter", "rank", "mu", "covariance"),
    *("exchange", "concealment", "fade", "learn_from"),
}


def _array_hash(array: ndarray) -> list[Any]:
    return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


class RowCache:
    """Finished rows as text. A cache that cannot be read or written is as good as an empty one."""

    def __init__(self, folder: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(folder / "rows.sqlite", timeout=5, isolation_level=None)
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, row TEXT, digest TEXT)"
            )
        except (OSError, sqlite3.Error):
            self.close()

    def get(self, key: str) -> str | None:
        """The text under a key; None where there is none, or a damaged one."""
        if self._connection is None:
            return None
        try:
            found = self._connection.execute(
                "SELECT row, digest FROM rows WHERE key = ?", (key,)
            ).fetchone()
        except sqlite3.Error:
            return None
        return found[0] if found and _digest(found[0]) == found[1] else None

    def put(self, key: str, row: str) -> None:
        """Keep a text; beyond 200,000 the oldest go."""
        if self._connection is None:
            return
        try:
            put = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)"
            newest = self._connection.execute(put, (key, row, _digest(row))).lastrowid or 0
            self._connection.execute("DELETE FROM rows WHERE rowid <= ?", (newest - MAX_ROWS,))
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        """Do without from now on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def row_key(scenario: Scenario, code: str) -> str:
    """Under what the row of a scenario is kept; its name makes no difference."""
    parts = content(scenario)
    del parts["name"]
    return content_hash({"code": code, "scenario": parts})


# ------------------------------------------------------------------------------- arrays in memory

_recent: OrderedDict[str, Arrays] = OrderedDict()
_recent_lock = threading.Lock()  # a worker of a cluster may have several threads


def _shared(key: Any, compute: Callable[[], Arrays], folder: Path) -> Arrays:
    """From memory, else from disk, else computed."""
    name = f"{folder} {content_hash(key)}"
    with _recent_lock:
        if name in _recent:
            _recent.move_to_end(name)
            return _recent[name]
    arrays = fetch(key, compute, folder)
    with _recent_lock:
        _recent[name] = arrays
        while len(_recent) > 1 and sum(map(_size, _recent.values())) > MAX_MEMORY_BYTES:
            _recent.popitem(last=False)
    return arrays


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


_RECORDS = {record.__name__: record for record in (Scene, Image, Timeline, Deliveries)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
