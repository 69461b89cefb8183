"""The front door: exit codes, what goes to stdout, and how little it takes to open it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import hasim as hasim_api
from hasim.cli.app import app
from hasim.config.spec import InputError, LimitError
from hasim.experiment import result, summary

ROOT = Path(__file__).parents[2]
NOISE_90 = str(ROOT / "scenarios" / "noise_90deg.yaml")


@pytest.fixture
def hasim():
    """Call the command line in this process."""
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def _process(*words: str | Path, **options) -> subprocess.CompletedProcess:
    """Call the command line as its users do."""
    command = [sys.executable, "-m", "hasim", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, **options)


class _Api:
    """Stands in for `hasim.run` and what prints its result, and keeps what it was asked."""

    def __init__(self) -> None:
        self.scenario = self.out = self.stages = None

    def run(self, scenario, out, progress):
        self.scenario, self.out = scenario, out
        progress("first step")
        return SimpleNamespace(folder=Path(out) / "folder")

    def summary(self, result, folder):
        return {"scenario": self.scenario.name, "folder": str(folder)}

    def table(self, result, stages):
        self.stages = stages
        return "the table"


@pytest.fixture
def api(monkeypatch):
    api = _Api()
    monkeypatch.setattr(hasim_api, "run", api.run)
    monkeypatch.setattr(result, "summary", api.summary)
    monkeypatch.setattr(summary, "table", api.table)
    return api


# --- run ------------------------------------------------------------------------------------------


def test_run_prints_the_table_and_the_folder(hasim, api):
    answer = hasim("run", NOISE_90, "--out", "somewhere")
    assert answer.exit_code == 0
    assert answer.stdout.splitlines() == ["the table", "somewhere/folder"]
    assert answer.stderr == "first step\n"
    assert api.scenario.name == "noise_90deg"
    assert api.stages is False


def test_run_takes_settings_seed_and_stages(hasim, api):
    answer = hasim(
        *("run", NOISE_90, "--set", "link.rate_kbps=64", "--set", "scene.noises.0.azimuth_deg=45"),
        *("--seed", 3, "--stages", "--quiet"),
    )
    assert answer.exit_code == 0
    assert answer.stderr == ""
    assert api.scenario.link.rate_kbps == 64
    assert api.scenario.scene.noises[0].azimuth_deg == 45
    assert api.scenario.seed == 3
    assert api.stages is True
    assert api.out == Path("runs")


def test_json_is_one_document(hasim, api):
    answer = hasim("run", NOISE_90, "--json")
    assert json.loads(answer.stdout) == {"scenario": "noise_90deg", "folder": "runs/folder"}


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("talk.wav: expected sound, found no samples"), 4, "talk.wav: expected sound"),
        (LimitError("talk.wav: 3600 s of sound"), 5, "talk.wav: 3600 s"),
        (MemoryError("needs 20 GiB"), 5, "out of memory: needs 20 GiB"),
        (OSError(28, "No space left on device", "runs/x"), 5, "runs/x: No space left on device"),
        (ValueError("the talker stands in the wall"), 3, "noise_90deg.yaml: the talker stands in"),
        (ZeroDivisionError("division\nby zero"), 70, "ZeroDivisionError: division by zero"),
        (UnicodeError("odd"), 70, "UnicodeError: odd"),  # a ValueError, but nobody's scenario
        (KeyboardInterrupt(), 130, "stopped"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_failure_has_its_exit_code_and_line(hasim, api, monkeypatch, error, code, message):
    def fail(scenario, out, progress):
        raise error

    monkeypatch.setattr(hasim_api, "run", fail)
    answer = hasim("run", NOISE_90)
    assert answer.exit_code == code
    assert answer.stdout == ""
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) == (2 if code == 70 else 1)
    if code not in (70, 130):
        answer = hasim("run", NOISE_90, "--json")
        told = json.loads(answer.stdout)["error"]
        assert told["exit_code"] == code
        assert message in told["messages"][0]


def test_traceback_shows_where(hasim, api, monkeypatch):
    monkeypatch.setattr(hasim_api, "run", lambda *_, **__: 1 / 0)
    answer = hasim("--traceback", "run", NOISE_90)
    assert answer.exit_code == 70
    assert "Traceback (most recent call last)" in answer.stderr


def test_an_invalid_scenario_starts_nothing(hasim, api, tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text("link: {kbps: fast, los: 0.1}\ndevices: {rigth: {}}\n")
    monkeypatch.chdir(tmp_path)
    answer = hasim("run", "bad.yaml", "--set", "seed=x", "--json")
    assert answer.exit_code == 3
    lines = json.loads(answer.stdout)["error"]["messages"]
    assert answer.stderr.splitlines() == lines
    assert lines == [
        "bad.yaml:1:8: link.kbps: unknown key (got 'fast'); did you mean 'rate_kbps'?",
        "bad.yaml:1:20: link.los: unknown key (got 0.1); did you mean 'loss'?",
        "bad.yaml:2:11: devices.rigth: unknown key (got {}); did you mean 'right'?",
        "--set: seed: not a whole number (got 'x'); "
        "must be a whole number from 0 to 9223372036854775807",
    ]
    assert api.scenario is None
    assert os.listdir(tmp_path) == ["bad.yaml"]


@pytest.mark.parametrize(
    "words", [["frob"], ["run"], ["run", NOISE_90, "--sed", "1"], ["run", NOISE_90, "--seed", "-1"]]
)
def test_wrong_usage_is_2(hasim, words):
    assert hasim(*words).exit_code == 2


# --- validate, schema, help -----------------------------------------------------------------------


def test_validate_answers_for_every_file(hasim, tmp_path):
    (tmp_path / "good.yaml").write_text("seed: 1")
    (tmp_path / "bad.yaml").write_text("sed: 1\nname: a b")
    answer = hasim("validate", tmp_path / "bad.yaml", tmp_path / "good.yaml")
    assert answer.exit_code == 3
    assert answer.stdout == f"{tmp_path}/good.yaml: ok\n"
    assert answer.stderr.count(f"{tmp_path}/bad.yaml:") == 2
    assert hasim("validate", tmp_path / "good.yaml").exit_code == 0


def test_warnings_are_one_line_on_stderr(hasim, tmp_path):
    (tmp_path / "octal.yaml").write_text("seed: 012")
    answer = _process("validate", tmp_path / "octal.yaml")
    assert answer.returncode == 0
    assert (
        answer.stderr == f"warning: {tmp_path}/octal.yaml:1:7: seed: 012 is read as 12; not octal\n"
    )


def test_schema_is_json(hasim):
    assert json.loads(hasim("schema").stdout)["title"] == "Scenario"


def test_help_has_examples(hasim):
    for words in (["--help"], ["run", "--help"], ["validate", "--help"], ["schema", "--help"]):
        answer = hasim(*words)
        assert answer.exit_code == 0
        assert (
            f"hasim {words[0] if len(words) > 1 else 'run'} " in answer.stdout.split("Example")[1]
        )


def test_version(hasim):
    answer = hasim("--version")
    assert (answer.exit_code, answer.stdout.split()[0]) == (0, "hasim")


# --- the process ----------------------------------------------------------------------------------

_IMPORTED = """
import sys
sys.argv = ["hasim", *sys.argv[1:]]
from hasim.__main__ import main
try:
    main()
except SystemExit:
    print(*sorted(sys.modules), file=sys.stderr)
"""
_HEAVY = {"torch", "scipy", "pyroomacoustics", "matplotlib", "simpy", "soundfile", "h5py", "pystoi"}


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["--help"], {"numpy", "pydantic_core", "ruamel", *_HEAVY}),
        (["run", "--help"], {"numpy", "ruamel", *_HEAVY}),
        (["validate", NOISE_90], _HEAVY),
        (["schema"], _HEAVY),
        (["run", "no such file"], _HEAVY),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_heavy_libraries_stay_outside(words, unwanted):
    process = subprocess.run(
        [sys.executable, "-c", _IMPORTED, *words], capture_output=True, text=True, timeout=900
    )
    imported = {name.split(".")[0] for name in process.stderr.split()}
    assert "hasim" in imported
    assert imported & unwanted == set()


@pytest.mark.benchmark
@pytest.mark.parametrize(("words", "limit_s"), [(["--help"], 0.5), (["validate", NOISE_90], 0.7)])
def test_the_door_opens_quickly(words, limit_s):
    def seconds() -> float:
        started = time.perf_counter()
        assert _process(*words).returncode == 0
        return time.perf_counter() - started

    best = min(seconds() for _ in range(5))
    print(f"\nhasim {words[0]}: {best:.2f} s")
    assert best < limit_s


def test_linear_algebra_has_one_thread_unless_told_otherwise():
    script = "import hasim.__main__ as m, os, sys; sys.argv = ['hasim', '--version']\n"
    script += "try: m.main()\nexcept SystemExit: print(os.environ['OPENBLAS_NUM_THREADS'])"
    environment = {key: text for key, text in os.environ.items() if "NUM_THREADS" not in key}

    def threads(**more: str) -> str:
        process = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment | more
        )
        return process.stdout.split()[-1]

    assert threads() == "1"
    assert threads(OPENBLAS_NUM_THREADS="2") == "2"


def test_a_closed_pipe_is_quiet():
    command = f"{sys.executable} -m hasim schema | head -c 10"
    process = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=900
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, '{\n  "$sche', "")


_WAITING = """
import sys, time
import hasim
def wait(scenario, out, progress):
    progress("waiting")
    time.sleep(60)
hasim.run = wait
from hasim.__main__ import main
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_in_their_exit_code(number, code):
    process = subprocess.Popen(
        [sys.executable, "-c", _WAITING, "run", NOISE_90],
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts background jobs with SIGINT ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr.readline() == "waiting\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == code
    assert "Traceback" not in errors


def test_links_fit_prints_what_to_write_into_a_scenario(hasim, tmp_path):
    from hasim.config.yaml_reader import read
    from hasim.simulation.link.losses import Gilbert

    trace = tmp_path / "trace.txt"
    trace.write_text("0 0 0 1 1 0 0 0 0 1 0 0 " * 50)
    answer = hasim("links", "fit", trace)
    assert answer.exit_code == 0
    loss = Gilbert.model_validate(read(answer.stdout, "answer").root.plain())
    assert loss.mean_loss == pytest.approx(0.25, abs=0.001)
    assert loss.mean_burst == 1.5
    told = json.loads(hasim("links", "fit", trace, "--json").stdout)
    assert told["left_to_right"]["packets"] == 600
    trace.write_text("0 0 0")
    assert hasim("links", "fit", trace).exit_code == 4
