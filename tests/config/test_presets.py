"""Presets: every file is sound, a scenario that names one holds its values, and says whence."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from hasim.config import presets
from hasim.config.diagnostics import ScenarioError
from hasim.experiment import scenario
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.power import BatterySpec, RadioPower
from hasim.simulation.device.provenance import warnings_about
from hasim.simulation.link.losses import LossSpec
from hasim.simulation.link.traffic import LinkSpec

ALL = [(group, name) for group in presets.GROUPS for name in presets.names(group)]
SPECS = {
    "devices": DeviceSpec,
    "radios": RadioPower,
    "batteries": BatterySpec,
    "links": LinkSpec,
    "losses": LossSpec,
}
LABELS = {
    "ref": ("measured", "standard"),
    "class": ("estimate", "vendor_claim"),
}


def left(devices: dict, **changes) -> DeviceSpec:
    whole = scenario.from_mapping({"devices": {"left": devices}})
    return scenario.replace(
        whole, {k.replace("__", "."): v for k, v in changes.items()}
    ).devices.left


@pytest.mark.parametrize(("group", "name"), ALL)
def test_every_preset_names_its_source_and_sets_what_its_spec_has(group, name):
    preset = presets.load(group, name)
    assert preset.about
    assert all(len(source) > 10 for source in preset.source)
    assert preset.provenance in LABELS.get(name.partition("-")[0], (preset.provenance,))
    if preset.values.get("codec", {}).get("kind") == "lc3":
        pytest.importorskip("lc3")
    spec = TypeAdapter(SPECS[group]).validate_python(presets.values(group, name))
    origin = presets.origin(spec)
    assert origin["changed"] == []
    for path in origin["estimated"]:
        value = spec
        for part in path.split("."):
            value = getattr(value, part)
        assert value is not None, f"{path} is estimated but not set"


def test_no_name_is_in_two_groups():
    names = [name for _, name in ALL]
    assert len(names) == len(set(names))
    assert len(names) >= 36


def test_measured_rate_times_energy_is_the_active_power():
    """The three figures of a board come from different columns; 2 % is their rounding, and up to
    3 % where rate and power are of two rounds."""
    checked = 0
    for name in presets.names("devices"):
        preset = presets.load("devices", name)
        pj = preset.figures.get("dense_int8_pj_per_mac")
        if pj is None:
            continue
        checked += 1
        rate = preset.values["mmac_per_s"]["int8"]
        assert rate * pj * 1e-3 == pytest.approx(preset.values["power"]["active_mw"], rel=0.03)
    assert checked >= 8


def test_a_scenario_holds_the_values_and_what_it_says_itself_goes_first():
    device = left({"preset": "ref-stm32u575-160", "ram_kb": 100, "power": {"base_mw": 2}})
    assert device.preset == "ref-stm32u575-160"
    assert device.mmac_per_s.int8 == 77.0
    assert device.ram_kb == 100
    assert (device.power.active_mw, device.power.base_mw) == (24.2, 2)
    assert presets.origin(device)["changed"] == ["ram_kb"]


def test_an_estimate_that_was_replaced_is_none_any_more():
    device = left({"preset": "ref-stm32u575-160", "mmac_per_s": {"fp32": 20}})
    origin = presets.origin(device)
    assert origin["changed"] == ["mmac_per_s.fp32"]
    assert "mmac_per_s.fp32" not in origin["estimated"]
    assert "mmac_per_s.int4" in origin["estimated"]


def test_one_rate_beside_a_preset_is_for_all_precisions():
    device = left({"preset": "ref-stm32u575-160", "mmac_per_s": 10})
    assert {device.mmac_per_s.of(p) for p in ("fp32", "int16", "int8", "int4")} == {10}


def test_presets_inside_presets_and_written_back():
    device = left({"preset": "ref-gap9-0v65-240", "battery": {"preset": "li-1254", "usable": 0.9}})
    assert (device.battery.mah, device.battery.volts, device.battery.usable) == (70, 3.7, 0.9)
    whole = scenario.from_mapping({"devices": {"left": device.model_dump()}})
    assert whole.devices.left == device


def test_setting_a_preset_begins_afresh_and_its_neighbours_come_after():
    device = left(
        {"preset": "ref-stm32u575-160", "ram_kb": 1},
        devices__left__nvm_kb=77,
        devices__left__power__idle_mw=1,
        devices__left__preset="ref-gap9-0v65-240",
    )
    assert (device.ram_kb, device.nvm_kb) == (1664, 77)
    assert (device.power.active_mw, device.power.idle_mw) == (19.3, 1)


def test_a_whole_mapping_set_from_outside_is_filled_too():
    device = left({}, devices__left={"preset": "ref-stm32u385-96"})
    assert device.ram_kb == 256


def test_unknown_names_and_names_of_other_groups_are_refused():
    with pytest.raises(ScenarioError, match="did you mean 'ref-stm32u575-160'"):
        left({"preset": "ref-stm32u575"})
    with pytest.raises(ScenarioError, match=r"devices\.left\.preset: unknown choice"):
        left({"preset": "zn-312"})
    with pytest.raises(ValueError, match="batteries are li-1254, zn-10"):
        presets.load("batteries", "zn-1")


def test_a_spec_does_not_take_a_name_without_its_values():
    with pytest.raises(ValueError, match="also sets mmac_per_s"):
        DeviceSpec(preset="ref-gap9-0v65-240")


def test_the_default_cell_is_the_preset():
    assert DeviceSpec().battery == BatterySpec(**presets.values("batteries", "zn-312"))
    assert presets.origin(DeviceSpec()) == {"preset": None, "provenance": "user"}


def test_links_and_losses_come_from_presets_too():
    whole = scenario.from_mapping(
        {"link": {"preset": "ref-tdma-2m-hop", "attempts": 3, "loss": {"preset": "moderate"}}}
    )
    assert (whole.link.kind, whole.link.attempts, whole.link.phy_kbps) == ("tdma", 3, 2000)
    assert (whole.link.loss.mean_loss, whole.link.loss.mean_burst) == (0.05, 3)
    assert presets.origin(whole.link)["changed"] == ["attempts"]
    other = scenario.replace(whole, {"link.preset": "ref-ble-acl-2m", "link.flush_ms": 20})
    assert (other.link.kind, other.link.flush_ms) == ("acl", 20)
    assert scenario.replace(other, {"link.kind": "ideal"}).link.kind == "ideal"
    rougher = scenario.replace(whole, {"link.loss.preset": "harsh"})
    assert (rougher.link.preset, rougher.link.loss.mean_burst) == ("ref-tdma-2m-hop", 5)


def test_a_kind_of_ones_own_is_no_preset_any_more():
    whole = scenario.from_mapping({"link": {"preset": "class-ban-dqpsk"}})
    slow = scenario.replace(whole, {"link.kind": "nfmi"}).link
    assert (slow.kind, slow.preset, slow.phy_kbps) == ("nfmi", None, 1024)


def test_no_file_is_read_before_a_preset_is_named():
    """Importing the scenario must not wake the YAML parser."""
    code = "import sys, hasim.experiment.scenario; sys.exit('ruamel.yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


CHIP = """about: my chip
provenance: measured
source: [lab book]
estimated: {power.idle_mw: from the data sheet, battery.mah: weighed}
values:
  mmac_per_s: {fp32: 20, int8: 200}
  ram_kb: 300
  power: {active_mw: 5, idle_mw: 1, radio: {preset: ./radio.yaml}}
  battery: {preset: li-1254, usable: 0.8}
"""
RADIO = """about: my radio
provenance: datasheet
source: [page 7]
values: {tx_mw: 9, rx_mw: 8}
"""


@pytest.fixture
def chip(tmp_path):
    """A scenario that names a preset file in another folder, which names a third file."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "chip.yaml").write_text(CHIP)
    (tmp_path / "parts" / "radio.yaml").write_text(RADIO)
    path = tmp_path / "case.yaml"
    path.write_text("devices: {left: {preset: parts/chip.yaml, power: {base_mw: 2}}}\n")
    return path


def test_a_preset_file_fills_in_like_a_shipped_preset(chip):
    device = scenario.load(chip).devices.left
    assert device.preset == chip.parent / "parts" / "chip.yaml"
    assert (device.mmac_per_s.int8, device.ram_kb) == (200, 300)
    assert (device.power.active_mw, device.power.base_mw) == (5, 2)
    assert device.power.radio.preset == chip.parent / "parts" / "radio.yaml"
    assert (device.power.radio.tx_mw, device.battery.mah, device.battery.usable) == (9, 70, 0.8)
    origin = presets.origin(device)
    assert (origin["preset"], origin["provenance"]) == ("chip.yaml", "measured")
    assert origin["changed"] == []
    assert origin["estimated"].keys() == {"power.idle_mw", "battery.mah"}
    assert any("battery (mah)" in text for text in warnings_about(device, ()))


def test_a_preset_file_can_be_set_from_outside_and_from_python(chip, monkeypatch):
    plain = chip.parent / "plain.yaml"
    plain.write_text("name: plain\n")
    settings = ["devices.right.preset=parts/chip.yaml", "devices.right.power.idle_mw=0.5"]
    device = scenario.load(plain, settings).devices.right
    assert (device.ram_kb, device.power.active_mw, device.power.idle_mw) == (300, 5, 0.5)
    monkeypatch.chdir(chip.parent / "parts")
    device = left({"preset": "chip.yaml"})
    assert device == left({}, devices__left__preset="./chip.yaml")
    assert device == DeviceSpec(**presets.values("devices", "chip.yaml"))


def test_links_and_losses_may_come_from_files(tmp_path):
    (tmp_path / "trace.txt").write_text("0 0 1 0")
    head = "about: x\nprovenance: measured\nsource: [y]\n"
    (tmp_path / "loss.yaml").write_text(head + "values: {kind: gilbert, mean_loss: 0.07}\n")
    (tmp_path / "link.yaml").write_text(
        head + "values: {kind: tdma, ifs_us: 99, loss: {kind: trace, file: trace.txt}}\n"
    )
    (tmp_path / "a").mkdir()
    case = tmp_path / "a" / "case.yaml"
    case.write_text("link: {preset: ../link.yaml}\n")
    link = scenario.load(case).link
    assert (link.kind, link.ifs_us) == ("tdma", 99)
    # a path in a preset file starts at that file's folder
    assert link.loss.file == tmp_path / "trace.txt"
    case.write_text("link: {loss: {preset: ../loss.yaml}}\n")
    assert scenario.load(case).link.loss.mean_loss == 0.07


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            CHIP.replace("ram_kb: 300", "ram_kb: -3"),
            "chip.yaml:7:11: devices.left.ram_kb: too small",
        ),
        (CHIP.replace("ram_kb", "rom_kb"), "chip.yaml:7:3: devices.left.rom_kb: unknown key"),
        (CHIP.replace("provenance: measured\n", ""), "chip.yaml:1:1: provenance: missing"),
        (CHIP.replace("measured", "guessed"), "chip.yaml:2:13: provenance: unknown choice"),
        (CHIP + "more: 1\n", "chip.yaml:10:1: more: unknown key"),
        ("a: [", "chip.yaml:1:5: not valid YAML"),
        (CHIP.replace("li-1254", "./chip.yaml"), "chip.yaml:9:21: devices.left.battery.preset: a "),
        (CHIP.replace("./radio.yaml", "./rodio.yaml"), "did you mean 'radio.yaml'?"),
    ],
)
def test_mistakes_in_a_preset_file_are_shown_where_they_are(chip, content, said):
    (chip.parent / "parts" / "chip.yaml").write_text(content)
    with pytest.raises(ScenarioError) as raised:
        scenario.load(chip)
    assert len(raised.value.problems) == 1
    assert said in str(raised.value)


def test_a_missing_preset_file_is_a_mistake_unless_the_scenario_is_resolved(chip):
    resolved = chip.parent / "resolved.yaml"
    resolved.write_text(scenario.dump(scenario.load(chip)))
    (chip.parent / "parts" / "chip.yaml").rename(chip.parent / "parts" / "chipp.yaml")
    with pytest.raises(ScenarioError, match=r"no such file.*did you mean 'chipp.yaml'"):
        scenario.load(chip)
    device = scenario.load(resolved).devices.left
    assert device.ram_kb == 300
    assert presets.origin(device) == {"preset": "chip.yaml", "provenance": "unknown"}
    assert any("is gone" in text for text in warnings_about(device, ()))
