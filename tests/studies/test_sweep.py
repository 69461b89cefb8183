"""Sweeps: the grid, the rows, going on after a stop, and the workers."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.config.diagnostics import ScenarioError
from hasim.config.spec import InputError, LimitError
from hasim.experiment.run import enhance, render_scene, run, simulate_time
from hasim.studies import axes, case, results_table, run_cache
from hasim.studies import sweep as sweeps
from hasim.studies.axes import Axis
from tests.odd_work import row_or_none_ever

TINY = """
name: tiny
seed: 3
duration_s: 0.5
scene: {room: {t60_s: 0}}
algorithm: {kind: mn_tango, masks: oracle}
metrics: [si_sdr]
"""
OVER = ("link.codec.bits=2,8", "algorithm.mu=0.5,2")


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A scenario that takes milliseconds, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


def _points(file: Path, *over: str) -> list[dict]:
    return list(axes.grid(file, over=over).points)


# --- the grid -------------------------------------------------------------------------------------


def test_axes_make_a_grid_in_the_order_given(tiny):
    assert _points(tiny, "algorithm.mu=1,2", "link.codec.bits=4,8") == [
        {"algorithm.mu": 1, "link.codec.bits": 4},
        {"algorithm.mu": 1, "link.codec.bits": 8},
        {"algorithm.mu": 2, "link.codec.bits": 4},
        {"algorithm.mu": 2, "link.codec.bits": 8},
    ]


def test_ranges_are_tidy_numbers(tiny):
    points = _points(tiny, "algorithm.mu={start: 0, stop: 0.3, count: 4}")
    assert [point["algorithm.mu"] for point in points] == [0, 0.1, 0.2, 0.3]
    axis = Axis(start=32, stop=512, count=5, spacing="log")
    assert axis.points() == (32, 64, 128, 256, 512)


def test_conditional_axes_vary_only_where_they_matter(tiny):
    groups = "algorithm.groups={values: [0, 2], when: {algorithm.kind: [mn_tango, tango]}}"
    assert _points(tiny, groups, "algorithm.kind=local,mn_tango") == [
        {"algorithm.kind": "local"},
        {"algorithm.kind": "mn_tango", "algorithm.groups": 0},
        {"algorithm.kind": "mn_tango", "algorithm.groups": 2},
    ]
    # the condition may also be on what the scenario itself says
    assert len(_points(tiny, "algorithm.mu={values: [1, 2], when: {link.kind: ideal}}")) == 1
    assert len(_points(tiny, "algorithm.mu={values: [1, 2], when: {scene.room.t60_s: 0}}")) == 2


def test_a_sweep_file_has_zip_set_and_seeds(tiny, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(
        "scenario: tiny.yaml\nset: {algorithm.rank: 2}\nseeds: [5, 9]\n"
        "axes: {algorithm.mu: [1, 2]}\n"
        "zip: [{front_end.window: [512, 256], front_end.hop: [256, 64]}]\n"
    )
    grid = axes.grid(file, over=["algorithm.mu=4"], set=["duration_s=1"])
    assert grid.name == "study"
    assert grid.seeds == (5, 9)
    assert grid.base.algorithm.rank == 2
    assert grid.base.duration_s == 1
    assert list(grid.points) == [
        {"algorithm.mu": 4, "front_end.window": 512, "front_end.hop": 256},
        {"algorithm.mu": 4, "front_end.window": 256, "front_end.hop": 64},
    ]
    assert grid.scenario(grid.points[1]).front_end.hop == 64


def test_seeds_count_up_from_the_scenarios_own(tiny):
    assert axes.grid(tiny, seeds=3).seeds == (3, 4, 5)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "scenario: tiny.yaml\naxes:\n  link.rate_kbps: [64, -1]\n",
            ["study.yaml: link.rate_kbps: too small (got -1); must be a number above 0 and at"],
        ),
        (
            "scenario: tiny.yaml\naxes:\n  link.rate_kbps: {start: 1, stop: 2, cuont: 3}\n"
            "sede: 4\n",
            [
                "study.yaml:3:39: axes.link.rate_kbps.cuont: unknown key",
                "study.yaml:4:1: sede: unknown key (got 4)",
            ],
        ),
        (
            "scenario: tiny.yaml\nzip: [{algorithm.mu: [1, 2], algorithm.rank: [1]}]\n",
            ["lists must be of one length"],
        ),
        (
            "scenario: tiny.yaml\naxes: {algorithm.mu: [1]}\nzip: [{algorithm.mu: [1]}]\n",
            ["algorithm.mu: stands on two axes"],
        ),
        ("scenario: tiny.yaml\naxes: {seed: [1, 2]}\n", ["seed: is no axis"]),
        ("scenario: none.yaml\naxes: {algorithm.mu: [1, 2]}\n", ["none.yaml: cannot be read"]),
    ],
)
def test_mistakes_are_told_with_their_place(tiny, tmp_path, text, messages):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as raised:
        axes.grid(file)
    said = str(raised.value).splitlines()
    for message in messages:
        assert any(message in line for line in said), said


def test_a_value_that_goes_with_some_points_is_no_mistake(tiny):
    grid = axes.grid(tiny, over=["front_end.hop=64,256", "front_end.window=256,512"])
    assert len(grid.points) == 4  # a window of 256 with a hop of 256 will fail as a row
    with pytest.raises(ScenarioError, match=r"front_end"):
        axes.grid(tiny, over=["front_end.hop=64,2000"])


def test_too_many_points_are_refused_before_they_are_made(tiny):
    over = [f"algorithm.mu={{start: 0, stop: 1, count: {1000}}}"]
    over += ["link.rate_kbps={start: 1, stop: 2, count: 1000}"]
    with pytest.raises(LimitError, match="1000000 points"):
        axes.grid(tiny, over=over)
    assert not axes.grid(tiny, over=over, whole=False).points


def test_every_sweep_that_is_shipped_can_be_planned():
    files = sorted((Path(__file__).parents[2] / "scenarios" / "sweeps").glob("*.yaml"))
    assert len(files) >= 6
    for file in files:
        grid = axes.grid(file)
        assert grid.name == file.stem
        assert len(grid.points) > 5


# --- the rows -------------------------------------------------------------------------------------


def test_rows_are_what_single_runs_give(tiny, tmp_path):
    grid = axes.grid(tiny, over=OVER, seeds=2)
    tally = sweeps.sweep(grid, tmp_path / "out")
    assert tally == sweeps.Tally(cases=8, computed=8)
    rows = results_table.read(tmp_path / "out").rows
    assert len(rows) == 8
    for row in rows[::3]:
        changes = {**row.settings, "seed": row.seed}
        alone = run(grid.scenario(changes))
        assert row.numbers == alone.numbers  # to the last bit, although parts were shared
        assert row.feasible == alone.verdict.feasible
        assert alone.hashes["scenario"].startswith(row.scenario_hash)


def test_nothing_is_done_twice(tiny, tmp_path):
    grid = axes.grid(tiny, over=OVER, seeds=2)
    sweeps.sweep(grid, tmp_path / "a")
    first = (tmp_path / "a" / "results.csv").read_bytes()
    assert sweeps.sweep(grid, tmp_path / "a") == sweeps.Tally(cases=8, stored=8)
    assert sweeps.sweep(grid, tmp_path / "b") == sweeps.Tally(cases=8, cached=8)
    assert (tmp_path / "a" / "results.csv").read_bytes() == first
    assert (tmp_path / "b" / "results.csv").read_bytes() == first
    more = axes.grid(tiny, over=[*OVER, "algorithm.mu=0.5,2,4"], seeds=2)
    assert sweeps.sweep(more, tmp_path / "b") == sweeps.Tally(cases=12, stored=8, computed=4)


def test_points_share_scenes_and_timelines(tiny, tmp_path, monkeypatch):
    asked = {"render_scene": 0, "simulate_time": 0}
    for name in asked:
        honest = getattr(run_cache, name)

        def counting(scenario, name=name, honest=honest):
            asked[name] += 1
            return honest(scenario)

        monkeypatch.setattr(run_cache, name, counting)
    sweeps.sweep(axes.grid(tiny, over=OVER, seeds=2), tmp_path / "out")
    # 2 seeds; 2 packet sizes and 2 seeds, whatever mu is
    assert asked == {"render_scene": 2, "simulate_time": 4}


@pytest.fixture
def asked(tmp_path, monkeypatch) -> list[str]:
    """Untrained networks in the folder `weights`; which of them was run, in order."""
    torch = pytest.importorskip("torch")
    from hasim.networks import mask_estimator
    from hasim.networks.mn_dnn import MnDnn
    from hasim.networks.sn_dnn import SnDnn
    from hasim.networks.weights_file import save

    torch.manual_seed(0)
    (tmp_path / "weights").mkdir()
    for name, network in (("sn_dnn", SnDnn()), ("mn_dnn", MnDnn())):
        save(network, tmp_path / "weights" / f"{name}.safetensors")
    names: list[str] = []
    honest = mask_estimator.estimator

    def counting(*given):
        masks = honest(*given)
        return lambda network, *inputs: names.append(network) or masks(network, *inputs)

    monkeypatch.setattr(mask_estimator, "estimator", counting)
    run_cache._recent.clear()
    return names


def _trained(file: Path, *over: str, **options) -> axes.Grid:
    settings = ["algorithm.masks=trained", f"algorithm.weights={file.parent / 'weights'}"]
    return axes.grid(file, over=over, set=settings, **options)


def test_points_share_trained_masks_where_the_networks_hear_the_same(tiny, tmp_path, asked):
    faster = _trained(tiny, "link.rate_kbps=600,900", "algorithm.mu=0.5,2", seeds=2)
    sweeps.sweep(faster, tmp_path / "rates")
    assert asked == ["mn_dnn"] * 2  # one a seed: every packet is in time at both rates
    run_cache._recent.clear()  # as another process: from the files
    coarser = _trained(tiny, "link.codec.bits=2,16", "algorithm.rank=1,2", seeds=2)
    sweeps.sweep(coarser, tmp_path / "bits")
    assert len(asked) == 4  # what comes of 2 bits is new, of 16 is known
    alone = run(faster.scenario({**faster.points[3], "seed": 4}))
    (row,) = (
        row
        for row in results_table.read(tmp_path / "rates").rows
        if (row.settings, row.seed) == (faster.points[3], 4)
    )
    assert row.numbers == alone.numbers  # to the last bit


def test_a_first_stage_hears_no_link_and_runs_once(tiny, tmp_path, asked):
    losses = "link.loss={values: [{kind: none}, {kind: bernoulli, probability: 0.5}]}"
    over = ("algorithm.kind=tango,local", "link.codec.bits=2,16", losses)
    assert sweeps.sweep(_trained(tiny, *over), tmp_path / "out").computed == 8
    assert asked.count("sn_dnn") == 1
    assert asked.count("mn_dnn") == 4  # bits and losses of what it hears of the partner


@pytest.mark.parametrize(
    ("change", "runs"),
    [("algorithm.precision.weights=32", 1), ("front_end.hop=128", 1), ("algorithm.filter=mvdr", 0)],
)
def test_other_networks_or_inputs_are_other_masks(tiny, tmp_path, asked, change, runs):
    sweeps.sweep(_trained(tiny), tmp_path / "a")
    del asked[:]
    settings = ["algorithm.masks=trained", f"algorithm.weights={tiny.parent / 'weights'}", change]
    assert sweeps.sweep(axes.grid(tiny, set=settings), tmp_path / "b").failed == 0
    assert len(asked) == runs


def test_other_weights_under_the_same_name_are_other_masks(tiny, tmp_path, asked):
    from hasim.networks.mn_dnn import MnDnn
    from hasim.networks.weights_file import save

    sweeps.sweep(_trained(tiny), tmp_path / "a")
    save(MnDnn(), tmp_path / "weights" / "mn_dnn.safetensors")
    sweeps.sweep(_trained(tiny, "algorithm.mu=3"), tmp_path / "b")
    assert len(asked) == 2


def _same(a, b) -> bool:
    """Equal to the last bit and of one type, whatever fields there are."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a)]
        return type(a) is type(b) and all(_same(getattr(a, n), getattr(b, n)) for n in names)
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


@pytest.mark.parametrize("part", ["scene", "timeline"])
def test_what_comes_from_disk_is_what_went_there(tiny, tmp_path, monkeypatch, part):
    scenario = axes.grid(tiny, set=["scene.noises=[]"]).base
    compute = {"scene": render_scene, "timeline": simulate_time}[part]
    shared = getattr(run_cache, part)
    fresh = compute(scenario)
    run_cache._recent.clear()
    shared(scenario, tmp_path)
    run_cache._recent.clear()
    monkeypatch.setattr(run_cache, compute.__name__, None)
    kept = shared(scenario, tmp_path)
    assert _same(kept, fresh)
    if part == "scene":
        assert kept.mixture.tobytes() == fresh.mixture.tobytes()
    # Other code, another key: it would have to be computed.
    monkeypatch.setattr(run_cache, "code_hash", lambda *parts: "changed code")
    with pytest.raises(TypeError):
        shared(scenario, tmp_path)


def test_memory_for_shared_arrays_is_bounded(tiny, tmp_path, monkeypatch):
    run_cache._recent.clear()
    monkeypatch.setattr(run_cache, "MAX_MEMORY_BYTES", 1)
    for seed in range(3):
        scenario = axes.grid(tiny).base.model_copy(update={"seed": seed})
        run_cache.timeline(scenario, tmp_path)
    assert len(run_cache._recent) == 1
    run_cache._recent.clear()


def test_the_cache_of_rows_survives_damage(tmp_path):
    known = run_cache.RowCache(tmp_path)
    known.put("key", '{"a": 1}')
    assert known.get("key") == '{"a": 1}'
    known._connection.execute("UPDATE rows SET row = '{\"a\": 2}'")  # a flipped bit
    assert known.get("key") is None
    known.close()
    (tmp_path / "rows.sqlite").write_bytes(b"no database at all" * 100)
    for leftover in tmp_path.glob("rows.sqlite-*"):
        leftover.unlink()
    known = run_cache.RowCache(tmp_path)
    known.put("key", "{}")
    assert known.get("key") is None
    known.close()


def test_the_cache_of_rows_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(run_cache, "MAX_ROWS", 3)
    known = run_cache.RowCache(tmp_path)
    for number in range(6):
        known.put(str(number), "{}")
    assert [number for number in range(6) if known.get(str(number))] == [3, 4, 5]
    known.close()


def test_a_failing_point_is_a_row(tiny, tmp_path, monkeypatch):
    grid = axes.grid(tiny, over=["front_end.hop=64,256", "front_end.window=256,512"])
    tally = sweeps.sweep(grid, tmp_path / "out")
    assert tally == sweeps.Tally(cases=4, computed=4, failed=1)
    (failed,) = (row for row in results_table.read(tmp_path / "out").rows if row.error)
    assert "the synthesis window must be 2, 3, ... hops long" in failed.error
    # not again, unless asked
    assert sweeps.sweep(grid, tmp_path / "out").computed == 0
    again = sweeps.sweep(grid, tmp_path / "out", retry_failed=True)
    assert again == sweeps.Tally(cases=4, stored=3, computed=1, failed=1)


def test_what_breaks_in_a_run_is_a_row_until_it_is_cured(tiny, tmp_path, monkeypatch):
    grid = axes.grid(tiny, over=["algorithm.mu=1,2"])
    honest = enhance

    def break_down(scenario, *parts):
        if scenario.algorithm.mu == 2:
            raise ZeroDivisionError("mu is\ntwo")
        return honest(scenario, *parts)

    monkeypatch.setattr(case, "enhance", break_down)
    assert sweeps.sweep(grid, tmp_path / "out").failed == 1
    table = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert table[2].startswith("2,3,failed,ZeroDivisionError: mu is two,")
    monkeypatch.setattr(case, "enhance", honest)
    assert sweeps.sweep(grid, tmp_path / "out", retry_failed=True).failed == 0
    assert "failed" not in (tmp_path / "out" / "results.csv").read_text()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_point_over_the_time_limit_is_a_failed_row(tiny, tmp_path, monkeypatch, jobs):
    honest = case.run_case
    monkeypatch.setattr(case, "run_case", row_or_none_ever)
    grid = axes.grid(tiny, over=["algorithm.mu=1,2,3"], time_limit_s=1)
    tally = sweeps.sweep(grid, tmp_path / "out", jobs=jobs)
    assert tally == sweeps.Tally(cases=3, computed=3, failed=1)
    rows = results_table.read(tmp_path / "out").rows
    said = {(row.settings["algorithm.mu"], row.error) for row in rows}
    assert said == {(1, ""), (2, "TimeLimit: took longer than the limit of 1 s"), (3, "")}
    assert os.getpid() not in {row.numbers["pid"] for row in rows if not row.error}
    # not again, unless asked
    assert sweeps.sweep(grid, tmp_path / "out", jobs=jobs).computed == 0
    monkeypatch.setattr(case, "run_case", honest)
    grid = axes.grid(tiny, over=["algorithm.mu=1,2,3"])
    again = sweeps.sweep(grid, tmp_path / "out", retry_failed=True)
    assert again == sweeps.Tally(cases=3, stored=2, computed=1)


def test_rows_within_the_time_limit_are_the_same(tiny, tmp_path):
    free = axes.grid(tiny, over=OVER)
    limited = axes.grid(tiny, over=OVER, time_limit_s=100)
    tables = []
    for name, grid in (("a", free), ("b", limited)):
        tally = sweeps.sweep(grid, tmp_path / name, cache_folder=tmp_path / f"cache_{name}")
        assert tally == sweeps.Tally(cases=4, computed=4)
        tables.append((tmp_path / name / "results.csv").read_bytes())
    assert tables[0] == tables[1]


def test_the_time_limit_of_a_sweep_file_gives_way_to_the_command_lines(tiny, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("scenario: tiny.yaml\ntime_limit_s: 5\n")
    assert axes.grid(tiny).time_limit_s is None
    assert axes.grid(file).time_limit_s == 5
    assert axes.grid(file, time_limit_s=0.5).time_limit_s == 0.5
    file.write_text("scenario: tiny.yaml\ntime_limit_s: 0\n")
    with pytest.raises(ScenarioError, match=r"time_limit_s: too small \(got 0\)"):
        axes.grid(file)


def test_another_scenario_does_not_go_into_the_same_table(tiny, tmp_path):
    sweeps.sweep(axes.grid(tiny, over=["algorithm.mu=1,2"]), tmp_path / "out")
    with pytest.raises(InputError, match="holds 2 rows of another scenario"):
        sweeps.sweep(axes.grid(tiny, set=["algorithm.rank=2"]), tmp_path / "out")
    assert len(results_table.read(tmp_path / "out").rows) == 2


# --- the command ----------------------------------------------------------------------------------


def _hasim(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_dry_run_says_how_much_and_writes_nothing(tiny, tmp_path):
    command = ("sweep", tiny, "--over", OVER[0], "--seeds", 4, "--out", tmp_path / "out")
    answer = _hasim(*command, "--dry-run", "--jobs", 2)
    assert answer.exit_code == 0
    assert answer.stdout.startswith(
        "2 points x 4 seeds = 8 runs; 0 in the table, 0 in the cache, 8"
    )
    assert "on 2 workers" in answer.stdout
    assert not (tmp_path / "out").exists()
    assert _hasim(*command, "--jobs", 1, "--quiet").exit_code == 0
    told = json.loads(_hasim(*command, "--dry-run", "--json", "--seeds", 5).stdout)
    assert (told["stored"], told["cached"], told["to_compute"]) == (8, 0, 2)
    assert told["measured"]
    told = json.loads(_hasim(*command[:-1], tmp_path / "other", "--dry-run", "--json").stdout)
    assert (told["stored"], told["cached"], told["to_compute"]) == (0, 8, 0)


def test_exit_codes_of_a_sweep(tiny, tmp_path):
    out = ("--jobs", 1, "--out", tmp_path / "out")
    assert _hasim("sweep", tiny, "--over", "link.rate_kbps=1,-1", *out).exit_code == 3
    assert _hasim("sweep", tiny, "--set", "sed=1", *out).exit_code == 3
    assert not (tmp_path / "out").exists()
    over = ("--over", "front_end.hop=64,256", "--over", "front_end.window=256,512")
    answer = _hasim("sweep", tiny, *over, *out)
    assert answer.exit_code == 1
    assert answer.stdout == f"{tmp_path / 'out' / 'results.csv'}\n"
    assert "1 failed" in answer.stderr
    (tmp_path / "out" / "results.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert _hasim("sweep", tiny, *over, *out).exit_code == 4
    nowhere = ("--cluster", "nonsense", "--set", "seed=99", "--out", tmp_path / "nowhere")
    assert _hasim("sweep", tiny, *nowhere).exit_code == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_drops_stops_the_sweep_at_the_next_row(tiny, tmp_path, monkeypatch):
    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    honest = simulate_time
    monkeypatch.setattr(run_cache, "simulate_time", lambda scenario: (Dying(), honest(scenario))[1])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = _hasim("sweep", tiny, "--seeds", 5, "--jobs", 1, "--out", tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, before)
    assert answer.exit_code == 130
    assert "the same command goes on from there" in answer.stderr
    assert 1 <= len(results_table.read(tmp_path / "out").rows) < 5


def test_export_from_the_command_line(tiny, tmp_path):
    _hasim("sweep", tiny, "--over", OVER[0], "--jobs", 1, "--out", tmp_path / "out")
    answer = _hasim("export", tmp_path / "out", "--format", "json")
    assert answer.stdout == f"{tmp_path / 'out' / 'results.json'}\n"
    records = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [record["link.codec.bits"] for record in records] == [2, 8]
    assert _hasim("export", tmp_path / "none").exit_code == 4


def test_a_front_over_macs_link_and_sound(tiny, tmp_path):
    out = tmp_path / "out"
    over = ("--over", "algorithm.kind=mn_tango,local", "--over", "link.codec.bits=2,8")
    assert _hasim("sweep", tiny, *over, "--jobs", 1, "--seeds", 2, "--out", out).exit_code == 0
    costs = ("--minimize", "total_mmac_per_s,link_kbps")
    answer = _hasim("pareto", out, *costs, "--maximize", "si_sdr_improvement_db")
    assert answer.exit_code == 0, answer.stderr
    (numbers,) = (out / "pareto").glob("*.csv")
    assert numbers.stem == "total_mmac_per_s-link_kbps-si_sdr_improvement_db"
    needed = {
        (row.settings["algorithm.kind"], row.settings["link.codec.bits"]): row.numbers["link_kbps"]
        for row in results_table.read(out).rows
    }
    # Two ears send 16000 samples/s of so many bits; every hop of 256 samples adds one overhead.
    assert needed["mn_tango", 8] - needed["mn_tango", 2] == pytest.approx(2 * 16 * 6)
    assert needed["local", 2] == needed["local", 8] == 0


# --- processes ------------------------------------------------------------------------------------


def _started(*words: object, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-m", "hasim", *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _children_of(pid: int) -> set[int]:
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout
    parents = dict(tuple(map(int, line.split())) for line in found.splitlines())
    below, size = {pid}, 0
    while len(below) > size:
        size = len(below)
        below |= {child for child, parent in parents.items() if parent in below}
    return below - {pid}


def _count(folder: Path) -> int:
    try:
        return len(results_table.read(folder).rows)
    except InputError:  # not begun yet
        return 0


@pytest.fixture
def longer(tiny) -> Path:
    """Long enough to be interrupted: about a fifth of a second a run."""
    tiny.write_text(TINY.replace("0.5", "2"))
    return tiny


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_any_number_of_workers_makes_the_same_bytes(longer, tmp_path):
    tables = set()
    for jobs in (1, 2, 4):
        command = ("sweep", longer, "--over", OVER[0], "--seeds", 3, "--jobs", jobs, "--quiet")
        out = tmp_path / f"out{jobs}"
        process = _started(*command, "--out", out, cache=tmp_path / f"cache{jobs}")
        _, told = process.communicate(timeout=900)
        assert process.returncode == 0, told
        tables.add((out / "results.csv").read_bytes())
    assert len(tables) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_ten_times_the_table_is_the_same(longer, tmp_path, jobs):
    over = ("--over", "link.codec.bits=2,8", "--over", "algorithm.mu=0.5,2", "--seeds", 8)
    command = ("sweep", longer, *over, "--quiet", "--jobs")
    calm = _started(*command, 1, "--out", tmp_path / "calm", cache=tmp_path / "calm_cache")
    calm.communicate(timeout=900)
    out, cache = tmp_path / "out", tmp_path / "cache"
    rng, kept = random.Random(jobs), set()
    for turn in range(10):
        process = _started(*command, jobs, "--out", out, cache=cache)
        if turn % 2:  # some die while they start, some in the midst of their rows
            deadline = time.monotonic() + 60
            while (
                process.poll() is None and _count(out) <= len(kept) and time.monotonic() < deadline
            ):
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 1))
        else:
            time.sleep(rng.uniform(0, 5))
        workers = _children_of(process.pid)
        process.kill()
        process.communicate()
        if (out / "results.sqlite").is_file():
            now = {row.key for row in results_table.read(out).rows}
            assert kept <= now  # nothing that was finished is lost
            kept = now
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in workers):
            time.sleep(0.2)
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    process = _started(*command, jobs, "--out", out, cache=cache)
    _, told = process.communicate(timeout=900)
    assert process.returncode == 0, told
    assert (out / "results.csv").read_bytes() == (tmp_path / "calm" / "results.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_politely_it_says_how_to_go_on(longer, tmp_path, sent, code, jobs):
    # A shell may have started these tests deaf to SIGINT, and what they start inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = ("sweep", longer, "--over", OVER[0], "--seeds", 40, "--quiet", "--jobs", jobs)
    process = _started(*command, "--out", tmp_path / "out", cache=tmp_path / "cache")
    signal.signal(signal.SIGINT, before)
    while not _count(tmp_path / "out"):
        time.sleep(0.1)
    workers = _children_of(process.pid)
    process.send_signal(sent)
    _, told = process.communicate(timeout=900)
    assert process.returncode == code
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert "the same command goes on from there" in told
    assert "Traceback" not in told
    rows = len(results_table.read(tmp_path / "out").rows)
    lines = (tmp_path / "out" / "results.csv").read_text().splitlines()
    assert 0 < rows < 80
    assert len(lines) == rows + 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_that_loses_a_worker_loses_nothing(longer, tmp_path):
    """A real scheduler and two real workers, started by hand; one is killed half-way."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "w")}

    def dask(*words: str) -> subprocess.Popen:
        program = Path(sys.executable).with_name("dask")
        return subprocess.Popen(
            [program, *words], env=environment, stderr=subprocess.PIPE, text=True
        )

    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    address = ""
    while not address:
        if found := re.search(r"Scheduler at: +(tcp://\S+)", scheduler.stderr.readline()):
            address = found[1]
    workers = [
        dask("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in "ab"
    ]
    try:
        command = ("sweep", longer, "--over", OVER[0], "--seeds", 15, "--quiet")
        process = _started(
            *command, "--cluster", address, "--out", tmp_path / "out", cache=tmp_path / "cache"
        )
        while _count(tmp_path / "out") < 8:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        workers[0].kill()
        _, told = process.communicate(timeout=900)
        assert process.returncode == 0, told
    finally:
        for one in (*workers, scheduler):
            one.kill()
            one.communicate()
    calm = _started(
        *command, "--jobs", 1, "--out", tmp_path / "calm", cache=tmp_path / "calm_cache"
    )
    calm.communicate(timeout=900)
    assert len(results_table.read(tmp_path / "out").rows) == 30
    assert (tmp_path / "out" / "results.csv").read_bytes() == (
        tmp_path / "calm" / "results.csv"
    ).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_scheduler_that_dies_is_told(longer, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = Path(sys.executable).with_name("dask")
    scheduler = subprocess.Popen(
        [program, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = ""
    while not address:
        if found := re.search(r"Scheduler at: +(tcp://\S+)", scheduler.stderr.readline()):
            address = found[1]
    process = _started(
        *("sweep", longer, "--over", OVER[0], "--quiet", "--cluster", address),
        *("--out", tmp_path / "out"),
        cache=tmp_path / "cache",
    )
    while not (tmp_path / "out" / "results.sqlite").is_file():  # it waits for workers then
        time.sleep(0.1)
    time.sleep(5)
    scheduler.kill()
    scheduler.communicate()
    _, told = process.communicate(timeout=900)
    assert process.returncode == 4, told
    assert "the same command goes on" in told


# --- speed ----------------------------------------------------------------------------------------


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_two_workers_are_nearly_twice_as_fast(longer, tmp_path):
    """Needs two idle cores. The start of the workers is not counted: it is over by the first
    row."""
    times = {}
    for jobs in (1, 2):
        over = ["algorithm.mu=0.5,2", "duration_s=8", "algorithm.masks=trained"]
        grid = axes.grid(longer, over=over, seeds=24)
        moments = []
        cache = tmp_path / f"cache{jobs}"
        sweeps.sweep(
            grid,
            tmp_path / f"out{jobs}",
            jobs=jobs,
            cache_folder=cache,
            progress=lambda tally, moments=moments: moments.append(
                (tally.computed, time.perf_counter())
            ),
        )
        (first, began), (last, ended) = moments[4], moments[-1]
        times[jobs] = (ended - began) / (last - first)
    print(f"\n{times[1]:.3f} s a run with one worker, {times[2]:.3f} s with two")
    assert times[1] / times[2] >= 1.8


@pytest.mark.benchmark
def test_cached_points_cost_little(tiny, tmp_path):
    tiny.write_text(TINY.replace("0.5", "8").replace("[si_sdr]", "[si_sdr, stoi, pesq]"))
    grid = axes.grid(tiny, over=["algorithm.mu={start: 0, stop: 2, count: 4}"], seeds=4)
    began = time.perf_counter()
    sweeps.sweep(grid, tmp_path / "a")
    computed_s = time.perf_counter() - began
    began = time.perf_counter()
    assert sweeps.sweep(grid, tmp_path / "b").cached == 16
    cached_s = time.perf_counter() - began
    print(f"\n{computed_s:.2f} s computed, {cached_s:.3f} s from the cache")
    print(f"{1e3 * cached_s / 16:.1f} ms a cached point")
    assert cached_s / 16 < 0.02
    assert computed_s / cached_s >= 50
