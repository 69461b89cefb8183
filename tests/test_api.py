"""The public Python interface: what `import hasim` offers, and that nobody needs more."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hasim
from hasim.experiment.scenario import load as load_scenario
from tests.example_run import example_result, example_timeline

ROOT = Path(__file__).parents[1]
SETTINGS = {"duration_s": 1, "metrics": ["si_sdr"]}
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_every_public_name_is_there():
    assert sorted(hasim.__all__) == sorted(set(hasim.__all__))
    for name in hasim.__all__:
        assert getattr(hasim, name) is not None, name
    assert set(hasim.__all__) <= set(dir(hasim))
    assert set(hasim._HOMES) < set(hasim.__all__)


def test_type_checkers_see_what_is_imported_late():
    """The names under TYPE_CHECKING have the homes that `__getattr__` knows."""
    tree = ast.parse((ROOT / "hasim" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("hasim.")
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("hasim.")
        for alias in node.names
    }
    assert {name: seen.get(name) for name in hasim._HOMES} == hasim._HOMES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'hasim' has no attribute 'runn'"):
        hasim.runn  # noqa: B018


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert hasim.__version__ == version("hasim")


def test_import_hasim_imports_nothing_heavy():
    """No library and no module of its own."""
    code = "import sys; import hasim; print(*sorted(n.partition('.')[0] for n in sys.modules))"
    code += "; print(*(n for n in sys.modules if n.startswith('hasim.')), 'end')"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    libraries, own = done.stdout.splitlines()
    assert set(libraries.split()) <= {"hasim", "__main__", *sys.stdlib_module_names}
    assert own == "end"


# --- repr -----------------------------------------------------------------------------------------


def scenarios() -> list[Path]:
    return sorted((ROOT / "scenarios").glob("*.yaml"))


def test_a_scenario_shows_what_it_is():
    shown = repr(
        hasim.Scenario(name="mine", seed=3, link={"kind": "constant_rate", "rate_kbps": 9})
    )
    assert shown == "<Scenario mine: mn_tango over constant_rate, seed 3; link.rate_kbps=9.0>"
    assert f"{hasim.Scenario()}" == repr(hasim.Scenario())


def test_a_spec_shows_the_keys_that_are_not_at_their_defaults():
    assert repr(hasim.ConstantRate(rate_kbps=9)) == "ConstantRate(rate_kbps=9.0)"
    assert repr(hasim.DeviceSpec()) == "DeviceSpec()"
    many = hasim.Scenario().scene.model_copy(
        update={"noises": (hasim.Scenario().scene.target,) * 99}
    )
    assert len(repr(many)) <= 400


@pytest.mark.parametrize("path", scenarios(), ids=lambda path: path.stem)
def test_the_repr_of_a_scenario_fits_a_screen(path):
    scenario = load_scenario(path)
    assert len(repr(scenario)) <= 400
    assert scenario.name in repr(scenario)
    for part in scenario.model_dump():
        assert len(repr(getattr(scenario, part))) <= 400


def test_the_repr_of_a_result_and_its_parts_fits_a_screen():
    result = hasim.run("scenarios/noise_90deg.yaml", set=SETTINGS, out=None)
    parts = [result, result.timeline, result.verdict, result.latency, result.scene]
    parts += [result.scene.target, *result.timeline.channels.values()]
    for part in parts:
        assert len(repr(part)) <= 400, type(part)
        assert "array" not in repr(part)


def test_long_reprs_are_cut():
    verdict = hasim.Verdict(tuple(f"reason number {n} of many" for n in range(100)))
    assert repr(verdict).startswith("<Verdict does not fit: reason number 0 of many; reason")
    taps = {f"tap number {n}": np.zeros((2, 5, 3)) for n in range(100)}
    enhanced = hasim.Enhanced(np.zeros((2, 5, 3)), taps=taps)
    assert repr(enhanced).startswith("<Enhanced output 2 x 5 x 3 (ear, bin, frame); taps tap")
    for shown in (verdict, enhanced):
        assert len(repr(shown)) <= 400


def test_a_timeline_says_how_much_was_ready_in_time():
    assert repr(example_timeline(100)) == (
        "<Timeline 2 ears x 100 frames, one every 16 ms; channels reference; "
        "ready in time 99.0% left, 100.0% right>"
    )
    lost = sum(
        int(np.sum(x.status == hasim.Status.LOST))
        for x in example_result().timeline.channels.values()
    )
    assert f"{lost} lost" in repr(example_result().timeline.channels["reference"])


# --- hasim.run ------------------------------------------------------------------------------------


def test_run_leaves_the_folder_that_the_command_leaves(tmp_path):
    """Byte for byte, figures and report included."""
    result = hasim.run("scenarios/noise_90deg.yaml", set=SETTINGS, out=tmp_path / "python")
    command = [sys.executable, "-m", "hasim", "run", "scenarios/noise_90deg.yaml", "--quiet"]
    command += ["--set", "duration_s=1", "--set", "metrics=[si_sdr]", "--out", str(tmp_path / "sh")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (folder,) = (tmp_path / "sh").iterdir()
    assert folder.name == result.folder.name
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    others = result.folder.rglob("*")
    assert files == sorted(path.relative_to(result.folder) for path in others if path.is_file())
    assert Path("report.html") in files
    for file in files:
        assert (folder / file).read_bytes() == (result.folder / file).read_bytes(), file


# --- examples and guides --------------------------------------------------------------------------


def sources() -> list[tuple[str, str]]:
    """Python of the examples, and of the code blocks of the guides and of the first page."""
    found = [(path.name, path.read_text()) for path in sorted(ROOT.glob("examples/**/*.py"))]
    pages = [
        *sorted(ROOT.glob("docs/guides/*.md")),
        ROOT / "docs/first_steps.md",
        ROOT / "README.md",
    ]
    for page in pages:
        found += [(page.name, block) for block in FENCE.findall(page.read_text(encoding="utf-8"))]
    return found


@pytest.mark.parametrize(("name", "source"), sources())
def test_examples_and_guides_use_public_names_only(name, source):
    used = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            inside = [alias.name for alias in node.names if alias.name.startswith("hasim.")]
            assert inside == [], f"{name}: imports {inside}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hasim"):
            assert node.module == "hasim", f"{name}: imports from {node.module}"
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used |= {node.attr} if node.value.id == "hasim" else set()
    assert used <= set(hasim.__all__), name


def test_public_names_are_described():
    for name in hasim.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(hasim, name)), name


# --- reference ------------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    directives = re.findall(r"^\.\. (?:auto\w+|py:data):: hasim\.(\w+)$", page, re.MULTILINE)
    assert sorted(directives) == sorted(set(hasim.__all__) - {"__version__"})


def test_arrays_of_public_records_have_their_axes_written():
    """Every array of a public dataclass has a docstring that begins with, or holds, its axes."""
    missing = []
    for name in hasim.__all__:
        public = getattr(hasim, name)
        if not dataclasses.is_dataclass(public):
            continue
        source = inspect.getsource(public)
        if re.search(r"each \([a-z, ]+\)", public.__doc__ or ""):
            continue
        for field in dataclasses.fields(public):
            if "ndarray" in str(field.type) and "Callable" not in str(field.type):
                pattern = rf'^    {field.name}: [^\n]*\n    """(.+?)"""'
                text = re.search(pattern, source, re.MULTILINE | re.DOTALL)
                if text is None or not re.search(r"\([a-z, |.0-9]+\)|record", text[1]):
                    missing.append(f"{name}.{field.name}")
    assert missing == []
