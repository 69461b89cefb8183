"""The table on disk: whole rows or none, one writer, plain words for every damage."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hasim.config import files
from hasim.config.spec import InputError
from hasim.studies import results_table
from hasim.studies.result_row import ResultRow
from hasim.studies.results_table import Store

ROWS = (
    ResultRow({"a.bits": 8, "kind": "x"}, 2, {"b_db": 0.1, "n": 3}, True, "", "f00"),
    ResultRow({"a.bits": 16}, 1, {"b_db": None, "n": 4}, False, "too slow; no speech", "f01"),
    ResultRow({"a.bits": 8, "kind": "x"}, 1, {"b_db": 1e-300, "n": -3}, True, "", "f02"),
    ResultRow({"a.bits": 16}, 2, error="ValueError: a, b"),
)


def _filled(folder, rows=ROWS) -> None:
    with Store(folder, "identity", '{"link": {}}') as table:
        table.add(rows)
        table.write_table()


def test_rows_come_back_as_they_were(tmp_path):
    _filled(tmp_path)
    sheet = results_table.read(tmp_path)
    assert sheet.base == {"link": {}}
    assert set(map(repr, sheet.rows)) == set(map(repr, ROWS))
    assert [(row.settings["a.bits"], row.seed) for row in sheet.rows] == [
        *((8, 1), (8, 2), (16, 1), (16, 2))
    ]


def test_the_table_reads_like_a_table(tmp_path):
    _filled(tmp_path)
    text = (tmp_path / "results.csv").read_text()
    first, *lines = csv.reader(io.StringIO(text))
    assert first == [
        *("a.bits", "kind", "seed", "status", "error", "feasible", "reasons", "b_db", "n"),
        "scenario_hash",
    ]
    assert lines[0] == ["8", "x", "1", "ok", "", "true", "", "1e-300", "-3", "f02"]
    assert lines[3] == ["16", "", "2", "failed", "ValueError: a, b", "", "", "", "", ""]


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(ROWS), parts=st.integers(1, 4))
def test_the_order_in_which_rows_come_leaves_no_trace(tmp_path_factory, order, parts):
    folder = tmp_path_factory.mktemp("table")
    for part in range(parts):
        _filled(folder, order[part::parts])
    assert (folder / "results.csv").read_bytes() == results_table.csv_bytes(
        sorted(ROWS, key=lambda row: (row.settings["a.bits"], row.seed))
    )


def test_a_row_takes_the_place_of_its_failure(tmp_path):
    _filled(tmp_path)
    with Store(tmp_path, "identity", "{}") as table:
        assert len(table.keys()) == 4
        assert len(table.keys(failed=False)) == 3
        table.add([ResultRow(ROWS[3].settings, 2, {"n": 1}, seconds=2.0)])
        assert len(table.keys(failed=False)) == 4
        assert table.get(ROWS[3].key).numbers == {"n": 1}
    assert len(results_table.read(tmp_path).rows) == 4


def test_all_rows_or_none(tmp_path):
    with Store(tmp_path, "identity", "{}") as table:
        with pytest.raises(ValueError, match="JSON"):
            table.add([ROWS[0], ResultRow({}, 0, {"x": float("nan")})])
        table.add(ROWS[:1])
    assert len(results_table.read(tmp_path).rows) == 1


def test_reading_goes_on_while_another_writes(tmp_path):
    with Store(tmp_path, "identity", "{}") as table:
        table.add(ROWS[:1])
        assert len(results_table.read(tmp_path).rows) == 1
        table.add(ROWS[1:])
        assert len(results_table.read(tmp_path).rows) == 4


def test_two_writers_are_one_too_many(tmp_path):
    with (
        Store(tmp_path, "identity", "{}"),
        pytest.raises(InputError, match=rf"in use by process {os.getpid()} since \d{{4}}-"),
    ):
        Store(tmp_path, "identity", "{}")
    Store(tmp_path, "identity", "{}").close()


HOLD = """
import sys, time
from hasim.studies.result_row import ResultRow
from hasim.studies.results_table import Store
with Store(sys.argv[1], "identity", "{}") as table:
    number = 0
    while True:
        table.add([ResultRow({"n": number}, 0, {"x": number / 7})])
        number += 1
        print(number, flush=True)
"""


def test_killed_it_keeps_what_it_said_and_opens_its_lock(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    said = 0
    while said < 20:
        said = int(process.stdout.readline())
    with pytest.raises(InputError, match=f"in use by process {process.pid} "):
        Store(tmp_path, "identity", "{}")
    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate(timeout=900)[0].split()
    said = int(rest[-1]) if rest else said
    with Store(tmp_path, "identity", "{}") as table:
        assert len(table.keys()) in (said, said + 1)  # the last one may not have been said


def test_another_identity_is_refused(tmp_path):
    _filled(tmp_path)
    with pytest.raises(InputError, match="holds 4 rows of another scenario"):
        Store(tmp_path, "another", "{}")
    Store(tmp_path, "identity", "{}").close()  # and the lock is open again


def test_a_newer_table_is_refused(tmp_path):
    _filled(tmp_path)
    with sqlite3.connect(tmp_path / results_table.FILE) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    for use in (results_table.read, lambda folder: Store(folder, "identity", "{}")):
        with pytest.raises(InputError, match="has version 7, this hasim reads version 2"):
            use(tmp_path)


@pytest.mark.parametrize("damage", [b"no database" * 500, None])
def test_a_damaged_table_is_said_to_be_one(tmp_path, damage):
    _filled(tmp_path, [ResultRow({"n": n}, 0, {"x": n}) for n in range(200)])
    path = tmp_path / results_table.FILE
    if damage is None:  # bytes flipped within
        content = bytearray(path.read_bytes())
        content[5000:9000] = bytes(255 - byte for byte in content[5000:9000])
        damage = bytes(content)
    path.write_bytes(damage)
    for use in (results_table.read, lambda folder: Store(folder, "identity", "{}")):
        with pytest.raises(InputError, match="damaged"):
            use(tmp_path)
    assert path.read_bytes() == damage  # nothing overwritten


def test_no_table(tmp_path):
    with pytest.raises(InputError, match=r"results\.sqlite: no such file; `hasim sweep"):
        results_table.read(tmp_path)


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path):
    with Store(tmp_path, "identity", "{}") as table:
        table.add(ROWS)
        (pages,) = table._connection.execute("PRAGMA page_count").fetchone()
        table._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        endless = (
            ResultRow({"n": n}, 0, {f"column_{i}": 0.1 for i in range(50)}) for n in range(1000)
        )
        with pytest.raises(OSError, match="No space left on device") as raised:
            _one_by_one(table, endless)
        assert raised.value.filename.endswith("results.sqlite")
        stored = len(table.keys())
    assert stored >= 4
    assert len(results_table.read(tmp_path).rows) == stored
    _filled(tmp_path)  # there is room again


def _one_by_one(table, rows) -> None:
    for row in rows:
        table.add([row])


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Store(tmp_path / "file" / "below", "identity", "{}")


def test_json_has_no_text_for_numbers(tmp_path):
    _filled(tmp_path)
    records = json.loads(results_table.export(tmp_path, "json").read_text())
    assert records[0]["b_db"] == 1e-300
    assert records[2]["b_db"] is None
    assert records[2]["feasible"] is False


def test_parquet_has_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    _filled(tmp_path, [*ROWS, ResultRow({"a.bits": 2.5, "kind": [1, 2]}, 1, {"n": 1})])
    table = parquet.read_table(results_table.export(tmp_path, "parquet"))
    types = dict(zip(table.column_names, map(str, table.schema.types), strict=True))
    assert types["a.bits"] == "double"
    assert types["n"] == "int64"
    assert types["kind"] == "string"
    assert types["feasible"] == "bool"
    assert table.column("a.bits").to_pylist() == [2.5, 8, 8, 16, 16]
    assert table.column("b_db").to_pylist() == [None, 1e-300, 0.1, None, None]


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    files.write_whole(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.benchmark
def test_a_row_costs_milliseconds(tmp_path):
    with Store(tmp_path, "identity", "{}") as table:
        began = time.perf_counter()
        for number in range(200):
            table.add([ResultRow({"n": number}, 0, {f"column_{i}": 0.1 for i in range(60)})])
        each_ms = 1e3 * (time.perf_counter() - began) / 200
    print(f"\n{each_ms:.2f} ms a row")
    assert each_ms < 20
