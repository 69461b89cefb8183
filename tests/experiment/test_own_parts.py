"""Links and codecs of one's own: by entry point, and as objects from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

import hasim
from hasim.config.diagnostics import ScenarioError
from hasim.config.spec import Spec
from hasim.experiment.scenario import Scenario, dump, from_mapping, with_parts
from hasim.nodes import FrameByFrame
from hasim.simulation.link.codecs import Codec, Pcm
from hasim.simulation.link.traffic import ConstantRate
from tests.experiment.test_plugins import hasim as command
from tests.experiment.test_plugins import install

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = {
    "duration_s": 0.5,
    "metrics": ["si_sdr"],
    "algorithm": {"masks": "oracle"},
    "link": {"codec": {"bits": 8}},
}


class Halves(Codec):
    """Numbers at half their bits: good for nothing but tests."""

    kind: Literal["halves"] = "halves"
    domain: Literal["samples"] = "samples"

    def encode_decode(self, values, full_scale):
        return values / 2

    def bits_for(self, numbers, parts=1):
        return numbers * parts


@pytest.mark.parametrize(
    ("group", "module", "name", "said"),
    [
        ("hasim.links", "own_link", "Uwb", "link: {kind: uwb, preamble_symbols: 32}"),
        ("hasim.codecs", "own_codec", "ALaw", "link: {codec: {kind: alaw, headroom_db: 20}}"),
    ],
)
def test_a_plug_in_is_a_kind_like_any_other(tmp_path, group, module, name, said):
    source = (EXAMPLES / f"{module}.py").read_text()
    install(tmp_path, module, source, f"own = {module}:{name}", group)
    file = tmp_path / "own.yaml"
    file.write_text(f"{said}\nduration_s: 0.5\nmetrics: [si_sdr]\n")
    done = command(tmp_path, "run", str(file), "--quiet", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / json.loads(done.stdout)["folder"]
    kept = (folder / "scenario.yaml").read_text()
    assert said.partition("kind: ")[2].partition(",")[0] in kept
    wrong = file.read_text().replace("kind: ", "mistake: 1, kind: ")
    file.write_text(wrong)
    refused = command(tmp_path, "validate", str(file))
    assert refused.returncode == 3
    assert "mistake: unknown key" in refused.stderr


@pytest.mark.parametrize("group", ["hasim.links", "hasim.codecs"])
def test_a_broken_plug_in_costs_one_warning(tmp_path, group):
    install(tmp_path, "broken", "import nothing_of_that_name", "broken = broken:Part", group)
    (tmp_path / "plain.yaml").write_text("algorithm: {kind: local}\n")
    done = command(tmp_path, "validate", str(tmp_path / "plain.yaml"))
    assert done.returncode == 0
    assert done.stderr.count("nothing_of_that_name") == 1
    assert "Traceback" not in done.stderr


def test_objects_from_python():
    """A codec that sends half the number of bits and half the signal."""
    result = hasim.run(SHORT, codec=Halves(), out=None)
    assert result.scenario.link.codec == Halves()
    plain = hasim.run(SHORT, link=ConstantRate(codec=Pcm(bits=1)), out=None)
    assert result.numbers["link_kbps"] == plain.numbers["link_kbps"]
    both = with_parts(from_mapping({}), link=ConstantRate(rate_kbps=5), codec=Halves())
    assert (both.link.rate_kbps, both.link.codec) == (5, Halves())
    assert "halves" in dump(both)


def test_an_object_is_taken_wherever_a_choice_is_open():
    assert ConstantRate(codec=Halves()).codec == Halves()
    assert Scenario(link=ConstantRate(codec=Halves())).link.codec == Halves()
    with pytest.raises(ValidationError):
        ConstantRate(codec=object())


def test_objects_that_break_the_contract_are_refused_with_what_they_lack():
    class Nothing(Spec):
        kind: Literal["nothing"] = "nothing"

    scenario = from_mapping({})
    with pytest.raises(ScenarioError, match=r"^link: not a Link \(got Nothing\); it has no codec"):
        with_parts(scenario, link=Nothing())
    with pytest.raises(ScenarioError, match=r"^link\.codec: not a Codec \(got object\); its class"):
        with_parts(scenario, codec=object())


def test_objects_are_checked_with_the_rest_of_the_scenario():
    class Quiet(FrameByFrame):
        kind: Literal["quiet"] = "quiet"

    with pytest.raises(ScenarioError, match=r"link\.codec\.domain: a frame-by-frame node"):
        with_parts(from_mapping({}), algorithm=Quiet())
