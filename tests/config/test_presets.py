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
from hasim.simulation.link.losses import LossSpec
from hasim.simulation.link.traffic import LinkSpec

ALL = [(shelf, name) for shelf in presets.SHELVES for name in presets.names(shelf)]
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


@pytest.mark.parametrize(("shelf", "name"), ALL)
def test_every_preset_names_its_source_and_sets_what_its_spec_has(shelf, name):
    preset = presets.load(shelf, name)
    assert preset.about
    assert all(len(source) > 10 for source in preset.source)
    assert preset.provenance in LABELS.get(name.partition("-")[0], (preset.provenance,))
    if preset.values.get("codec", {}).get("kind") == "lc3":
        pytest.importorskip("lc3")
    spec = TypeAdapter(SPECS[shelf]).validate_python(presets.values(shelf, name))
    origin = presets.origin(spec)
    assert origin["changed"] == []
    for path in origin["estimated"]:
        value = spec
        for part in path.split("."):
            value = getattr(value, part)
        assert value is not None, f"{path} is estimated but not set"


def test_no_name_is_on_two_shelves():
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


def test_unknown_names_and_names_of_other_shelves_are_refused():
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


def test_links_and_losses_come_from_their_shelves_too():
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
