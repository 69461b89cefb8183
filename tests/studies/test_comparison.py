"""Two sweeps against each other, seed for seed."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.studies.comparison import compare, csv_text
from hasim.studies.result_row import ResultRow
from hasim.studies.results_table import Sheet, Store


def _rows(offset: float, seeds=range(6), extra: dict | None = None) -> list[ResultRow]:
    rng = np.random.default_rng(3)
    scenes = rng.normal(0, 5, 10)
    return [
        ResultRow(
            {"bits": bits}, seed, {"gain_db": scenes[seed] + offset * bits} | (extra or {}), True
        )
        for bits in (1, 2)
        for seed in seeds
    ]


def _sheet(rows) -> Sheet:
    return Sheet({}, tuple(rows))


def test_pairing_sees_through_the_scenes():
    found = compare(_sheet(_rows(0.0)), _sheet(_rows(0.1)), ["gain_db"])
    assert [one.point for one in found] == ['{"bits":1}', '{"bits":2}', "all points"]
    for one, difference in zip(found, (0.1, 0.2, 0.15), strict=True):
        assert one.difference.mean == pytest.approx(difference)
        assert one.difference.high - one.difference.low < 1e-9
        assert one.difference.excludes_zero
        assert one.difference.count == 6
        assert one.mean_b - one.mean_a == pytest.approx(difference)


def test_only_what_both_have_is_compared():
    a, b = _sheet(_rows(0, range(4))), _sheet([*_rows(1, range(2, 6)), ResultRow({"bits": 9}, 2)])
    assert {one.difference.count for one in compare(a, b, ["gain_db"])} == {2}
    with pytest.raises(ValueError, match="no point and seed are in both"):
        compare(a, _sheet([ResultRow({"bits": 7}, 0, {"gain_db": 1})]))
    with pytest.raises(ValueError, match="gain: no such column"):
        compare(a, b, ["gain"])


def test_failed_rows_are_no_rows():
    a = _sheet(_rows(0))
    b = _sheet([*_rows(1)[1:], ResultRow({"bits": 1}, 0, error="lost")])
    assert [one.difference.count for one in compare(a, b, ["gain_db"])] == [5, 6, 6]


def test_a_single_seed_has_a_difference_and_no_interval():
    one, *_ = compare(_sheet(_rows(0, [0])), _sheet(_rows(1, [0])), ["gain_db"])
    assert one.difference.text("+.1f") == "+1.0"
    assert (one.as_dict()["low_95"], one.as_dict()["seeds"]) == (None, 1)
    assert csv_text([one]).splitlines()[1].endswith(",1.0,,,1")


def test_seeds_without_a_value_count_on_neither_side():
    missing = _rows(1)
    missing[0] = ResultRow(missing[0].settings, 0, {"gain_db": None}, True)
    one, *_ = compare(_sheet(_rows(0)), _sheet(missing), ["gain_db"])
    assert one.difference.count == 5
    assert one.mean_b - one.mean_a == pytest.approx(one.difference.mean)


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
    # Of what is shown by default both tables have the latency alone.
    found = json.loads(hasim(tmp_path / "b", "--json").stdout)["differences"]
    assert {one["column"] for one in found} == {"latency_ms"}
    assert hasim(tmp_path / "b", "--columns", "nothing").exit_code == 2
    assert hasim(tmp_path / "none").exit_code == 4
