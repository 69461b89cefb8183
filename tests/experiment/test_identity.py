"""What a result is known by: scenario, contents of files, code; and nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hasim
from hasim.acoustics.audio_file import wav_bytes
from hasim.config import disk_cache
from hasim.experiment import identity as identities
from hasim.experiment.identity import code_of, content, identity, part_hash, untraceable
from hasim.experiment.run import run
from hasim.experiment.save import folder_name, save
from hasim.experiment.scenario import Scenario, from_mapping
from hasim.networks import pretrained, registry
from hasim.networks.contract import NetworkCost
from hasim.networks.registry import NetworksSpec
from hasim.nodes import Enhanced, MnTango, Passthrough

PACKAGE = Path(hasim.__file__).parent
SHORT = {"duration_s": 0.5, "metrics": ["si_sdr"], "scene": {"room": {"t60_s": 0}}}


@pytest.fixture
def recording(tmp_path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(_noise(1))
    return path


def _noise(seed: int) -> bytes:
    return wav_bytes(np.random.default_rng(seed).normal(0, 0.1, 16_000), 16_000, "PCM_16")


def _with(recording: Path) -> Scenario:
    source = {"kind": "file", "path": str(recording)}
    scene = SHORT["scene"] | {"target": {"source": source}}
    return from_mapping(SHORT | {"scene": scene, "algorithm": {"kind": "passthrough"}})


# --- the scenario and its files -------------------------------------------------------------------


def test_a_name_makes_no_difference_all_else_does():
    scenario = Scenario()
    assert identity(scenario.model_copy(update={"name": "other"})) == identity(scenario)
    for change in ({"seed": 1}, {"duration_s": 4.0}, {"algorithm": {"mu": 2}}):
        assert identity(from_mapping(change)) != identity(scenario)


def test_a_file_is_what_it_contains(recording, tmp_path):
    before = identity(_with(recording))
    moved = tmp_path / "moved.wav"
    moved.write_bytes(recording.read_bytes())
    assert identity(_with(moved)) == before
    recording.write_bytes(_noise(2))
    assert identity(_with(recording)) != before


def test_the_folder_of_a_run_changes_with_its_recording_and_only_then(recording, tmp_path):
    folders = []
    for seed in (1, 1, 2):
        recording.write_bytes(_noise(seed))
        folders.append(save(run(_with(recording)), tmp_path / "runs"))
        if len(folders) == 1:
            first = {path.name: path.read_bytes() for path in folders[0].iterdir()}
    assert folders[0] == folders[1] != folders[2]
    assert {path.name: path.read_bytes() for path in folders[1].iterdir()} == first


def test_weights_are_what_they_contain(tmp_path, monkeypatch):
    shipped = from_mapping({"algorithm": {"kind": "mn_tango"}})
    named = from_mapping({"algorithm": {"kind": "mn_tango", "weights": "hasim:mn_tango"}})
    before = identity(shipped)
    assert identity(named) == before
    own = tmp_path / "mn_tango"
    own.mkdir()
    (file,) = (pretrained.FOLDER / "mn_tango").iterdir()
    (own / file.name).write_bytes(file.read_bytes())
    assert identity(from_mapping({"algorithm": {"weights": str(own)}})) == before
    (own / file.name).write_bytes(file.read_bytes() + b"\0")
    assert identity(from_mapping({"algorithm": {"weights": str(own)}})) != before
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    assert identity(shipped) != before


def test_a_missing_file_is_its_path(tmp_path):
    assert content(tmp_path / "none.wav") == {"path": str(tmp_path / "none.wav")}


def test_a_file_is_read_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    path = tmp_path / "large"
    path.write_bytes(b"one")
    first = disk_cache.file_hash(path)
    path.write_bytes(b"two")
    assert disk_cache.file_hash(path) != first  # at once, although its size is the same
    monkeypatch.setattr(disk_cache, "SETTLED_NS", -(10**18))
    second = disk_cache.file_hash(path)
    with monkeypatch.context() as closed:
        closed.setattr("builtins.open", None)
        assert disk_cache.file_hash(path) == second
    time.sleep(0.05)
    path.write_bytes(b"six")
    assert disk_cache.file_hash(path) not in (first, second)


# --- the code -------------------------------------------------------------------------------------


PRINT = """
from hasim.experiment import identity as i
from hasim.experiment.scenario import Scenario
print(i.identity(Scenario()), i.code_hash(*i.SCENE), i.code_hash(*i.TIMELINE))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """hasim's source, to be changed; what is large in it stays where it is."""
    copy = tmp_path_factory.mktemp("tree") / "hasim"
    large = (PACKAGE / "networks" / "weights", PACKAGE / "acoustics" / "recordings")
    for folder, names, files in os.walk(PACKAGE):
        here, there = Path(folder), copy / Path(folder).relative_to(PACKAGE)
        there.mkdir()
        for name in list(names):
            if here / name in large:
                (there / name).symlink_to(here / name)
            if here / name in large or name == "__pycache__":
                names.remove(name)
        for file in files:
            (there / file).write_bytes((here / file).read_bytes())
    return copy


def _hashes(tree: Path) -> list[str]:
    """Of a run, a scene and a timeline."""
    environment = {**os.environ, "PYTHONPATH": str(tree.parent)}
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tree,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("reporting/page.css", []),
        ("cli/app.py", []),
        ("studies/pareto.py", []),
        ("networks/training/trainer.py", []),
        ("dsp/wiener_filters.py", ["run", "scene", "timeline"]),
        ("acoustics/room.py", ["run", "scene"]),
        ("simulation/radio.py", ["run", "timeline"]),
        ("metrics/si_sdr.py", ["run"]),
        ("nodes/tango.py", ["run"]),
        ("config/spec.py", ["run", "scene", "timeline"]),
    ],
)
def test_only_code_that_matters_changes_a_hash(tree, file, changed):
    before = _hashes(tree)
    path = tree / file
    text = path.read_text()
    path.write_text(text + ("/* */\n" if path.suffix == ".css" else "# \n"))
    after = _hashes(tree)
    path.write_text(text)
    assert [
        name
        for name, old, new in zip(("run", "scene", "timeline"), before, after, strict=True)
        if old != new
    ] == changed


@pytest.mark.parametrize("parts", ["RUN", "SCENE", "TIMELINE", "MASKS"])
def test_what_counts_imports_nothing_that_does_not_count(parts):
    """Every package in a list imports only from the others of that list."""
    packages = [part for part in getattr(identities, parts) if "/" not in part]
    for package in packages:
        for path in sorted((PACKAGE / package).rglob("*.py")):
            if any(path.is_relative_to(PACKAGE / name) for name in identities.NO_PART_OF_A_RUN):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hasim."):
                    assert (node.module or "").split(".")[1] in packages, f"{path}: {node.module}"


def test_versions_of_the_arithmetic_count(monkeypatch):
    identities.code_hash.cache_clear()
    before = identity(Scenario())
    monkeypatch.setattr(identities, "version", lambda name: "0.0")
    identities.code_hash.cache_clear()
    assert identity(Scenario()) != before
    identities.code_hash.cache_clear()


# --- code from outside ----------------------------------------------------------------------------


class Quiet(Passthrough):
    """An algorithm from outside hasim: from this file."""

    def enhance(self, mics, exchange, masks):
        return Enhanced(0.5 * mics[:, 0])


def test_an_algorithm_from_outside_is_known_by_its_source():
    own, outside = Scenario(), Scenario(algorithm=Quiet())
    assert code_of(own) == identities.code_hash(*identities.RUN)[:12]
    assert code_of(outside).startswith(f"{code_of(own)}+")
    assert identity(outside) != identity(Scenario(algorithm=Passthrough()))
    assert untraceable(outside) == []


def test_a_class_without_a_source_is_said_to_be_one():
    namespace: dict = {"__name__": "made_up", "Passthrough": Passthrough}
    exec("class Loud(Passthrough):\n    def start(self):\n        return 1\n", namespace)
    scenario = Scenario(algorithm=namespace["Loud"]())
    assert untraceable(scenario) == ["made_up.Loud"]
    assert code_of(scenario).endswith("+unknown")
    before = identity(scenario)
    exec("class Loud(Passthrough):\n    def start(self):\n        return 2\n", namespace)
    assert identity(Scenario(algorithm=namespace["Loud"]())) != before


def test_all_of_a_package_counts(tmp_path):
    """A helper beside the module of the class, and a file of numbers."""
    package = tmp_path / "quiet_package"
    package.mkdir()
    (package / "__init__.py").write_text("from quiet_package.node import Quiet\n")
    (package / "helper.py").write_text("GAIN = 0.5\n")
    (package / "node.py").write_text(
        "from hasim.nodes import Passthrough\nfrom quiet_package.helper import GAIN\n"
        "class Quiet(Passthrough):\n    kind: str = 'quiet'\n"
    )
    code = (
        "from quiet_package import Quiet; from hasim.experiment.scenario import Scenario;"
        "from hasim.experiment.identity import identity;"
        "print(identity(Scenario().model_copy(update={'algorithm': Quiet()})))"
    )

    def said() -> str:
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE.parent}"}
        return subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        ).stdout

    before = said()
    assert said() == before
    (package / "helper.py").write_text("GAIN = 0.4\n")
    after = said()
    assert after != before
    (package / "gains.csv").write_text("0.5\n")
    assert said() != after


def test_hashing_is_fast():
    """Once files are known; the folder's name needs no more."""
    scenario = Scenario()
    identity(scenario)
    began = time.process_time()
    for _ in range(100):
        identity(scenario)
    assert (time.process_time() - began) / 100 < 0.02


def test_the_parts_of_a_hash_are_files_of_the_package():
    for part in (*identities.RUN, *identities.SCENE, *identities.TIMELINE, *identities.MASKS):
        assert (PACKAGE / part).exists()
        assert len(part_hash(part)) == 64
    for part in identities.NO_PART_OF_A_RUN:
        assert (PACKAGE / part).exists()


def test_the_hash_of_a_run_is_its_identity():
    scenario = from_mapping(SHORT | {"algorithm": {"masks": "oracle"}})
    result = run(scenario)
    assert result.hashes["scenario"] == identity(scenario)
    assert folder_name(result) == f"scenario-{identity(scenario)[:12]}"


class HalfMask:
    """A network of one's own with one weight."""

    cost = NetworkCost(macs=0, weight_bytes=4)

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def __call__(self, spectra):
        return np.full((len(spectra), *spectra.shape[2:]), self.gain)


def test_a_network_from_outside_is_known_by_its_source_and_its_weights(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})

    def with_network(network: object) -> Scenario:
        return Scenario(algorithm=MnTango(networks=NetworksSpec(mn_dnn=network)))

    half = with_network(HalfMask(0.5))
    assert "+" in code_of(half)
    assert untraceable(half) == []
    assert identity(with_network(HalfMask(0.5))) == identity(half)
    assert identity(with_network(HalfMask(0.4))) != identity(half)
    sealed = HalfMask(0.5)
    sealed.gain_of = lambda: 0.5
    (name,) = untraceable(with_network(sealed))
    assert name.endswith("HalfMask")
