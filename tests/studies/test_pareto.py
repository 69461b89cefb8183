"""Fronts: who beats whom, how much is beaten, where the knee is, and what is drawn."""

from __future__ import annotations

import csv
import io
import itertools
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.reporting import pareto_figure
from hasim.studies import pareto, results_table
from hasim.studies.pareto import Limit, Objective, clearly_dominates, dominates, hypervolume, knee
from hasim.studies.result_row import ResultRow
from hasim.studies.results_table import Sheet, Store

COST, GAIN = Objective("cost_kb"), Objective("gain_db", maximize=True)
BASE = {"link": {"rate_kbps": 300.0}, "devices": {"left": {"ram_kb": 64}, "right": {"ram_kb": 64}}}


def _sheet(points: dict[str, list[tuple[float, float]]], **extra: float) -> Sheet:
    """Points by name: for every seed (cost, gain of both ears)."""
    rows = []
    for name, seeds in points.items():
        for seed, (cost, gain) in enumerate(seeds):
            numbers = {"cost_kb": cost, "gain_db_left": gain - 1, "gain_db_right": gain + 1}
            rows.append(ResultRow({"kind": name}, seed, numbers | extra, True))
    return Sheet(BASE, tuple(rows))


def _names(front: pareto.Front, flags) -> set:
    pairs = zip(front.settings, flags, strict=True)
    return {settings["kind"] for settings, flag in pairs if flag}


costs = arrays(float, st.tuples(st.integers(1, 12), st.integers(2, 3)), elements=st.integers(0, 5))


@given(costs)
def test_beating_is_what_the_definition_says(costs):
    beats = dominates(costs)
    for i, j in itertools.product(range(len(costs)), repeat=2):
        no_worse = all(a <= b for a, b in zip(costs[i], costs[j], strict=True))
        better = any(a < b for a, b in zip(costs[i], costs[j], strict=True))
        assert beats[i, j] == (no_worse and better)
    assert not beats.any(axis=0).all()  # something is always left


@given(costs)
def test_hypervolume_counts_cells(costs):
    """On a grid, the beaten share is a count of cells: the literal definition."""
    middles = (np.arange(5) + 0.5) / 5
    cells = np.array(list(itertools.product(middles, repeat=costs.shape[1])))
    beaten = (costs[:, None] / 5 <= cells[None]).all(axis=-1).any(axis=0)
    assert hypervolume(costs / 5) == pytest.approx(beaten.mean(), abs=1e-12)


def test_hypervolume_of_a_quarter_circle():
    """Points on a quarter circle about the worst corner beat all within it: pi / 4."""
    angle = np.linspace(0, np.pi / 2, 2000)
    circle = 1 - np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    assert hypervolume(circle) == pytest.approx(np.pi / 4, abs=1e-3)


def test_the_knee_is_where_the_curve_bends():
    costs = np.array([[0.0, 10.0], [1.0, 2.0], [10.0, 0.0], [5.0, 5.0], [9.0, 0.1]])
    assert knee(costs) == 1
    assert knee(costs * [1000, 0.01]) == 1  # units make no difference
    assert knee(costs[[0, 2]]) is None


def test_beaten_only_where_the_differences_say_so():
    rng = np.random.default_rng(4)
    scene = rng.normal(0, 5, 8)  # hard and easy scenes, the same for all points
    noise = rng.normal(0, 0.1, (3, 8))
    sheet = _sheet(
        {
            "good": [(1, s + e) for s, e in zip(scene, noise[0], strict=True)],
            "clearly worse": [(2, s - 1 + e) for s, e in zip(scene, noise[1], strict=True)],
            "hardly worse": [(2, s - 0.01 + e) for s, e in zip(scene, noise[2], strict=True)],
            "same but dearer": [(3, s + e) for s, e in zip(scene, noise[0], strict=True)],
        }
    )
    found = pareto.front(sheet, [COST, GAIN])
    assert _names(found, found.on_front) == {"good", "hardly worse"}
    plain = pareto.front(sheet, [COST, GAIN], rule="plain")
    assert _names(plain, plain.on_front) <= _names(found, found.on_front)
    assert _names(found, found.leading) == _names(plain, plain.on_front)
    by = {s["kind"]: b for s, b in zip(found.settings, found.beaten_by, strict=True)}
    assert found.settings[by["clearly worse"]]["kind"] == "good"
    assert by["good"] == -1
    # scenes differ by 5 dB, points by tenths: what is shared is not in the paired interval
    assert found.half[0, 1] > 2
    assert found.half_within[0, 1] < 0.5


@given(arrays(float, (6, 5, 2), elements=st.integers(-3, 3)))
def test_what_is_clearly_beaten_is_beaten(values):
    assert not (clearly_dominates(values) & ~dominates(values.mean(axis=1).round(12))).any()


def test_clear_differences_are_those_of_the_t_test():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.normal(0, 1, (2, 6, 1)) + np.array([0.0, rng.normal()])[:, None, None]
        test = ttest_rel(values[1, :, 0], values[0, :, 0])
        clear = test.pvalue < 0.05 and test.statistic > 0
        assert clearly_dominates(values)[0, 1] == clear


def test_one_seed_says_what_the_means_say():
    found = pareto.front(_sheet({"a": [(1, 1)], "b": [(2, 0)]}), [COST, GAIN])
    assert found.rule == "plain"
    assert _names(found, found.on_front) == {"a"}
    assert np.isinf(found.half).all()


def test_points_need_values_and_may_need_to_fit():
    rows = list(_sheet({"a": [(1, 1)], "b": [(2, 3)]}).rows)
    rows += [
        ResultRow(
            {"kind": "unscored"}, 0, {"cost_kb": 1, "gain_db_left": None, "gain_db_right": 1}, True
        ),
        ResultRow({"kind": "failed"}, 0, error="ValueError: no"),
        ResultRow(
            {"kind": "too big"}, 0, {"cost_kb": 9, "gain_db_left": 9, "gain_db_right": 9}, False
        ),
    ]
    found = pareto.front(Sheet(BASE, tuple(rows)), [COST, GAIN])
    assert [settings["kind"] for settings in found.settings] == ["a", "b", "too big"]
    assert found.left_out == 1
    assert _names(found, found.feasible) == {"a", "b"}
    found = pareto.front(Sheet(BASE, tuple(rows)), [COST, GAIN], feasible_only=True)
    assert [settings["kind"] for settings in found.settings] == ["a", "b"]


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ([COST], "must be two or three"),
        ([COST, Objective("gain")], "gain: no such column of numbers; did you mean 'gain_db'?"),
        ([COST, Objective("kind")], "kind: no such column of numbers"),
    ],
)
def test_impossible_objectives(objectives, message):
    with pytest.raises(ValueError, match=message):
        pareto.front(_sheet({"a": [(1, 1)]}), objectives)


def test_an_axis_may_be_an_objective():
    rows = tuple(ResultRow({"link.codec.bits": b}, 0, {"gain_db": b / 2}, True) for b in (4, 8))
    found = pareto.front(Sheet(BASE, rows), [Objective("link.codec.bits"), GAIN])
    assert found.means.tolist() == [[4, 2], [8, 4]]
    assert found.on_front.all()


def test_limits_are_those_of_the_scenario_unless_they_are_varied():
    numbers = {"ram_kb": 60, "link_kbps": 100, "airtime_share": 0.5}

    def limits(axis: str, *columns: str) -> list:
        rows = (ResultRow({axis: 1}, 0, numbers, True), ResultRow({axis: 2}, 0, numbers, True))
        found = pareto.front(Sheet(BASE, rows), [Objective(name) for name in columns])
        return [[(limit.label, limit.value) for limit in own] for own in found.limits]

    assert limits("a", "ram_kb", "link_kbps") == [[("device", 64)], [("link", 300)]]
    assert limits("link.rate_kbps", "ram_kb", "link_kbps") == [[("device", 64)], []]
    assert limits("link.kind", "link_kbps", "airtime_share") == [[], [("all the time", 1)]]
    assert limits("devices.left.ram_kb", "ram_kb", "link_kbps")[0] == [("right device", 64)]


def test_limits_of_presets():
    rows = (ResultRow({"algorithm.groups": 1}, 0, {"ram_kb": 60, "total_mmac_per_s": 9}, True),)
    goals = [Objective("ram_kb"), Objective("total_mmac_per_s")]
    found = pareto.front(Sheet({}, rows), goals, presets=["class-apollo510-lp"])
    assert found.limits == (
        (Limit("class-apollo510-lp", 2458),),
        (Limit("class-apollo510-lp, fp32", 32),),
    )
    assert "limit of ram_kb: 2458 (class-apollo510-lp)" in list(pareto_figure.summary_lines(found))
    with pytest.raises(ValueError, match="did you mean 'class-apollo510-lp'"):
        pareto.front(Sheet({}, rows), goals, presets=["class-apollo510-hp"])


def test_the_papers_points_are_the_papers_numbers():
    """Tables II and V, means of both ears; improvements against the noisy row."""
    found = {
        (point.table, point.name): point.values
        for point in pareto.published(["network_mmac_per_s", "si_sdr_improvement_db"])
    }
    assert found["II", "MN-TANGO"] == pytest.approx((30.79, ((6.1 + 0.6) + (5.5 + 4.6)) / 2))
    assert found["II", "TANGO"] == pytest.approx((65.65, ((5.3 + 0.6) + (4.9 + 4.6)) / 2))
    assert found["V", "MN-TANGO W8A8 G=8"][0] == 4.65
    assert len(found) == 8
    assert len(pareto.published(["network_mmac_per_s", "network_kmac_per_frame"])) == 6
    assert pareto.published(["network_mmac_per_s", "latency_ms"]) == ()


def test_the_paper_counts_what_we_count():
    """Table IV, MMAC/s of the networks: hasim's own count of the same networks."""
    from hasim.networks import cost

    for point in pareto.published(["network_mmac_per_s", "groups"]):
        if point.table == "IV":
            groups = int(point.values[1])
            parts = cost.mn_dnn(0 if groups == 1 else groups, bins=257)
            assert cost.macs(parts) * 62.5 / 1e6 == pytest.approx(point.values[0], abs=0.005)


def test_numbers_beside_the_figure():
    sheet = _sheet({"a": [(1, 1), (1, 2)], "b": [(2, 0), (2, 1.5)]}, latency_ms=40.0)
    found = pareto.front(sheet, [COST, GAIN])
    assert found.colour_column == "latency_ms"
    a, b = csv.DictReader(io.StringIO(pareto_figure.csv_text(found)))
    assert (a["kind"], a["seeds"], a["cost_kb"], a["gain_db"]) == ("a", "2", "1.0", "1.5")
    assert float(a["gain_db_high_95"]) == pytest.approx(1.5 + 12.706 * 0.5, rel=1e-4)
    assert (a["cost_kb_low_95"], a["on_front"], a["beaten_by"]) == ("1.0", "true", "")
    assert b["latency_ms"] == "40.0"


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        ResultRow(
            {"link.codec.bits": bits, "algorithm.groups": groups},
            seed,
            {
                "link_kbps": 32.0 * bits,
                "network_mmac_per_s": 30.0 / (1 + groups),
                "si_sdr_improvement_db_left": 8 - 8 / bits - groups / 4 + rng.normal(0, 0.3),
                "si_sdr_improvement_db_right": 8 - 8 / bits + rng.normal(0, 0.3),
                "latency_ms": 40.0 + bits,
            },
            bits < 12,
        )
        for bits in (1, 2, 4, 8, 16)
        for groups in (0, 2)
        for seed in range(4)
    ]
    with Store(tmp_path / "sweep", "identity", json.dumps(BASE)) as opened:
        opened.add(rows)
    return tmp_path / "sweep"


@pytest.mark.parametrize(
    "objectives",
    [
        ["network_mmac_per_s", "si_sdr_improvement_db"],
        ["link_kbps", "network_mmac_per_s", "si_sdr_improvement_db"],
    ],
)
def test_the_figure_is_the_same_bytes_each_time(table, tmp_path, objectives):
    *costs, gain = objectives
    goals = [*(Objective(name) for name in costs), Objective(gain, maximize=True)]
    found = pareto.front(results_table.read(table), goals)
    first = pareto_figure.save(found, tmp_path / "a")
    second = pareto_figure.save(found, tmp_path / "b")
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf", ".csv"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert b"matplotlib" not in b.read_bytes()[:200].lower() or b.suffix == ".svg"


def test_the_figure_shows_what_it_should(table):
    found = pareto.front(
        results_table.read(table),
        [Objective("link_kbps"), Objective("si_sdr_improvement_db", True)],
    )
    figure = pareto_figure.draw(found)
    axes, bar = figure.axes
    assert axes.get_xlabel() == "offered to the link (kbit/s)"
    assert axes.get_ylabel() == "SI-SDR improvement (dB)"
    assert bar.get_ylabel() == "latency (ms)"
    texts = [text.get_text() for text in axes.texts]
    assert any(text.startswith("link: 300") for text in texts)
    assert any(text.startswith("knee: ") for text in texts)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "best means" in labels
    assert "does not fit" in labels
    width, _ = figure.get_size_inches()
    assert width == 3.5


def test_pareto_from_the_command_line(table):
    def hasim(*words):
        return CliRunner().invoke(app, ["pareto", str(table), *words])

    wanted = ("--minimize", "link_kbps", "--maximize", "si_sdr_improvement_db")
    answer = hasim(*wanted)
    assert answer.exit_code == 0
    *lines, _png, _svg, _pdf, numbers = answer.stdout.splitlines()
    assert numbers == str(table / "pareto" / "link_kbps-si_sdr_improvement_db.csv")
    assert "of 10 points are not beaten (by paired differences over seeds)" in lines[-1]
    told = json.loads(hasim(*wanted, "--rule", "plain", "--feasible", "--json").stdout)
    assert told["rule"] == "plain"
    assert told["points"] == 8
    assert all(point["feasible"] for point in told["front"])
    assert hasim("--minimize", "link_kbps").exit_code == 2
    assert hasim("--minimize", "link_kbps,nothing").exit_code == 2


@pytest.mark.benchmark
def test_a_large_front_is_quick():
    points = np.random.default_rng(0).random((5000, 2))
    began = time.process_time()
    dominates(points)
    spent_s = time.process_time() - began
    print(f"\n{spent_s:.2f} s for 5000 points")
    assert spent_s < 1
