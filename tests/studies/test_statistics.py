"""Differences seed for seed, and their intervals."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.studies import statistics
from hasim.studies.results_table import Row, Sheet, Store


def _rows(offset: float, seeds=range(6), extra: dict | None = None) -> list[Row]:
    rng = np.random.default_rng(3)
    scenes = rng.normal(0, 5, 10)
    return [
        Row({"bits": bits}, seed, {"gain_db": scenes[seed] + offset * bits} | (extra or {}), True)
        for bits in (1, 2)
        for seed in seeds
    ]


def _sheet(rows) -> Sheet:
    return Sheet({}, tuple(rows))


def test_intervals_are_students():
    """Against the closed form for n = 4: t(0.975, 3) = 3.182446."""
    values = np.array([1.0, 2.0, 4.0, 5.0])
    mean, half, count = statistics.interval(values)
    assert (mean, count) == (3.0, 4)
    assert half == pytest.approx(3.1824463 * np.std(values, ddof=1) / 2, rel=1e-7)
    mean, half, count = statistics.interval(np.array([[0.1, 0.1, 0.1], [7.0, np.nan, np.nan]]))
    assert half.tolist() == [0.0, math.inf]
    assert count.tolist() == [3, 1]


def test_intervals_hold_what_they_promise():
    """95 % of 4000 intervals hold the true mean; three standard errors are 1 %."""
    draws = np.random.default_rng(0).normal(2, 3, (4000, 5))
    mean, half, _ = statistics.interval(draws)
    assert np.mean(np.abs(mean - 2) <= half) == pytest.approx(0.95, abs=0.0105)


def test_pairing_sees_through_the_scenes():
    found = statistics.compare(_sheet(_rows(0.0)), _sheet(_rows(0.1)), ["gain_db"])
    assert [one.point for one in found] == ['{"bits":1}', '{"bits":2}', "all points"]
    for one, difference in zip(found, (0.1, 0.2, 0.15), strict=True):
        assert one.difference.mean == pytest.approx(difference)
        assert one.difference.high - one.difference.low < 1e-9
        assert one.clear
        assert one.difference.count == 6
        assert one.mean_b - one.mean_a == pytest.approx(difference)


def test_only_what_both_have_is_compared():
    a, b = _sheet(_rows(0, range(4))), _sheet([*_rows(1, range(2, 6)), Row({"bits": 9}, 2)])
    assert {one.difference.count for one in statistics.compare(a, b, ["gain_db"])} == {2}
    with pytest.raises(ValueError, match="no point and seed are in both"):
        statistics.compare(a, _sheet([Row({"bits": 7}, 0, {"gain_db": 1})]))
    with pytest.raises(ValueError, match="gain: no such column"):
        statistics.compare(a, b, ["gain"])


def test_failed_rows_are_no_rows():
    a = _sheet(_rows(0))
    b = _sheet([*_rows(1)[1:], Row({"bits": 1}, 0, error="lost")])
    assert [one.difference.count for one in statistics.compare(a, b, ["gain_db"])] == [5, 6, 6]


def test_a_column_of_two_ears_is_their_mean():
    rows = [Row({"kind": "x"}, 0, {"a_db_left": 1, "a_db_right": 4, "b_left": 1})]
    assert statistics.column(rows, "a_db") == [2.5]
    assert statistics.column(rows, "a_db_left") == [1]
    assert statistics.column_names(rows) == ["a_db", "a_db_left", "a_db_right", "b_left"]
    with pytest.raises(ValueError, match="did you mean 'b_left'"):
        statistics.column(rows, "b_lefd")


def test_compare_from_the_command_line(tmp_path):
    for name, offset in (("a", 0.0), ("b", 0.5)):
        with Store(tmp_path / name, "identity", "{}") as table:
            table.add(_rows(offset, extra={"latency_ms": 40.0}))

    def hasim(*words):
        return CliRunner().invoke(app, ["compare", str(tmp_path / "a"), *map(str, words)])

    answer = hasim(tmp_path / "b", "--columns", "gain_db", "--csv", tmp_path / "numbers.csv")
    assert answer.exit_code == 0
    assert "all points" in answer.stdout
    rows = list(csv.DictReader(io.StringIO((tmp_path / "numbers.csv").read_text())))
    assert float(rows[0]["difference"]) == pytest.approx(0.5)
    told = json.loads(hasim(tmp_path / "b", "--json").stdout)["differences"]
    assert {one["column"] for one in told} == {"latency_ms"}  # of what is shown by default
    assert hasim(tmp_path / "b", "--columns", "nothing").exit_code == 2
    assert hasim(tmp_path / "none").exit_code == 4
