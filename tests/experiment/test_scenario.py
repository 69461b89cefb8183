"""Scenario files: every mistake at once, with its place; nothing but ScenarioError escapes."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hasim.config.diagnostics import ScenarioError, ScenarioWarning
from hasim.dsp.stft import SAMPLE_RATE_HZ
from hasim.experiment.scenario import (
    Scenario,
    canonical_json,
    dump,
    from_mapping,
    json_schema,
    load,
    replace,
)
from hasim.simulation.link.codecs import Pcm
from hasim.simulation.link.traffic import ConstantRate, IdealLink

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "scenarios").glob("*.yaml"))


@pytest.fixture
def written(tmp_path):
    """Write a scenario file and give its path."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "case.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def _problems(path: Path, overrides=()) -> list[str]:
    """The lines of a refused file, without its folder."""
    with pytest.raises(ScenarioError) as caught:
        load(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


# --- what is fine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_load_and_carry_the_schema_line(path):
    assert load(path).name == path.stem
    first = path.read_text(encoding="utf-8").splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / schema).resolve() == ROOT / "docs" / "scenario.schema.json"


def test_the_sample_rate_is_the_one_that_everything_is_made_for():
    assert Scenario().sample_rate_hz == SAMPLE_RATE_HZ


def test_the_shipped_scenarios_are_these():
    assert {path.stem for path in SHIPPED} >= {
        "noise_90deg",
        "noise_45deg",
        "babble_cafe",
        "lossy_link",
        "tight_budget",
        "free_field",
    }


def test_five_lines_are_enough(written):
    scenario = load(written("name: short\nscene:\n  snr_db: 3\nlink:\n  rate_kbps: 212\n"))
    assert scenario.scene.snr_db == 3
    assert scenario.link == ConstantRate(rate_kbps=212)
    assert scenario.front_end == Scenario().front_end


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "{}"])
def test_no_lines_are_enough(written, text):
    assert load(written(text)) == Scenario()


def test_numbers_as_yaml_1_2_reads_them(written):
    text = "link: {rate_kbps: 1e5, latency_ms: .5, overhead_octets: 0x0B}\nseed: 1e3\n"
    scenario = load(written(text))
    assert scenario.link.rate_kbps == 100_000
    assert scenario.link.latency_ms == 0.5
    assert scenario.link.overhead_octets == 11
    assert scenario.seed == 1000


def test_a_leading_zero_is_not_octal_and_warns(written):
    with pytest.warns(ScenarioWarning, match=r"case\.yaml:1:7: seed: 012 is read as 12"):
        assert load(written("seed: 012")).seed == 12


def test_anchors_and_aliases_work(written):
    text = "devices: {left: &device {ram_kb: 300}, right: *device}"
    assert load(written(text)).devices.right.ram_kb == 300


def test_paths_start_at_the_file(tmp_path, monkeypatch):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "talk.wav").touch()
    (tmp_path / "here.yaml").write_text(
        "scene:\n  target: {source: {kind: file, path: sounds/talk.wav}}\n"
        "  noises: [{source: {kind: babble, paths: [sounds/talk.wav, sounds/talk.wav]}}]\n"
    )
    monkeypatch.chdir(tmp_path.parent)
    scenario = load(Path(tmp_path.name) / "here.yaml")
    assert scenario.scene.target.source.path == tmp_path / "sounds" / "talk.wav"
    assert scenario.scene.noises[0].source.paths == (tmp_path / "sounds" / "talk.wav",) * 2


# --- what is not ----------------------------------------------------------------------------------


def test_every_mistake_at_once_in_the_order_of_the_file(written):
    text = """\
name: ../up
duration_s: "8"
scene:
  room: {size_m: [6.0, 4.5], t60_s: .nan}
  noises:
    - azimuth_deg: -400
      source: {kind: bundlde}
    - source: {kind: file}
    - source: {name: speech_it_mal}
link: {kbps: fast, los: 0.1}
front_end: {window: 511}
playout: {delay_ms: atuo}
devices:
  rigth: {}
algorithm:
  covariance: recursive
  mu: 1
  mu: 2
metrics: [stoi, pseq]
"""
    lines = _problems(written(text))
    expected = [
        "case.yaml:1:7: name: not allowed (got '../up'); must be text that matches ",
        "case.yaml:2:13: duration_s: not a number (got '8'); must be a number from 0.5 to 600",
        "case.yaml:4:18: scene.room.size_m: too few entries (got a list of 2); must be a list of 3",
        "case.yaml:4:37: scene.room.t60_s: not finite (got .nan); must be a number from 0 to 2",
        "case.yaml:6:20: scene.noises.0.azimuth_deg: too small (got -400); "
        "must be a number from -180 to 180",
        "case.yaml:7:22: scene.noises.0.source.kind: unknown kind (got 'bundlde'); must be ",
        "case.yaml:8:7: scene.noises.1.source.path: missing; must be a path",
        "case.yaml:9:22: scene.noises.2.source.name: unknown choice (got 'speech_it_mal'); must be",
        "case.yaml:10:8: link.kbps: unknown key (got 'fast'); did you mean 'rate_kbps'?",
        "case.yaml:10:20: link.los: unknown key (got 0.1); did you mean 'loss'?",
        "case.yaml:11:12: front_end: window must be even (got 511)",
        "case.yaml:12:21: playout.delay_ms: not allowed (got 'atuo'); "
        "must be 'auto' or a number from 0 to 1000; did you mean 'auto'?",
        "case.yaml:14:3: devices.rigth: unknown key (got {}); did you mean 'right'?",
        "case.yaml:16:15: algorithm.covariance: not a mapping (got 'recursive'); "
        "must be a mapping with kind 'recursive' or 'utterance'; write {kind: recursive}",
        "case.yaml:18:3: algorithm.mu: stands twice, on line 17 and on line 18; keep one",
        "case.yaml:19:17: metrics.1: unknown choice (got 'pseq'); must be ",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)
    assert lines[5].endswith("did you mean 'bundled'?")
    assert lines[7].endswith("did you mean 'speech_it_male'?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: NO", "1:7: seed: not a whole number (got 'NO'); must be a whole number from 0"),
        ("seed: true", "1:7: seed: not a whole number (got true)"),
        ("seed: 1.5", "1:7: seed: not a whole number (got 1.5)"),
        ("seed: -1", "1:7: seed: too small (got -1)"),
        ("seed:", "1:6: seed: not a whole number (got nothing)"),
        ("link: {rate_kbps: .inf}", "1:19: link.rate_kbps: not finite (got .inf)"),
        ("link: {rate_kbps: -.inf}", "1:19: link.rate_kbps: not finite (got -.inf)"),
        ("link: {latency_ms: -1}", "1:20: link.latency_ms: too small (got -1)"),
        ("link: {rate_kbps: 1e999}", "1:19: link.rate_kbps: not finite (got 1e999)"),
        ("link: ideal", "1:7: link: not a mapping (got 'ideal'); must be a mapping with kind "),
        ("link: {kind: null}", "1:14: link.kind: unknown kind (got null); must be "),
        ("link: {kind: [1]}", "1:14: link.kind: unknown kind (got a list of 1)"),
        ("algorithm: {kind: os.system}", "1:19: algorithm.kind: unknown kind (got 'os.system')"),
        ("scene: {noises: 3}", "1:17: scene.noises: not a list (got 3); must be a list"),
        ("scene: {room: {size_m: [1, 2, 3, 4]}}", "1:24: scene.room.size_m: too many entries"),
        ("metrics: [[stoi]]", "1:11: metrics.0: unknown choice (got a list of 1)"),
        ("[1, 2]", "1:1: not a mapping (got a list of 2)"),
        ("just words", "1:1: not a mapping (got 'just words')"),
        ("schema_version: 99\nnews: 1", "1:17: schema_version: unknown version (got 99); this"),
        ("schema_version: true", "1:17: schema_version: unknown version (got true)"),
        ("name: a/b", "1:7: name: not allowed (got 'a/b')"),
        ("name: /etc/passwd", "1:7: name: not allowed"),
        ("name: 1", "1:7: name: not text (got 1)"),
        ('name: "a\\nb"', "1:7: name: not allowed (got 'a\\nb')"),
        ('"\\e[31mred": 1', "1:1: \\x1b[31mred: unknown key (got 1); known keys: schema_version,"),
        ("<<: {seed: 1}", "1:1: <<: unknown key"),
        ("a: [1", "1:6: not valid YAML: expected ',' or ']'"),
        ("a: 1\n  b: 2", "2:4: not valid YAML: mapping values are not allowed here"),
        ("a: \x01", "case.yaml: not valid YAML: unacceptable character"),
        ("seed: 1\n---\nseed: 2", "3:1: a second document; one scenario per file"),
        ("seed: *none", "1:7: seed: *none stands for nothing defined above"),
        ("link: &me {codec: *me}", "1:19: link.codec: *me stands for nothing defined above"),
        ('name: "\\ud800"', "1:7: name: half of a surrogate pair"),
        ("? [a, b]\n: 1", "1:3: a key must be text"),
        (b"name: \xff", "1:7: not UTF-8 text; save it as UTF-8"),
        (b"seed: 1\nname: \xe9", "2:7: not UTF-8 text"),
    ],
)
def test_one_mistake(written, text, message):
    lines = _problems(written(text))
    assert len(lines) == 1
    assert message in lines[0]


def test_what_does_not_fit_together_stands_at_its_keys(written):
    text = """\
link: {kind: ideal}
scene:
  target: {level_db: 3}
  noises:
    - {azimuth_deg: 10}
    - {azimuth_deg: 20,
       distance_m: 19}
"""
    lines = _problems(written(text))
    assert len(lines) == 2
    assert lines[0].startswith("case.yaml:3:22: scene.target.level_db: must be 0 (got 3); ")
    assert lines[1].startswith("case.yaml:7:20: scene.noises.1.distance_m: must be below ")


def test_a_newer_file_names_both_versions(written):
    (line,) = _problems(written("schema_version: 99"))
    assert line.endswith("this hasim reads version 1; a newer hasim is needed")


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.system ['touch marker']", "seed: !!int 1", "! x"]
)
def test_tags_are_refused(written, text, monkeypatch):
    path = written(text)
    monkeypatch.chdir(path.parent)
    assert any("tags are not allowed" in line for line in _problems(path))
    assert not (path.parent / "marker").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested over 32 levels"),
        ("a: " + "{a: " * 50 + "1" + "}" * 50, "nested over 32 levels"),
        ("x" * (10 * 2**20), "larger than 256 KiB"),
        ("é" * 2**18, "larger than 256 KiB"),
        (
            "a0: &a0 [1, 2]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8)),
            "expands to over 10000 values",
        ),
        ("metrics: [" + "stoi, " * 11_000 + "]", "expands to over 10000 values"),
    ],
    ids=["brackets", "braces", "10 MB", "in bytes, not characters", "alias bomb", "long list"],
)
def test_bombs_are_refused_at_once(written, text, message):
    path = written(text)
    started = time.perf_counter()
    (line,) = _problems(path)
    assert message in line
    # Measured: 0.5 s (the brackets) on one core; without the guards it is minutes, or a crash.
    assert time.perf_counter() - started < 10


def test_values_are_printed_short(written):
    (line,) = _problems(written(f"seed: {'x' * 5000}"))
    assert len(line) < 250


def test_missing_files_are_named_with_a_close_match(written, tmp_path):
    (tmp_path / "talker.wav").touch()
    text = "scene: {target: {source: {kind: file, path: talkr.wav}}, head: {kind: sofa, path: .}}"
    lines = _problems(written(text))
    assert lines[0].startswith("case.yaml:1:45: scene.target.source.path: no such file (got ")
    assert lines[0].endswith("did you mean 'talker.wav'?")
    assert lines[1].startswith("case.yaml:1:83: scene.head.path: a folder, not a file")


def test_a_missing_scenario_is_named_with_a_close_match(tmp_path):
    (tmp_path / "cafe.yaml").touch()
    assert _problems(tmp_path / "caffe.yaml") == [
        "caffe.yaml: cannot be read: No such file or directory; did you mean 'cafe.yaml'?"
    ]
    (line,) = _problems(tmp_path)
    assert "cannot be read: Is a directory" in line


# --- overrides ------------------------------------------------------------------------------------


def test_overrides_reach_everywhere(written):
    scenario = load(
        written("name: x\nalgorithm: {mu: 2}"),
        [
            "link.rate_kbps=64",
            "scene.noises.0.azimuth_deg=45",  # the file says nothing of noises
            "metrics=[stoi]",
            "devices.left.mmac_per_s.int8=400",
            "link.codec={kind: mulaw, bits: 6}",
            "scene.sensor_noise_db_spl=",
        ],
    )
    assert scenario.link.rate_kbps == 64
    assert scenario.scene.noises[0].azimuth_deg == 45
    assert scenario.scene.noises[0].source == Scenario().scene.noises[0].source
    assert scenario.metrics == ("stoi",)
    assert scenario.devices.left.mmac_per_s.int8 == 400
    assert scenario.link.codec.kind == "mulaw"
    assert scenario.scene.sensor_noise_db_spl is None
    assert scenario.algorithm.mu == 2


def test_a_new_kind_keeps_what_both_kinds_have(written):
    path = written("link: {rate_kbps: 64, codec: {bits: 5}}")
    assert load(path, ["link.kind=ideal"]).link == IdealLink(codec=Pcm(bits=5))
    # What is set beside the kind must fit the new kind, whatever the order.
    for settings_ in (
        ["link.kind=ideal", "link.rate_kbps=3"],
        ["link.rate_kbps=3", "link.kind=ideal"],
    ):
        (line,) = _problems(path, settings_)
        assert line.startswith("--set: link.rate_kbps: unknown key (got 3)")


def test_mistakes_in_overrides_and_file_come_together(written):
    path = written("seed: x\nlink: {loss: {mean_loss: 2}}\ndevices: {left: {mmac_per_s: 5}}")
    lines = _problems(
        path,
        [
            "foo",
            "=3",
            "link.codec.bits=40",
            "scene.noises.7.azimuth_deg=3",
            "scene.noises.first.azimuth_deg=3",
            f"scene.noises.{'9' * 5000}.azimuth_deg=3",
            "sceen.snr_db=2",
            "playout.wait_ms=[1",
            "front_end.hop.x=1",
            "algorithm.mu=!!int 1",
        ],
    )
    starts = [
        "case.yaml:1:7: seed: not a whole number",
        "case.yaml:2:26: link.loss.mean_loss: too large (got 2); must be a number from 0 to 1",
        "--set: not a setting (got foo); must be KEY=VALUE",
        "--set: not a setting (got =3)",
        "--set: playout.wait_ms: not valid YAML",
        "--set: algorithm.mu: tags are not allowed",
        "--set: sceen: unknown key (got 2); did you mean 'scene'?",
        "--set: scene.noises.7: no such entry (got '7'); must be a whole number from 0 to 0",
        "--set: scene.noises.first: no such entry (got 'first')",
        "--set: scene.noises.99999",
        "--set: front_end.hop: a single value, it has no keys (got 256)",
        "--set: link.codec.bits: too large (got 40); must be a whole number from 1 to 16",
    ]
    assert len(lines) == len(starts)
    missing = [start for start in starts if not any(line.startswith(start) for line in lines)]
    assert missing == []


def test_overrides_leave_aliased_parts_alone(written):
    path = written("devices: {left: &device {ram_kb: 300}, right: *device}")
    devices = load(path, ["devices.left.ram_kb=64"]).devices
    assert (devices.left.ram_kb, devices.right.ram_kb) == (64, 300)


def test_replace_gives_a_new_scenario():
    scenario = from_mapping({"name": "x", "link": {"rate_kbps": 300}})
    changed = replace(
        scenario, {"link.loss.mean_loss": np.float64(0.5), "scene.snr_db": np.int64(3)}
    )
    assert changed.link.loss.mean_loss == 0.5
    assert changed.link.rate_kbps == 300
    assert changed.scene.snr_db == 3
    assert scenario.link.loss.mean_loss == 0.01
    assert replace(scenario, {}) == scenario
    assert replace(scenario, {"link": IdealLink()}).link == IdealLink()
    with pytest.raises(
        ScenarioError, match=r"^link\.loss\.mean_loss: too large \(got 2\); must be"
    ):
        replace(scenario, {"link.loss.mean_loss": 2})
    with pytest.raises(ScenarioError, match=r"^seed: object is not something that a scenario can"):
        replace(scenario, {"seed": object()})


def test_mappings_from_python():
    assert from_mapping({}) == Scenario()
    rooms = from_mapping({"scene": {"room": {"size_m": np.array([3, 4, 5.5])}}})
    assert rooms.scene.room.size_m == (3, 4, 5.5)
    endless: dict = {}
    endless["scene"] = endless
    for wrong in (endless, {"seed": 10**5000}, {"name": "\ud800"}, {1: 2}, {"seed": b"1"}):
        with pytest.raises(ScenarioError):
            from_mapping(wrong)


# --- out again ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_dumped_is_what_is_loaded(path, tmp_path):
    scenario = load(path)
    (tmp_path / "dumped.yaml").write_text(dump(scenario), encoding="utf-8")
    assert load(tmp_path / "dumped.yaml") == scenario
    assert from_mapping(json.loads(canonical_json(scenario))) == scenario


def test_canonical_json_knows_content_only(written):
    one = canonical_json(load(written("seed: 1\nduration_s: 8\nlink: {rate_kbps: 600.0}")))
    other = canonical_json(load(written("link: {kind: constant_rate}\nseed: 1e0")))
    assert one == other
    assert one == json.dumps(json.loads(one), sort_keys=True, separators=(",", ":"))


def test_the_schema_in_the_docs_is_current():
    """Make it so with `hasim schema > docs/scenario.schema.json`."""
    stored = (ROOT / "docs" / "scenario.schema.json").read_text(encoding="utf-8")
    assert json.loads(stored) == json_schema()


def _plain_yaml(path: Path) -> object:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_accepts_what_we_accept(path):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(_plain_yaml(path), json_schema())


def test_the_schema_refuses_unknown_keys():
    jsonschema = pytest.importorskip("jsonschema")
    for wrong in ({"sed": 1}, {"link": {"kind": "ideal", "rate_kbps": 3}}, {"seed": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json_schema())


# --- anything -------------------------------------------------------------------------------------

_SOME_KEYS = sorted({key for part in json_schema()["$defs"].values() for key in part["properties"]})
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "ideal", "gilbert", "file", "bundled", "mn_tango", "local"])
)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_SOME_KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
_SCENARIO_LIKE = st.dictionaries(st.sampled_from(sorted(Scenario.model_fields)), _ANYTHING)
_FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _refused_or_fine(call) -> None:
    """Whatever happens, it is a Scenario or readable lines."""
    try:
        with warnings.catch_warnings(action="ignore", category=ScenarioWarning):
            call()
    except ScenarioError as error:
        assert error.problems  # noqa: PT017
        for line in str(error).split("\n"):
            assert line.isprintable()


@_FUZZ
@given(_SCENARIO_LIKE | _ANYTHING)
def test_any_data_is_refused_or_fine(written, data):
    path = written(json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    _refused_or_fine(lambda: load(path))


@_FUZZ
@given(st.text(alphabet=st.sampled_from("abls:{}[]-,&*!?|>#%@`\"'\\\n\t 012.~<\ud800é\x85")))
@example("%TAG ! tag:x,2000:\n--- !a b")
@example('a: "\\UFFFFFFFF"')
@example("%YAML 1.1\n---\nseed: 1")
def test_any_text_is_refused_or_fine(written, text):
    path = written(text.encode("utf-8", "surrogatepass"))
    _refused_or_fine(lambda: load(path))


@_FUZZ
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_fine(written, data):
    path = written(data)
    _refused_or_fine(lambda: load(path))


@_FUZZ
@given(data=st.data())
def test_damaged_scenarios_are_refused_or_fine(written, data):
    text = (ROOT / "scenarios" / "noise_90deg.yaml").read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    path = written(text[:start] + data.draw(st.text("{}[]:,-&*!\n x1", max_size=5)) + text[end:])
    _refused_or_fine(lambda: load(path))


@_FUZZ
@given(
    st.lists(
        st.lists(st.sampled_from(_SOME_KEYS) | st.sampled_from(["0", "1", "-1", ""]), max_size=4),
        max_size=3,
    ),
    _ANYTHING,
)
def test_any_override_is_refused_or_fine(written, keys, value):
    path = written("scene: {snr_db: 1}")
    paths = [".".join(key) for key in keys]
    _refused_or_fine(lambda: load(path, dict.fromkeys(paths, value)))
    _refused_or_fine(lambda: load(path, [f"{key}={json.dumps(value)}" for key in paths]))
    _refused_or_fine(lambda: replace(Scenario(), dict.fromkeys(paths, value)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"link": {"kind": "cis"}}, r"link\.framing: a hop of 16 ms cannot travel unframed"),
        (
            {
                "algorithm": {"kind": "passthrough"},
                "devices": {"left": {"overload": "hold_filter"}},
            },
            r"devices\.left\.overload: hold_filter needs a filter; passthrough has none",
        ),
        (
            {"devices": {"right": {"overload": "degrade"}}},
            r"devices\.right\.overload: degrade needs a smaller network; algorithm\.spare_groups",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Scenario.model_validate(settings)
    Scenario.model_validate(
        {
            "algorithm": {"masks": "oracle", "spare_groups": 8},
            "devices": {"right": {"overload": "degrade"}},
        }
    )
