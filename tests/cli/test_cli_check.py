"""`hasim check`: one line for each point, exit code 0 or 1; unknown names are wrong usage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hasim.cli.app import app
from tests.experiment.test_plugins import hasim as command
from tests.experiment.test_plugins import install

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def check(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *words: CliRunner().invoke(app, ["check", *(str(word) for word in words)])


@pytest.mark.parametrize(
    ("part", "contract"),
    [
        ("own_link.py:Uwb", "link"),
        ("own_codec.py:ALaw", "codec"),
        ("own_node.py:Subtraction", "node algorithm"),
        ("own_metric.py:SEGMENTAL_SNR", "metric"),
        ("own_network.py:FloorTracker", "mask network"),
        ("plug_in/front_sum.py:FrontSum", "node algorithm"),
    ],
)
def test_the_examples_fulfil_their_contracts(check, part, contract):
    answer = check(EXAMPLES / part)
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[0].endswith(f": {contract}")
    assert "  ok  " in answer.stdout
    assert "FAILED" not in answer.stdout


def test_what_fails_has_its_reason_and_exit_code_1(check, tmp_path):
    source = (EXAMPLES / "own_codec.py").read_text().replace("np.copysign(", "np.multiply(")
    (tmp_path / "codec.py").write_text(source)
    answer = check(f"{tmp_path}/codec.py:ALaw")
    assert answer.exit_code == 1
    (failed,) = [line for line in answer.stdout.splitlines() if "FAILED" in line]
    assert "has no more values than its bits can tell apart: " in failed
    found = json.loads(check(f"{tmp_path}/codec.py:ALaw", "--json").stdout)
    assert (found["contract"], found["passed"]) == ("codec", False)
    assert [one["name"] for one in found["checks"] if one["problem"]] == [
        "has no more values than its bits can tell apart"
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing_of_that_name", "no such entry point"),
        ("no.such.module:Part", "cannot be imported"),
        ("no_such_file.py:Part", "no such file"),
        (f"{EXAMPLES}/own_link.py:Part", "has no Part"),
        (f"{EXAMPLES}/own_link.py:ceil", "neither a node"),
        ("hasim.simulation.link.codecs:Codec", "needs a literal kind"),
    ],
)
def test_names_that_lead_nowhere(check, name, said):
    answer = check(name)
    assert answer.exit_code in (1, 2)
    assert said in " ".join((answer.stderr + answer.stdout).split())
    assert "Traceback" not in answer.stderr


def test_an_installed_plug_in_is_found_by_its_entry_point(tmp_path):
    source = (EXAMPLES / "own_link.py").read_text()
    install(tmp_path, "own_link", source, "uwb = own_link:Uwb", "hasim.links")
    done = command(tmp_path, "check", "uwb")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("uwb: link\n")
