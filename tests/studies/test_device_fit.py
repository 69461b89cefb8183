"""What fits where: the published loads reproduced, memory by region, and names that do not exist.

Loads are the networks' MACs per second over the dense rate of the preset (simple division of
measured numbers), to the digits that they are usually stated with.
"""

from __future__ import annotations

import pytest

from hasim.config.presets import names
from hasim.experiment import scenario
from hasim.experiment.scenario import Scenario
from hasim.reporting.cost_tables import matrix
from hasim.simulation.device.memory import MemoryLedger
from hasim.studies.device_fit import ALGORITHMS, Cell, fit

VARIANTS = ("tango", "mn_tango", "mn_tango_g2", "mn_tango_g8")
LOADS = {  # share of the time and ms per 16 ms frame, network alone
    "ref-stm32l4r5-120": ((1.31, 20.9), (0.61, 9.8), (0.21, 3.4), (0.09, 1.5)),
    "ref-stm32u575-160": ((0.85, 13.6), (0.40, 6.4), (0.14, 2.2), (0.06, 0.97)),
    "ref-stm32u385-96": ((1.35, 21.5), (0.63, 10.1), (0.22, 3.5), (0.10, 1.5)),
    "ref-xg24-78": ((1.35, 21.6), (0.63, 10.1), (0.22, 3.5), (0.10, 1.5)),
    "ref-nrf5340-128": ((1.56, 24.9), (0.73, 11.7), (0.26, 4.1), (0.11, 1.8)),
    "ref-gap9-0v65-240": ((0.067, 1.1), (0.032, 0.51), (0.011, 0.18), (0.005, 0.08)),
}
POWER_MW = {
    "ref-stm32l4r5-120": (None, 23.7, 8.3, 3.6),
    "ref-stm32u575-160": (20.3, 9.5, 3.3, 1.4),
    "ref-stm32u385-96": (None, 3.7, 1.3, 0.56),
    "ref-xg24-78": (None, 5.5, 1.9, 0.83),
    "ref-gap9-0v65-240": (1.31, 0.61, 0.21, 0.09),
}


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, str], Cell]:
    found = fit(Scenario(), names("devices"), tuple(ALGORITHMS))
    return {(cell.device, cell.algorithm): cell for cell in found}


def test_every_device_meets_every_algorithm(cells):
    assert len(cells) == len(names("devices")) * len(ALGORITHMS) >= 16 * 11


@pytest.mark.parametrize("device", LOADS)
def test_loads_of_the_networks_are_the_published_ones(cells, device):
    for variant, (share, ms) in zip(VARIANTS, LOADS[device], strict=True):
        cell = cells[device, variant]
        assert cell.network_utilisation == pytest.approx(share, abs=0.006)
        assert cell.network_ms == pytest.approx(ms, abs=0.06)


def test_tango_alone_does_not_fit_and_only_on_the_four_small_boards(cells):
    too_much = {
        (device, variant)
        for device in LOADS
        for variant in VARIANTS
        if not cells[device, variant].network_fits
    }
    small = ("ref-stm32l4r5-120", "ref-stm32u385-96", "ref-xg24-78", "ref-nrf5340-128")
    assert too_much == {(device, "tango") for device in small}


@pytest.mark.parametrize("device", POWER_MW)
def test_power_of_the_networks(cells, device):
    """2 % where energies and active power are of two rounds; the stated digits elsewhere."""
    for variant, mw in zip(VARIANTS, POWER_MW[device], strict=True):
        if mw is not None:
            digit = 0.5 * 10 ** -len(str(mw).partition(".")[2])
            assert cells[device, variant].network_mw == pytest.approx(mw, abs=0.02 * mw + digit)


def test_the_filter_costs_time_that_the_network_alone_does_not_show(cells):
    """MN-TANGO's network takes 0.63 of a U385; with filters in floating point nothing is left."""
    cell = cells["ref-stm32u385-96", "mn_tango"]
    assert cell.network_fits
    assert cell.total_utilisation > 1
    assert not cell.fits
    # Where an accelerator takes the network, that may be all it has to do.
    engine = {name for name, _ in cells if "ethos" in name}
    plain = [cell for cell in cells.values() if cell.device not in engine]
    assert all(cell.total_utilisation > cell.network_utilisation for cell in plain)


def test_case_34_weights_may_lie_in_nvm_and_nothing_else_may():
    """int8 MN-TANGO on 256 KB + 1 MB: not in RAM alone, but with its weights in NVM."""
    whole = scenario.from_mapping(
        {"algorithm": {"kind": "mn_tango"}, "devices": {"left": {"preset": "ref-stm32u385-96"}}}
    )
    items = whole.algorithm.memory(whole.front_end, whole.link.codec)
    of_network = [i for i in items if i.name.startswith("mn_dnn") and i.region == "nvm"]
    weights = sum(item.bytes for item in of_network)
    assert weights / 2**20 == pytest.approx(0.508, rel=0.005)  # what the paper calls MB
    device = whole.devices.left
    assert (device.ram_kb, device.nvm_kb) == (256, 1024)
    assert MemoryLedger(items, device.ram_kb, device.nvm_kb).fits
    alone = tuple(type(item)(item.name, item.bytes, "ram") for item in items)
    assert not MemoryLedger(alone, device.ram_kb, device.nvm_kb).fits
    assert all(item.region == "ram" for item in items if "lstm_" in item.name)


def test_floating_point_weights_are_short_of_nvm():
    base = scenario.from_mapping({"algorithm": {"precision": {"weights": 32}}})
    (cell,) = fit(base, ["ref-stm32u385-96"], ["tango"])
    assert cell.nvm_short_kb == pytest.approx(cell.nvm_kb - 1024) != 0
    assert "NVM" in matrix([cell])


def test_the_matrix_marks_what_does_not_fit(cells):
    lines = matrix(cells.values()).splitlines()
    titles = [line for line in lines if line and line.split()[0] in ("network", "whole", "memory")]
    assert len(titles) == 3
    row = next(line for line in lines if line.startswith("ref-stm32l4r5-120"))
    assert "1.31 x" in row  # 1.308, rounded up
    assert "0.61 x" not in row
    assert max(map(len, lines)) < 150


def test_memory_that_nobody_states_is_neither_short_nor_enough(cells):
    cell = cells["ref-ndp120-0v9-30", "tango"]
    assert cell.nvm_short_kb is None
    assert cell.ram_short_kb == 0
    assert cell.carried
    assert matrix([cell]).split("\n\nlatency")[0].split()[-1] == "?"


def test_names_that_do_not_exist():
    with pytest.raises(ValueError, match=r"devices: unknown choice \(got 'pdp-11'\)"):
        fit(Scenario(), ["pdp-11"], ["tango"])
    with pytest.raises(ValueError, match="algorithms: unknown choice"):
        fit(Scenario(), [names("devices")[0]], ["tangle"])


def test_a_preset_file_is_a_device_too(tmp_path):
    chip = tmp_path / "chip.yaml"
    chip.write_text(
        "about: x\nprovenance: datasheet\nsource: [y]\n"
        "values: {mmac_per_s: {fp32: 1, int8: 2}, nvm_kb: 4}\n"
    )
    (cell,) = fit(Scenario(), [str(chip)], ["local"])
    assert (cell.device, cell.provenance) == ("chip.yaml", "datasheet")
    assert cell.total_utilisation > 1
    assert cell.ram_short_kb is None
    assert cell.nvm_short_kb > 0
    with pytest.raises(ValueError, match="no such file"):
        fit(Scenario(), [str(tmp_path / "chop.yaml")], ["local"])
