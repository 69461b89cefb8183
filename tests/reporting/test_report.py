"""The page of a run or a sweep: what it says, what it must not do, how it behaves in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import shutil
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.config.spec import InputError, LimitError
from hasim.experiment.scenario import Scenario, canonical_json, load, replace
from hasim.reporting import page as pages
from hasim.reporting import pareto_figure, pictures, record, run_figures, sweep_page
from hasim.reporting import run_folder as run_folders
from hasim.reporting.settings import settings
from hasim.studies import pareto, results_table
from hasim.studies.axes import grid
from hasim.studies.result_row import ResultRow, settings_key
from hasim.studies.results_table import Store
from tests.chromium import Chromium, program
from tests.example_run import example_result

FRAMES = 300
DURATION_S = FRAMES * 0.016
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """A page as a flat list of elements, with the text that stands directly in each."""

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[int] = []
        self.feed(html)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.handle_data(" ")
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in self.VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        for place in self._open:
            self.texts[place] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> list[str]:
        named = zip(self.elements, self.texts, strict=True)
        return [" ".join(text.split()) for (name, _), text in named if name == tag]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # one figure is enough, and the rest take seconds
        patch.setattr(run_folders, "figures", lambda _: {"comb": run_figures.comb(44.0)})
        return run_folders.write_run(example_result(FRAMES), tmp_path_factory.mktemp("runs"))


GRID = {"algorithm.kind": ["mn_tango", "tango"], "link.codec.bits": [2, 4, 8]}


def _rows(failed: bool = False) -> list[ResultRow]:
    """Two algorithms and three bit widths, four seeds; a point that changes nothing in `local`."""
    rng = np.random.default_rng(5)
    scene_db = rng.normal(0, 1, 4)
    points = [{"algorithm.kind": kind, "link.codec.bits": bits} for kind in GRID["algorithm.kind"]
              for bits in GRID["link.codec.bits"]]  # fmt: skip
    rows = []
    for number, point in enumerate([*points, {"algorithm.kind": "local"}]):
        for seed in range(4):
            bits = point.get("link.codec.bits", 0)
            gain = 6 + 0.4 * np.sqrt(bits) * (1 - 0.3 * (number >= 3)) + 0.05 * rng.normal()
            numbers = {
                "si_sdr_improvement_db_left": gain + scene_db[seed],
                "si_sdr_improvement_db_right": gain + 2 + scene_db[seed],
                "link_kbps": 32.0 * bits,
                "latency_ms": 40.0 + bits,
                "ram_kb": 62.0,
            }
            rows.append(ResultRow(point, seed, numbers, number != 2, "", f"{number}{seed}beef"))
    if failed:
        rows.append(ResultRow({"scene.target.source.file": EVIL}, 0, error=f"InputError: {EVIL}"))
    return rows


def _sweep(folder: Path, rows: list[ResultRow], base: Scenario | None = None) -> Path:
    base = base or Scenario(name="base")
    with Store(folder, "identity", canonical_json(base)) as table:
        table.add(rows)
        table.write_table()
    return folder


@pytest.fixture(scope="module")
def sweep_folder(tmp_path_factory):
    folder = _sweep(tmp_path_factory.mktemp("sweeps") / "bits", _rows(failed=True))
    goals = [pareto.Objective("link_kbps"), pareto.Objective("si_sdr_improvement_db", True)]
    pareto_figure.save(pareto.front(results_table.read(folder), goals), folder / "pareto")
    return folder


@pytest.fixture(params=["run_folder", "sweep_folder"])
def folder(request):
    return request.getfixturevalue(request.param)


# --- form -----------------------------------------------------------------------------------------


def test_a_page_is_made_of_sound_html(folder):
    page = Page(pages.page(folder))
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(picture["alt"] for picture in page.all("img"))
    links = [link["href"][1:] for link in page.all("a")]
    assert links
    assert set(links) <= set(ids)
    for name, attributes in page.elements:
        if name == "th":
            assert attributes["scope"] in ("row", "col", "rowgroup", "colgroup")
        if name == "section":
            assert attributes["aria-labelledby"] in ids
        assert "style" not in attributes, "the policy forbids it"
        assert not any(key.startswith("on") for key in attributes)
    labelled = len(page.all("label"))
    fields = len(page.all("input")) + len(page.all("select")) + len(page.all("audio"))
    assert labelled == fields


def test_a_page_asks_nobody_for_anything(folder):
    html = pages.page(folder)
    page = Page(html)
    for name, attributes in page.elements:
        assert name not in ("link", "iframe", "object", "embed", "base", "form")
        for key in ("src", "href", "srcset", "xlink:href", "poster", "action", "data"):
            if key in attributes:
                assert attributes[key].startswith(("data:", "#")), (name, key)
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {"#hatch"}
    assert "@import" not in html
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "data:"
    for name in ("style", "script"):
        pattern = rf"<{name}>(.*?)</{name}>"
        (inside,) = re.findall(pattern, html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


def test_the_same_folder_leaves_the_same_bytes(folder, tmp_path):
    elsewhere = shutil.copytree(folder, tmp_path / folder.name)
    time.sleep(0.01)
    first = pages.write(folder, tmp_path / "first.html").read_bytes()
    assert pages.write(elsewhere).read_bytes() == first
    assert (elsewhere / "report.html").read_bytes() == first
    assert str(folder.parent).encode() not in first


def test_texts_from_the_folder_are_texts(run_folder, tmp_path):
    evil = shutil.copytree(run_folder, tmp_path / EVIL.replace("/", "_"))
    summary = json.loads((evil / "summary.json").read_text())
    summary["scenario"] = EVIL
    summary["verdict"] = {"feasible": False, "reasons": [EVIL]}
    summary["warnings"] = [EVIL]
    summary["unscored"] = {EVIL: EVIL}
    summary["stages"] = {EVIL: {"si_sdr_db_left": 1.0}}
    (evil / "summary.json").write_text(json.dumps(summary))
    manifest = json.loads((evil / "manifest.json").read_text())
    manifest["versions"] = {EVIL: EVIL}
    (evil / "manifest.json").write_text(json.dumps(manifest))
    page = Page(pages.page(evil))
    assert EVIL in page.text_of("h1")
    assert EVIL in page.text_of("li")
    assert len(page.all("script")) == 2
    assert not any(picture.get("src") == "x" for picture in page.all("img"))


def test_texts_from_a_table_are_texts(sweep_folder):
    html = pages.page(sweep_folder)
    page = Page(html)
    assert any(EVIL in text for text in page.text_of("td"))
    assert len(page.all("script")) == 2
    assert not any(picture.get("src") == "x" for picture in page.all("img"))
    points = [{"link.codec.bits": 1, EVIL: EVIL}, {"link.codec.bits": EVIL, EVIL: 2}]
    rows = [ResultRow(point, n, {"latency_ms": n}, True, EVIL) for n, point in enumerate(points)]
    again = Page(pages.page(_sweep(sweep_folder.parent / "evil", rows)))
    assert len(again.all("script")) == 2
    assert not any(picture.get("src") == "x" for picture in again.all("img"))


# --- a run ----------------------------------------------------------------------------------------


def test_the_page_of_a_run_tells_what_the_summary_says(run_folder):
    page = Page(pages.page(run_folder))
    rows = [text for text in page.text_of("tr") if text.startswith("SI-SDR")]
    assert rows[0] == "SI-SDR (dB) −1.0 5.5 +6.5 −1.0 8.2 +9.2"
    assert "Fits" in page.text_of("header")[0]
    assert "the PESQ process died" in page.text_of("section")[1]
    assert "+6.5 / +9.2 dB" in page.text_of("header")[0]
    assert "44.0 ms" in page.text_of("header")[0]
    assert "523 kbit/s" in page.text_of("header")[0]
    again = page.text_of("section")[-1]
    assert f"hasim run {run_folder.name}/scenario.yaml --out again" in again
    assert "0123456789abcdef" in again


def test_a_run_that_does_not_fit_says_so_at_the_top(run_folder, tmp_path):
    misfit = shutil.copytree(run_folder, tmp_path / "misfit")
    summary = json.loads((misfit / "summary.json").read_text())
    summary["verdict"] = {"feasible": False, "reasons": ["link needs 523 kbit/s, has 208"]}
    (misfit / "summary.json").write_text(json.dumps(summary))
    (header,) = Page(pages.page(misfit)).text_of("header")
    assert "Does not fit." in header
    assert "link needs 523 kbit/s, has 208" in header


def test_sound_is_the_files_times_one_gain(run_folder):
    page = Page(pages.page(run_folder))
    players = page.all("audio")
    gains = []
    for player, name in zip(players, ("noisy", "enhanced", "target"), strict=True):
        kind, _, content = player["src"].partition(",")
        assert kind == "data:audio/wav;base64"
        inside = run_folder.parent / "inside.wav"
        inside.write_bytes(base64.b64decode(content))
        embedded, rate_hz = soundfile.read(inside)
        kept, _ = soundfile.read(run_folder / f"{name}.wav")
        assert rate_hz == 16_000
        assert embedded.shape == kept.shape
        gain = np.vdot(kept, embedded) / np.vdot(kept, kept)
        # half a step of 16 bits, and of 24 bits before
        np.testing.assert_allclose(embedded, gain * kept, atol=0.51 / 32767 + gain * 2**-24)
        gains.append(gain)
    np.testing.assert_allclose(gains, gains[0], rtol=1e-5)
    loudest = max(
        np.abs(soundfile.read(run_folder / f"{name}.wav")[0]).max()
        for name in ("noisy", "enhanced", "target")
    )
    # 16-bit files have 32767 steps of the 32768 that reading divides by
    assert gains[0] * loudest == pytest.approx(0.9, rel=1e-4)
    stated = re.search(r"common gain of ([+−][\d.]+) dB", page.text_of("section")[0])
    assert float(stated[1].replace("−", "-")) == pytest.approx(20 * np.log10(gains[0]), abs=0.051)


def test_a_spectrogram_has_its_tone_in_its_place(tmp_path):
    from matplotlib.image import imread

    levels_db = np.full((257, 1000), -80.0)
    levels_db[64, 500:] = 0.0  # a quarter of the way up, in the second half
    levels_db[255, 0] = -35.0
    content = pictures.spectrogram_uri(levels_db, 70.0).partition(",")[2]
    (tmp_path / "picture.png").write_bytes(base64.b64decode(content))
    picture = imread(tmp_path / "picture.png")[..., :3]  # (row, column, colour)
    assert picture.shape == (128, 500, 3)
    yellow, purple = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255
                      for c in ("#fde725", "#440154"))  # fmt: skip
    np.testing.assert_allclose(picture[127 - 32, 250:], np.tile(yellow, (250, 1)), atol=0.01)
    np.testing.assert_allclose(picture[127 - 32, :250], np.tile(purple, (250, 1)), atol=0.01)
    assert np.ptp(picture[0, 1:], axis=0).max() == 0
    assert not np.allclose(picture[0, 0], purple, atol=0.1)


def test_the_record_holds_every_step_and_packet(run_folder):
    timeline = example_result(FRAMES).timeline
    data = record.context(run_folder, Scenario())["data"]
    steps, packets = [], []
    for ear, own in enumerate(data["ears"]):
        for frame, (release, pattern, sent) in enumerate(
            zip(own["released"], own["steps"], own["packets"], strict=True)
        ):
            flat = data["steps"][pattern]
            for name, on_accelerator, start, length in zip(*[iter(flat)] * 4, strict=True):
                assert on_accelerator == 0
                begin = 100 * (release + start)
                steps.append((ear, frame, data["names"][name], begin, begin + 100 * length))
            flat = data["packets"][sent]
            for one in zip(*[iter(flat)] * 7, strict=True):
                channel, piece, attempt, start, length, arrived, lost = one
                begin = 100 * (release + start)
                there = -1 if arrived is None else 100 * (release + arrived)
                packets.append((data["channels"][channel], ear, frame, piece, attempt, begin,
                                begin + 100 * length, there, bool(lost)))  # fmt: skip
    assert sorted(steps) == sorted(timeline.steps.tolist())
    assert sorted(packets) == sorted(timeline.packets.tolist())
    for ear, own in enumerate(data["ears"]):
        assert own["heard"] == "".join("01"[int(x)] for x in timeline.heard[ear])
        assert own["statuses"][0] == "".join(map(str, timeline.channels["reference"].status[ear]))
    assert len(data["steps"]) < 10, "frames that are alike share a pattern"


def test_only_what_differs_from_the_defaults_is_marked():
    assert [one for one in settings(Scenario()) if one.changed] == []
    changed = replace(Scenario(), {"link.rate_kbps": 64, "scene.noises.0.azimuth_deg": 45})
    marked = [one for one in settings(changed) if one.changed]
    assert [(one.path, one.value) for one in marked] == [
        ("scene.noises.0.azimuth_deg", "45"),
        ("link.rate_kbps", "64"),
    ]
    other = replace(Scenario(), {"algorithm.kind": "local"})
    marked = [(one.path, one.value, one.default) for one in settings(other) if one.changed]
    assert marked == [("algorithm.kind", "local", "mn_tango")]


# --- a sweep --------------------------------------------------------------------------------------


def test_the_page_of_a_sweep_has_every_point_and_every_failure(sweep_folder):
    page = Page(pages.page(sweep_folder))
    rows = [text for text in page.text_of("tr") if text.startswith("mn_tango 4")]
    shown = _rows()[4:8]
    means = [
        np.mean([row.numbers[name] for row in shown])
        for name in ("si_sdr_improvement_db_left", "si_sdr_improvement_db_right")
    ]
    assert rows == [f"mn_tango 4 yes 4 {np.mean(means):.3f} 128.0 44.00"]
    assert "8 points" in page.text_of("title")[0]
    assert "1 of 29 runs failed" in page.text_of("header")[0]
    assert "6 of 7" in page.text_of("header")[0]
    (failed,) = (text for text in page.text_of("td") if text.startswith("InputError"))
    assert "hasim run scenario.yaml --seed 0 --set" in failed
    drawn = [picture for picture in page.all("img") if "svg+xml" in picture["src"]]
    assert len(drawn) == 1


@pytest.mark.parametrize(
    "points",
    [
        [{}],
        [{"link.codec.bits": bits} for bits in (2, 4)],
        [{"link.codec.bits": b, "algorithm.mu": mu} for b in (2, 4) for mu in (0.5, 1)],
        [{"link.codec.bits": 2, "algorithm.mu": 1}, {"link.codec.bits": 4, "algorithm.mu": 0.5}],
        [{"algorithm.kind": "local"}, {"algorithm.kind": "tango", "link.rate_kbps": 64}],
    ],
)
def test_the_sweep_files_of_the_page_play_the_same_points(points, tmp_path):
    rows = [
        ResultRow(point, seed, {"latency_ms": 1.0}, True) for point in points for seed in (3, 4)
    ]
    content = sweep_page.context(
        _sweep(tmp_path / "sweep", rows, Scenario(name="base", duration_s=2))
    )
    (tmp_path / "scenario.yaml").write_text(content["yaml"])
    played = []
    for one in content["plans"]:
        (tmp_path / one["file"]).write_text(one["yaml"])
        again = grid(tmp_path / one["file"])
        assert again.seeds == (3, 4)
        assert again.base == Scenario(name="base", duration_s=2)
        assert shlex.split(one["command"])[:3] == ["hasim", "sweep", one["file"]]
        played += map(settings_key, again.points)
    assert sorted(played) == sorted(settings_key(point) for point in points)


def test_the_command_of_a_row_is_its_scenario(tmp_path):
    point = {"algorithm.kind": "tango", "link.loss.mean_loss": 0.25, "metrics": ["si_sdr"]}
    (row,) = [ResultRow(point, 9, {"latency_ms": 1.0}, True)]
    content = sweep_page.context(_sweep(tmp_path / "sweep", [row], Scenario(name="base")))
    assert content["data"] is None, "a single row has nothing to compare"
    command = shlex.split(sweep_page.command_of(row))
    assert command[:5] == ["hasim", "run", "scenario.yaml", "--seed", "9"]
    (tmp_path / "scenario.yaml").write_text(content["yaml"])
    overrides = [*command[6::2], "seed=9"]
    again = load(tmp_path / "scenario.yaml", overrides)
    assert again == replace(Scenario(name="base", seed=9), point)


def test_a_sweep_of_which_all_failed_has_a_page(tmp_path):
    rows = [ResultRow({"algorithm.mu": mu}, 0, error="OSError: no room") for mu in (1, 2)]
    page = Page(pages.page(_sweep(tmp_path / "sweep", rows)))
    assert "2 of 2 runs failed" in page.text_of("header")[0]
    assert len(page.all("script")) == 1
    assert sum("OSError: no room" in text for text in page.text_of("td")) == 2


def test_a_table_too_large_for_a_page_is_refused(sweep_folder, monkeypatch):
    monkeypatch.setattr(sweep_page, "MAX_NUMBERS", 10)
    with pytest.raises(LimitError, match="more than a page holds"):
        pages.page(sweep_folder)


# --- what is no folder of hasim's -----------------------------------------------------------------


def _without(name: str):
    return lambda folder: (folder / name).unlink()


def _with(name: str, content: str):
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (_without("manifest.json"), "neither the folder of a run"),
        (_without("summary.json"), "summary.json: not the folder of a run"),
        (_without("noisy.wav"), "noisy.wav: expected an audio file"),
        (_without("frames.csv"), "frames.csv: not the folder of a run"),
        (_with("manifest.json", "{"), "manifest.json: damaged"),
        (_with("summary.json", "[]"), "summary.json: damaged"),
        (_with("summary.json", "{}"), "damaged, or from another hasim"),
        (_with("steps.csv", "ear,frame,name,start_ns,end_ns\nleft,x,y,z,0\n"), "damaged"),
        (_with("frames.csv", "ear,frame\n"), "frames.csv: damaged"),
        (_with("results.sqlite", "nonsense"), "results.sqlite: damaged"),
    ],
)
def test_a_bad_folder_is_said_in_one_line(run_folder, tmp_path, spoil, said):
    bad = shutil.copytree(run_folder, tmp_path / "bad")
    (bad / "report.html").unlink()
    spoil(bad)
    answer = CliRunner().invoke(app, ["report", str(bad)])
    assert answer.exit_code == 4
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not (bad / "report.html").exists()


def test_a_page_needs_a_place(run_folder, tmp_path):
    with pytest.raises(InputError, match="its folder does not exist"):
        pages.write(run_folder, tmp_path / "nowhere" / "page.html")
    with pytest.raises(InputError, match="a folder"):
        pages.write(run_folder, tmp_path)


def test_an_empty_table_is_no_sweep_yet(tmp_path):
    with pytest.raises(InputError, match="no rows yet"):
        pages.page(_sweep(tmp_path / "sweep", []))


# --- in a browser ---------------------------------------------------------------------------------

TAP = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    window.tap = [0, 1].map(() => this.context.createAnalyser());
    const split = this.context.createChannelSplitter(2);
    connect.call(this, split);
    window.tap.forEach((tap, ear) => connect.call(split, tap, ear));
  }
  return connect.call(this, to, ...rest);
};
window.levels = () => window.tap.map((tap) => {
  const x = new Float32Array(tap.fftSize);
  tap.getFloatTimeDomainData(x);
  return Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length);
});
"""
needs_chromium = pytest.mark.skipif(
    program() is None, reason="needs Chromium (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    chromium.call("Page.addScriptToEvaluateOnNewDocument", source=TAP)
    yield chromium
    chromium.close()


@pytest.fixture
def opened(browser, folder):
    browser.screen(1280, 900)
    browser.open(pages.write(folder))
    yield browser
    assert browser.console == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)


@pytest.fixture
def listening(browser, run_folder):
    browser.screen(1280, 900)
    browser.open(pages.write(run_folder))
    yield browser
    assert browser.console == []


@pytest.fixture
def looking(browser, sweep_folder):
    browser.screen(1280, 900)
    browser.open(pages.write(sweep_folder))
    yield browser
    assert browser.console == []


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_a_page_fits_every_screen(opened, width, dark):
    opened.screen(width, 800, dark=dark)
    assert opened.run("document.documentElement.scrollWidth") <= width
    assert opened.run("innerWidth") == width
    light = opened.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", light)[:3])) < 200) == dark


@needs_chromium
@pytest.mark.slow
def test_nothing_is_asked_of_the_network(opened):
    opened.run("fetch('http://127.0.0.1:9/').then(() => 'came', () => 'refused')")
    assert any("Content Security Policy" in text for text in opened.console)
    assert not any(url.startswith("http") for url in opened.requests)
    opened.console.clear()


POSITION = "Number(document.querySelector('#position').value)"
SIGNAL = "document.querySelector('[name=signal]:checked').value"


@needs_chromium
@pytest.mark.slow
def test_sound_plays_and_switching_keeps_the_position(listening):
    page = listening
    page.point_at("#play", click=True)
    page.wait("document.querySelector('#player').dataset.state === 'playing'")
    page.wait(f"{POSITION} > 0.1")
    page.wait("Math.min(...levels()) > 0.005")
    before = page.run(POSITION)
    for key, signal in (("1", "0"), ("3", "2"), ("2", "1")):
        began, at = time.monotonic(), page.run(POSITION)
        page.press(key)
        assert page.run(SIGNAL) == signal
        now = page.run(POSITION)
        # the picture of the position is renewed with the screen, 60 times a second at best
        assert at <= now <= at + (time.monotonic() - began) + 0.1
    page.wait(f"{POSITION} > {before}")
    page.press(" ")
    page.wait("document.querySelector('#player').dataset.state === 'paused'")
    stopped = page.run(POSITION)
    time.sleep(0.2)
    assert page.run(POSITION) == stopped


@needs_chromium
@pytest.mark.slow
def test_one_ear_is_heard_alone(listening):
    page = listening
    page.run("document.querySelector('#loop').checked = true")
    page.point_at("#play", click=True)
    page.wait("window.tap && Math.min(...levels()) > 0.005")
    page.press("1")  # noise differs between the ears
    difference = "(() => { const [a, b] = levels(); return Math.abs(a - b) / Math.max(a, b); })()"
    page.wait(f"{difference} > 0.05")
    for key in "lr":
        page.press(key)
        page.wait(f"{difference} === 0")
    page.press("b")
    page.wait(f"{difference} > 0.05")
    page.press(" ")


@needs_chromium
@pytest.mark.slow
def test_a_click_into_a_spectrogram_goes_there(listening):
    listening.point_at(".spectrogram[data-signal='2'] .frame", click=True, share=0.75)
    assert listening.run(POSITION) == pytest.approx(0.75 * DURATION_S, abs=0.03)
    assert listening.run(SIGNAL) == "2"
    listening.press("ArrowLeft")
    assert listening.run(POSITION) == pytest.approx(0.75 * DURATION_S - 1, abs=0.06)


@needs_chromium
@pytest.mark.slow
def test_the_timeline_is_read_with_mouse_and_keyboard(listening):
    says = "document.querySelector('#gantt-says').textContent"
    listening.point_at("#gantt-chart .step")
    listening.wait(f"{says}.includes('frame 0 of the')")
    listening.run("document.querySelector('#gantt-chart [tabindex=\"0\"]').focus()")
    first = listening.run(says)
    listening.press("ArrowRight")
    assert listening.run(says) != first
    listening.press("ArrowLeft")
    assert listening.run(says) == first
    listening.point_at("#frame-event", click=True)
    assert "Frame 1: reference for the right ear lost" in listening.run(says)
    assert listening.run("document.querySelectorAll('#gantt-chart .packet.lost').length") >= 1


CARD = "document.querySelector('#card').textContent"


@needs_chromium
@pytest.mark.slow
def test_a_point_names_itself_under_the_mouse_and_in_focus(looking):
    page = looking
    page.point_at("#front-chart .point[data-point='6'] circle")
    page.wait(f"{CARD}.includes('tango')")
    page.run("document.querySelector('#front-chart [tabindex=\"0\"]').focus()")
    page.press("Home")
    assert page.run("document.activeElement.dataset.point") == "0"  # `local` offers nothing
    card = page.run(CARD)
    point = _rows()[-4:]
    for text in ("algorithm local", "base", "0: 60beef, 1: 61beef", '{"algorithm.kind":"local"}'):
        assert text in card
    values = [
        sum(row.numbers[f"si_sdr_improvement_db_{ear}"] for ear in ("left", "right")) / 2
        for row in point
    ]
    half = 3.182446 * np.std(values, ddof=1) / 2  # Student, three degrees of freedom
    ends = f"{np.mean(values):.4g} [{np.mean(values) - half:.4g}, {np.mean(values) + half:.4g}]"
    assert ends in card
    page.press("ArrowRight")
    assert page.run("document.activeElement.dataset.point") != "0"
    assert page.run(CARD) != card
    page.press("Enter")
    assert page.run("document.activeElement.tagName") == "TR"


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("rule", ["paired", "plain"])
@pytest.mark.parametrize("names", [("link_kbps", "si_sdr_improvement_db"),
                                   ("si_sdr_improvement_db_right", "latency_ms")])  # fmt: skip
def test_the_front_is_that_of_hasim_pareto(looking, sweep_folder, names, rule):
    page = looking
    sheet = results_table.read(sweep_folder)
    goals = [pareto.Objective(name, "improvement" in name) for name in names]
    front = pareto.front(sheet, goals, rule=rule)
    columns = [c["name"] for c in sweep_page.context(sweep_folder)["data"]["columns"]]
    choices = {"axis-x": columns.index(names[0]), "axis-y": columns.index(names[1]), "rule": rule}
    for select, value in choices.items():
        page.run(
            f"(() => {{ const s = document.getElementById('{select}'); s.value = '{value}';"
            " s.dispatchEvent(new Event('change')); })()"
        )
    drawn = page.run(
        "[...document.querySelectorAll('#front-chart .point')].map((g) => [Number(g.dataset.point),"
        " !g.classList.contains('beaten'), g.classList.contains('best')])"
    )
    assert len(drawn) == 7
    for point, on_front, leading in drawn:
        assert on_front == bool(front.on_front[point] | front.leading[point])
        assert leading == bool(front.leading[point])


@needs_chromium
@pytest.mark.slow
def test_the_table_sorts_and_filters(looking):
    page = looking
    rows = "[...document.querySelectorAll('#table tbody tr:not([hidden])')]"
    cells = rows + ".map((row) => row.cells[{}].textContent)"
    page.point_at("#table th:nth-child(6) button", click=True)
    ascending = [float(x) for x in page.run(cells.format(5))]
    assert ascending == sorted(ascending)
    assert page.run("document.querySelectorAll('#table th')[5].getAttribute('aria-sort')") == (
        "ascending"
    )
    page.point_at("#table th:nth-child(6) button", click=True)
    assert [float(x) for x in page.run(cells.format(5))] == ascending[::-1]
    page.run("document.querySelector('#filter').focus()")
    for letter in "mn_tango":
        page.press(letter)
    assert page.run(cells.format(0)) == ["mn_tango"] * 3
    assert page.run("document.querySelectorAll('#front-chart .point').length") == 3
    page.point_at("#only-fit", click=True)
    assert len(page.run(cells.format(0))) == 2


@needs_chromium
@pytest.mark.slow
def test_motion_is_calm_for_those_who_ask(listening):
    listening.screen(1280, 900, still=True)
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert listening.run(behaviour) == "auto"
    listening.screen(1280, 900)
    assert listening.run(behaviour) == "smooth"
