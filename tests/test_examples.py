"""Every example runs as it stands, from the folder that holds the scenarios."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiment.test_plugins import hasim, install

ROOT = Path(__file__).parents[1]
PLUG_IN = ROOT / "examples" / "plug_in"
SAID = {
    "cost_of_loss": "100%",
    "own_codec": "<RunResult",
    "own_device": "True",
    "own_head": "sofa <RunResult",
    "own_link": "<RunResult",
    "own_metric": "dB at the left ear",
    "own_network": "network: 0.096 MMAC/s",
    "own_node": "<RunResult",
    "own_room": "T60 measured",
    "time_alone": "played",
}


@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.stem)
def test_example_runs(script, tmp_path):
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert SAID[script.stem] in done.stdout


def test_examples_are_short():
    for script in ROOT.glob("examples/**/*.py"):
        assert len(script.read_text().splitlines()) < 60, script.name


def test_the_plug_in_is_a_kind_that_the_link_matters_to(tmp_path):
    """Linear in the signals, and without its partner it is the microphone."""
    install(tmp_path, "front_sum", (PLUG_IN / "front_sum.py").read_text(), _entry())
    asked = ("run", str(PLUG_IN / "front_sum.yaml"), "--quiet", "--json", "--set", "duration_s=1")
    numbers = {}
    for loss in (0, 1):
        done = hasim(tmp_path, *asked, "--set", f"link.loss.mean_loss={loss}")
        assert (done.returncode, done.stderr) == (0, "")
        numbers[loss] = json.loads(done.stdout)["numbers"]
    for ear in ("left", "right"):
        assert numbers[1][f"si_sdr_improvement_db_{ear}"] == pytest.approx(0, abs=1e-6)
    assert numbers[0]["snr_improvement_db_right"] > 2


def _entry() -> str:
    """The line of the entry point, as it stands in the package."""
    lines = (PLUG_IN / "pyproject.toml").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("front_sum = ")]
    return line.replace('"', "")
