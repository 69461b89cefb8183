"""What runs can share: scenes, timelines, trained masks and finished rows, under the hash of all
they depend on.

All but rows are arrays in files (see `config.disk_cache`), and those used last stay in memory; rows
are in one SQLite file. Every key holds the hash of the code that matters for it (see
`experiment.identity`), so a changed program never finds old results. Bounded in size, safe with
several processes, and no pickle anywhere.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy import ndarray

from hasim.acoustics.scene import Image, Scene
from hasim.config.disk_cache import Arrays, content_hash, default_folder, fetch
from hasim.config.records import packed, unpacked
from hasim.experiment.identity import (
    MASKS,
    SCENE,
    TIMELINE,
    code_hash,
    content,
    foreign_code,
    untraceable,
)
from hasim.experiment.run import mask_source, render_scene, simulate_time
from hasim.experiment.scenario import Scenario
from hasim.networks.contract import MaskEstimator, Role
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.simulation.timeline import Deliveries, Timeline

MAX_MEMORY_BYTES = 256 * 2**20
"""Arrays that each process keeps in memory."""
MAX_ROWS = 200_000
"""About 4 kB each."""


def folder_of_sweeps() -> Path:
    """Where shared parts are kept by default."""
    return default_folder() / "sweeps"


def scene(scenario: Scenario, folder: Path) -> Scene:
    """`experiment.run.render_scene`, or what it gave before for the same scene, seed and length."""
    if untraceable(scenario.scene):
        return render_scene(scenario)
    arrays = _shared(scene_key(scenario), lambda: packed(render_scene(scenario)), folder)
    return unpacked(arrays, _RECORDS)


def scene_key(scenario: Scenario) -> dict[str, Any]:
    """All that a scene depends on."""
    return {
        "what": "scene",
        "code": [code_hash(*SCENE), *foreign_code(scenario.scene)],
        "scene": content(scenario.scene),
        "seed": scenario.seed,
        "samples": scenario.samples,
        "sample_rate_hz": scenario.sample_rate_hz,
    }


def timeline(scenario: Scenario, folder: Path) -> Timeline:
    """`experiment.run.simulate_time`, or what it gave before for a scenario with the same programs,
    devices, link, playout, seed and length."""
    parts = (scenario.devices, scenario.link, scenario.playout)
    if untraceable(parts):
        return simulate_time(scenario)
    key = {
        "what": "timeline",
        "code": [code_hash(*TIMELINE), *foreign_code(parts)],
        "programs": repr(scenario.programs),
        "front_end": content(scenario.front_end),
        "parts": content(parts),
        "seed": scenario.seed,
        "samples": scenario.samples,
        "hop_ns": scenario.hop_ns,
    }
    return unpacked(_shared(key, lambda: packed(simulate_time(scenario)), folder), _RECORDS)


def masks(scenario: Scenario, scene: Scene, timeline: Timeline, folder: Path) -> MaskEstimator:
    """`experiment.run.mask_source`, or what trained networks gave before for the same inputs.

    What the networks get of the other ear has come over the link, so runs with different links
    share its masks only where the same arrived. Weights are read when a mask is not known.
    """
    spec = scenario.algorithm
    trained: tuple[Role, ...] = ()
    if isinstance(spec, MaskDrivenNode):
        trained = spec.trained_roles(scenario.front_end, scenario.link.codec)
    if not trained:
        # An oracle's masks take less time to make than to read; nothing says when a network of
        # one's own has changed.
        return mask_source(scenario, scene, timeline)
    common = {
        "what": "masks",
        "code": code_hash(*MASKS),
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


# What of an algorithm makes no difference to what a network answers to given inputs.
_AFTER_THE_MASKS = {
    *("kind", "oracle_mask", "spare_groups", "filter", "rank", "mu", "covariance"),
    *("exchange", "concealment", "fade", "learn_from"),
}


def _array_hash(array: ndarray) -> list[Any]:
    return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


class RowCache:
    """Finished rows as text. Where the file cannot be read or written, nothing is kept."""

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
        """The text under a key; None where there is none, or where it is damaged."""
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
        """Keep a text; beyond `MAX_ROWS` the oldest are removed."""
        if self._connection is None:
            return
        try:
            put = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)"
            newest = self._connection.execute(put, (key, row, _digest(row))).lastrowid or 0
            self._connection.execute("DELETE FROM rows WHERE rowid <= ?", (newest - MAX_ROWS,))
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        """Close the file; from now on nothing is found and nothing kept."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# ------------------------------------------------------------------------------- arrays in memory

_recent: OrderedDict[str, Arrays] = OrderedDict()
# A worker of a cluster may have several threads.
_recent_lock = threading.Lock()


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
