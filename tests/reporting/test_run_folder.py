"""The folder and the notebook's view of a run."""

from __future__ import annotations

from hasim.reporting.run_folder import write_run
from tests.example_run import example_result

FIGURES = ("scene", "spectrograms", "first_frames", "load", "masks", "comb", "link_loss")


def test_the_folder_has_figures_and_the_page(tmp_path):
    folder = write_run(example_result(40), tmp_path)
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{n}.png" for n in FIGURES}
    assert folder.name in (folder / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_notebook_shows_table_and_players():
    page = example_result()._repr_html_()
    assert page.count("<audio controls") == 3
    assert "SI-SDR" in page
    assert "does not fit" not in page
