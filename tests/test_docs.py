"""The documentation: every page is in its place, links lead somewhere, commands are commands, the
pages written by program are up to date, and the site is built without network."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from hasim.cli.app import app
from hasim.config.yaml_reader import read
from hasim.experiment.scenario import from_mapping
from hasim.networks import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS = [*PAGES, ROOT / "README.md"]
FENCE = re.compile(r"^(```+)([^\n]*)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _blocks(path: Path) -> Iterator[tuple[str, str]]:
    """Fenced blocks: what stands behind the fence, and the text."""
    for found in FENCE.finditer(path.read_text(encoding="utf-8")):
        yield found[2].strip(), found[3]


def _prose(path: Path) -> str:
    """The page without its blocks and without code in lines."""
    return re.sub(r"`[^`\n]*`", "``", FENCE.sub("", path.read_text(encoding="utf-8")))


@cache
def _program(name: str) -> ModuleType:
    """A program of the docs as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- pages and links ------------------------------------------------------------------------------


def test_every_page_stands_in_one_table_of_contents():
    listed: list[Path] = []
    for kind, text in _blocks(DOCS / "index.md"):
        if kind == "{toctree}":
            entries = [line for line in text.splitlines() if line and not line.startswith(":")]
            for entry in entries:
                found = sorted(DOCS.glob(f"{entry}.md"))
                assert found, f"docs/index.md: {entry} is no page"
                listed += found
    assert len(set(listed)) == len(listed)
    assert sorted([*listed, DOCS / "index.md"]) == PAGES


def _anchors(path: Path) -> set[str]:
    """Headings as GitHub and MyST turn them into anchors."""
    text = re.sub(r"^(```+).*?^\1\s*$", "", path.read_text("utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#{1,4} +(.+?)\s*$", text, flags=re.MULTILINE)
    return {_program("reference")._slug(title) for title in titles}


def _dead_links(path: Path) -> Iterator[str]:
    for target in LINK.findall(_prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        if not page.exists():
            yield f"{_name(path)}: {target}: no such file"
        elif anchor and anchor not in _anchors(page):
            yield f"{_name(path)}: {target}: no such heading"


@pytest.mark.parametrize("path", TEXTS, ids=_name)
def test_links_lead_somewhere(path):
    assert list(_dead_links(path)) == []


def test_a_dead_link_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("# A\n[b](b.md) [there](#a) [gone](#b) [out](https://x.y/#z)")
    assert list(_dead_links(tmp_path / "a.md")) == [
        "a.md: b.md: no such file",
        "a.md: #b: no such heading",
    ]


# --- commands and scenarios in the text -----------------------------------------------------------


def _commands(path: Path) -> Iterator[list[str]]:
    """Lines of blocks that call hasim, as the shell would split them."""
    for kind, text in _blocks(path):
        if kind not in ("", "sh", "bash", "console"):
            continue
        for line in re.sub(r"\\\n\s*", "", text).splitlines():
            for part in re.split(r"\s+(?:\||>|&&)\s+", line.split("  #")[0].strip()):
                if part.startswith("hasim ") and "[OPTIONS]" not in part:
                    yield shlex.split(part, comments=True)[1:]


def _understood(words: list[str]) -> None:
    """Parse a command without running it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(command.name, words)


@pytest.mark.parametrize("path", TEXTS, ids=_name)
def test_commands_in_the_text_are_understood(path):
    if path.name == "command_line.md":
        pytest.skip("usage lines stand for any command")
    for words in _commands(path):
        if words[0].startswith("--"):
            continue
        _understood(words)
        for word in words:
            if word.startswith(("scenarios/", "examples/")) and "*" not in word:
                # `hasim check` takes FILE.py:NAME
                assert (ROOT / word.partition(":")[0]).is_file(), word


def test_a_command_that_does_not_exist_is_found():
    for words in (["frob"], ["run"], ["run", "a.yaml", "--sed", "1"]):
        with pytest.raises(Exception, match=r"frob|Missing|No such option"):
            _understood(words)


def _scenarios() -> Iterator[tuple[str, dict[str, Any]]]:
    """Blocks of YAML that are scenarios and name no files of somebody's own."""
    for path in TEXTS:
        for kind, text in _blocks(path):
            if kind == "yaml":
                node = read(text, _name(path)).root
                assert node is not None, f"{_name(path)}: {text}"
                keys = node.plain()
                own = any(word in text for word in ("path:", "response:", "rate_kbs"))
                if not own and {"scene", "devices", "link", "algorithm"} & keys.keys():
                    yield _name(path), keys


def test_scenarios_in_the_text_are_scenarios(monkeypatch):
    # The network that the guide to own networks registers is the one of its example.
    example = runpy.run_path(str(ROOT / "examples" / "own_network.py"))
    monkeypatch.setitem(registry._registered, "floor_tracker", example["FloorTracker"]())
    found = list(_scenarios())
    assert len(found) >= 3
    for _, keys in found:
        from_mapping(keys)


# --- pages written by program ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scenario_reference.md", "command_line.md"])
def test_pages_written_by_program_are_current(name):
    """Make them so with `python docs/reference.py`."""
    page = _program("reference").PAGES[name]()
    assert (DOCS / name).read_text(encoding="utf-8") == page


def test_the_reference_tells_bounds_units_and_kinds():
    page = (DOCS / "scenario_reference.md").read_text(encoding="utf-8")
    assert "| `duration_s` | number, 0.5 to 600; s | `8` |" in page
    assert "### link: tdma" in page
    assert "| `mean_loss` | number, 0 to 1 | `0.01` |" in page
    assert "| `phy_kbps` | number, above 0, at most 1\u202f000\u202f000; kbit/s | `2000` |" in page


def test_the_help_is_grouped_and_every_command_has_an_example():
    front_door: Any = typer.main.get_command(app)
    reference = _program("reference")
    for name, command in front_door.commands.items():
        assert command.rich_help_panel, f"{name}: stands in no group"
        for full, one in reference._commands(f"hasim {name}", command):
            heading, *examples = (one.epilog or "").split("\n\n")
            assert heading in ("Example:", "Examples:"), full
            for example in examples:
                words = shlex.split(re.split(r" [|>] ", example)[0])
                assert example.startswith(full)
                _understood(words[1:])


def test_shells_complete_commands_options_and_choices(tmp_path):
    def completed(*words: str) -> list[str]:
        environment = {
            "_HASIM_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("hasim", *words)),
            "COMP_CWORD": str(len(words)),
            "PATH": "/usr/bin:/bin",
        }
        program = "from hasim.cli.app import app; app(prog_name='hasim')"
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        return done.stdout.split()

    assert {"sweep", "search", "schema"} <= set(completed("s"))
    assert "--over" in completed("sweep", "--o")
    assert completed("presets", "dev") == ["devices"]


# --- the site -------------------------------------------------------------------------------------

_NO_NETWORK = """
import socket, sys

def refuse(*_, **__):
    raise OSError("no network here")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from sphinx.cmd.build import main

sys.exit(main(sys.argv[1:]))
"""
RESOURCE = re.compile(
    r"""<(?:script|img|iframe|audio|video|source|embed)\b[^>]*?\bsrc\s*=\s*["']?([^"'\s>]+)"""
    r"""|<link\b[^>]*?\bhref\s*=\s*["']?([^"'\s>]+)"""
    r"""|url\(\s*["']?([^"')\s]+)|@import\s+["']([^"']+)""",
    re.IGNORECASE,
)


def _fetched(text: str) -> set[str]:
    """What a browser fetches to show a page or a style sheet."""
    return {next(filter(None, found)) for found in RESOURCE.findall(text)}


def test_what_a_browser_would_fetch_is_found():
    page = '<link rel="x" href="a.css"><a href="https://x.y"><script src=//c.d/e.js></script>'
    assert _fetched(page + "<style>@import 'f'; b {background: url( https://g.h/i )}") == {
        *("a.css", "//c.d/e.js", "f", "https://g.h/i")
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_is_built_without_network_and_fetches_nothing(tmp_path):
    """Warnings are errors: a dead link, a page in no table of contents, a formula gone wrong."""
    for package in ("sphinx", "myst_parser", "furo", "latex2mathml"):
        pytest.importorskip(package, reason="the site needs `pip install '.[docs]'`")
    site = tmp_path / "site"
    command = [sys.executable, "-c", _NO_NETWORK, "-W", "--keep-going", "-n", "-q"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", DOCS, site], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    built = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    assert {path.relative_to(DOCS) for path in PAGES} <= built
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    outside = {
        (str(path.relative_to(site)), what)
        for path in files
        for what in _fetched(path.read_text(encoding="utf-8"))
        if re.match(r"(?:[a-z]+:)?//", what, re.IGNORECASE)
    }
    assert outside == set()
    metrics = (site / "metrics.html").read_text(encoding="utf-8")
    assert metrics.count("<math") > 20
    assert not any("mathjax" in what.lower() for what in _fetched(metrics))


def test_the_picture_of_the_packages_is_current():
    """Make it so with `python docs/house.py`."""
    house = _program("house")
    assert house.PICTURE.read_text(encoding="utf-8") == house.svg()
