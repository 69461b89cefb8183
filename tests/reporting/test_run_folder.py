"""The folder and the notebook's view of a run."""

from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import hasim
from hasim.acoustics.audio_file import read_audio
from hasim.reporting.run_folder import write_run
from hasim.simulation.feasibility import Verdict
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


BOX_GLYPHS = range(0x2500, 0x25A0)


def test_a_notebook_has_tables_of_its_own_and_no_box_glyphs():
    page = example_result()._repr_html_()
    assert page.count("<table>") == 3
    assert not [glyph for glyph in page if ord(glyph) in BOX_GLYPHS]
    assert '<td style="text-align:left">SI-SDR (dB)</td>' in page
    assert '<img alt="spectrograms, noisy and enhanced" src="data:image/jpeg;base64,' in page
    HTMLParser().feed(page)


def test_a_notebook_shows_names_as_text():
    example = example_result()
    reasons = ("<script>alert(1)</script>",)
    page = dataclasses.replace(example, verdict=Verdict(reasons))._repr_html_()
    assert "<script>" not in page
    assert "does not fit<br>  &lt;script&gt;" in page


def test_the_sound_of_a_notebook_is_that_of_the_run(tmp_path):
    """Decoded again: the same length, and near the run's at one common gain."""
    result = example_result()
    sounds = re.findall(r"data:audio/ogg;base64,([^\"]+)", result._repr_html_())
    gain = 0.9 / max(np.abs(x).max() for x in result.audio.values())
    for name, sound in zip(result.audio, sounds, strict=True):
        (tmp_path / "sound.ogg").write_bytes(base64.b64decode(sound))
        decoded, rate_hz = read_audio(tmp_path / "sound.ogg")
        assert (decoded.shape, rate_hz) == (result.audio[name].shape, 16_000)
        error = decoded - gain * result.audio[name]
        assert np.sum(error**2) < 0.3 * np.sum((gain * result.audio[name]) ** 2), name


@pytest.mark.slow
def test_a_notebook_takes_less_than_300_kb_for_8_s():
    result = hasim.run("scenarios/noise_90deg.yaml", set={"metrics": ["si_sdr"]}, out=None)
    assert result.audio["noisy"].shape == (2, 8 * 16_000)
    page = result._repr_html_()
    assert len(page.encode()) < 300_000
    assert not [glyph for glyph in page if ord(glyph) in BOX_GLYPHS]
