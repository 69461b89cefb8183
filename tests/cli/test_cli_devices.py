"""The commands about devices: presets, fit, explain, and what a run leaves besides its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.config import presets


@pytest.fixture
def hasim(monkeypatch):
    """Call the command line in this process, on a terminal wide enough."""
    monkeypatch.setenv("COLUMNS", "250")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("group", presets.GROUPS)
def test_presets_are_listed_with_provenance_and_source(hasim, group):
    answer = hasim("presets", group)
    assert answer.exit_code == 0
    heads = answer.stdout.splitlines()[1]
    assert "provenance" in heads
    assert "source" in heads
    for name in presets.names(group):
        assert name in answer.stdout


def test_presets_as_json_are_whole(hasim):
    kept = json.loads(hasim("presets", "devices", "--json").stdout)
    assert kept.keys() == set(presets.names("devices"))
    board = kept["ref-stm32u385-96"]
    assert board["provenance"] == "measured"
    assert board["values"]["power"] == {"active_mw": 5.9, "idle_mw": 1}


def test_unknown_groups_presets_and_algorithms_are_wrong_usage(hasim):
    assert hasim("presets", "phones").exit_code == 2
    wrong = hasim("fit", "--devices", "pdp-11")
    assert wrong.exit_code == 2
    assert "unknown choice (got 'pdp-11')" in wrong.stderr


def test_fit_prints_a_matrix_or_json(hasim):
    words = ("fit", "--devices", "ref-stm32l4r5-120,ref-gap9-0v65-240", "--algorithms", "tango")
    shown = hasim(*words)
    assert shown.exit_code == 0
    assert "1.31 x" in shown.stdout
    cells = json.loads(hasim(*words, "--json").stdout)["cells"]
    assert [cell["device"] for cell in cells] == ["ref-stm32l4r5-120", "ref-gap9-0v65-240"]
    assert [cell["carried"] for cell in cells] == [False, True]
    # the default front end is too late for any fitting
    assert [cell["fits"] for cell in cells] == [False, False]
    assert "2 of 2: too late: the synthesis window alone takes 32 ms" in shown.stdout


def test_a_run_leaves_trace_and_capture_and_can_be_explained(hasim, tmp_path):
    (tmp_path / "short.yaml").write_text(
        "name: short\nduration_s: 0.5\nmetrics: [si_sdr]\nscoring: {skip_s: 0}\n"
        "scene: {room: {t60_s: 0}, head: {kind: free_field}}\n"
        "devices: {left: {preset: ref-stm32u385-96}}\n"
    )
    extra = ("--trace", tmp_path / "trace.json", "--pcapng", tmp_path / "link.pcapng")
    answer = hasim("run", tmp_path / "short.yaml", "--out", tmp_path, "--json", "--quiet", *extra)
    assert answer.exit_code == 0
    outcome = json.loads(answer.stdout)
    assert outcome["numbers"]["power_mw_left"] > 5
    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) > 100
    assert (tmp_path / "link.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    folder = Path(outcome["folder"])
    told = hasim("explain", folder)
    assert told.exit_code == 0
    assert "short: does not fit" in told.stdout
    one = hasim("explain", folder, "--ear", "right", "--frame", 3)
    assert one.stdout.startswith("frame 3 of the right ear is complete at 64.000 ms")
    assert hasim("explain", tmp_path / "nowhere").exit_code == 4


def test_presets_keep_their_numbers_whole_on_a_narrow_terminal(hasim, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = hasim("presets", "devices")
    assert "1664, 2048" in answer.stdout
    assert "measured *" in answer.stdout
    assert "https://github.com/mlcommons/tiny_results_v1.2" in answer.stdout
