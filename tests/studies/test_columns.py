"""Rows of a table as columns of numbers."""

from __future__ import annotations

import pytest

from hasim.studies.columns import column, column_names
from hasim.studies.result_row import ResultRow


def test_a_column_of_two_ears_is_their_mean():
    rows = [ResultRow({"kind": "x"}, 0, {"a_db_left": 1, "a_db_right": 4, "b_left": 1})]
    assert column(rows, "a_db") == [2.5]
    assert column(rows, "a_db_left") == [1]
    assert column_names(rows) == ["a_db", "a_db_left", "a_db_right", "b_left"]
    with pytest.raises(ValueError, match="did you mean 'b_left'"):
        column(rows, "b_lefd")
