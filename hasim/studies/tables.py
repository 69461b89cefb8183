"""Tables of studies for Python: a list of rows that a notebook shows and pandas takes as it is."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hasim.config.spec import InputError
from hasim.studies.result_row import table_columns
from hasim.studies.results_table import read

if TYPE_CHECKING:
    import pandas

SHOWN_ROWS = 20
"""A notebook shows the first rows up to here."""


class Table(Sequence[dict[str, Any]]):
    """Rows as dicts from column to value, all with the same columns; None is an empty cell.

    The unit is in the name of a column. `pandas.DataFrame(table)` and `table.to_pandas()` give the
    same frame. `folder` is where the study is on disk, and `failed` how many of its runs failed.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], folder: Path | None = None, failed: int = 0
    ) -> None:
        self.rows = [dict(row) for row in rows]
        self.folder = folder
        self.failed = failed

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """A row, or a list of rows."""
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas DataFrame; raises InputError where pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise InputError("a DataFrame needs pandas: pip install 'hasim[pandas]'") from error
        return pandas.DataFrame(self.rows)

    def __repr__(self) -> str:
        names = ", ".join(self.columns)
        text = f"{len(self)} rows x {len(self.columns)} columns: {names}"
        text = text if len(text) <= 250 else f"{text[:247]}..."
        failed = f"; {self.failed} failed" if self.failed else ""
        return f"<{type(self).__name__} {text}{failed}>"

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Sequence[Any]) -> str:
            return "<tr>" + "".join(f"<{tag}>{_cell(cell)}</{tag}>" for cell in cells) + "</tr>"

        rows = [row("td", list(values.values())) for values in self.rows[:SHOWN_ROWS]]
        page = f"<table><thead>{row('th', self.columns)}</thead><tbody>{''.join(rows)}</tbody>"
        more = len(self) - SHOWN_ROWS
        return f"{page}</table>" + (f"<p>{more} more rows</p>" if more > 0 else "")


class Evaluation(Table):
    """Means with 95 % intervals of every algorithm, step, metric and ear, as rows.

    Beside these scores it has three more tables: `differences` (of outputs, scene for scene),
    `share_of_oracle` (improvement with trained masks over that with oracle masks) and `runs` (one
    row for each scene and algorithm).
    """

    def __init__(self, scores: Mapping[str, Any], runs: Table) -> None:
        super().__init__(scores["scores"], runs.folder, runs.failed)
        self.differences = Table(scores["differences"], runs.folder)
        self.share_of_oracle = Table(scores["share_of_oracle"], runs.folder)
        self.runs = runs


def of_folder(folder: str | Path) -> Table:
    """The table of a sweep's folder: axes, seed, status, verdict and numbers of every run.

    Raises InputError: no table, or a damaged one.
    """
    rows = read(folder).rows
    columns = table_columns(rows)
    records = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return Table(records, Path(folder), sum(bool(row.error) for row in rows))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return html.escape(f"{value:.6g}" if isinstance(value, float) else str(value))
