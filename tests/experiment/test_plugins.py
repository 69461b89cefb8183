"""Node algorithms from other packages: found by entry point; a broken one costs a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = """
from typing import Literal
from hasim.nodes import Passthrough

class Quiet(Passthrough):
    kind: Literal["quiet"] = "quiet"
    gain: float = 0.5
"""
SCENARIO = (
    "algorithm: {kind: quiet, gain: 0.25}\nduration_s: 0.5\nmetrics: [si_sdr]\n"
    "fitting: {kind: none}\n"
)


def install(folder: Path, module: str, source: str, entry: str, group: str = "hasim.nodes") -> None:
    """Put a package with one entry point into a folder."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")


def hasim(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); from hasim.__main__ import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=folder,
    )


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "quiet.yaml"
    path.write_text(SCENARIO)
    return path


def test_a_plug_in_is_a_kind_like_any_other(tmp_path, scenario):
    install(tmp_path, "quiet_node", PACKAGE, "quiet = quiet_node:Quiet")
    assert hasim(tmp_path, "validate", str(scenario)).returncode == 0
    done = hasim(tmp_path, "run", str(scenario), "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    assert '"feasible": true' in done.stdout.lower()
    scenario.write_text(SCENARIO.replace("gain", "gian"))
    refused = hasim(tmp_path, "validate", str(scenario))
    assert refused.returncode == 3
    assert "gain" in refused.stderr


def test_a_broken_plug_in_costs_one_warning(tmp_path, scenario):
    install(tmp_path, "broken_node", "import nothing_of_that_name", "broken = broken_node:Node")
    scenario.write_text("algorithm: {kind: local}\n")
    done = hasim(tmp_path, "validate", str(scenario))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("broken_node") >= 1
    assert "nothing_of_that_name" in done.stderr
    assert "Traceback" not in done.stderr
