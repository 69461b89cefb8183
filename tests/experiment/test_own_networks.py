"""Mask networks of one's own: by entry point or as objects, heard and charged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from numpy import ndarray

import hasim
from hasim.config.diagnostics import ScenarioError
from hasim.config.spec import InputError
from hasim.experiment.run import run
from hasim.experiment.scenario import dump, from_mapping
from hasim.networks.contract import NetworkCost
from hasim.networks.registry import register
from hasim.nodes import Tango
from hasim.simulation.program import Compute
from tests.experiment.test_plugins import hasim as command
from tests.experiment.test_plugins import install

BASE = {"duration_s": 0.5, "metrics": ["si_sdr"], "seed": 1}
SCENARIO = "algorithm: {kind: mn_tango, networks: {mn_dnn: half}}\n"
PACKAGE = """
import numpy as np
from hasim import NetworkCost

class Half:
    cost = NetworkCost(macs=100_000, weight_bytes=50_000, state_bytes=1_000, precision="int8")

    def __call__(self, spectra):
        return np.full((spectra.shape[0], *spectra.shape[2:]), 0.5)

half = Half()
"""


@dataclass(frozen=True)
class Constant:
    value: float = 0.5
    cost: ClassVar = NetworkCost(macs=1000, weight_bytes=2000, state_bytes=300, precision="int16")

    def __call__(self, spectra: ndarray) -> ndarray:
        return np.full((spectra.shape[0], *spectra.shape[2:]), self.value)


def scenario(**algorithm: object):
    return from_mapping({**BASE, "algorithm": algorithm})


def test_its_masks_are_used_and_those_of_other_roles_stay():
    own = register(Constant(0.25))
    made = scenario(kind="tango", masks="oracle", networks={"mn_dnn": own})
    result = run(made)
    assert set(np.unique(result.masks["mn_dnn"])) == {0.25}
    exact = run(scenario(kind="tango", masks="oracle"))
    np.testing.assert_array_equal(result.masks["sn_dnn"], exact.masks["sn_dnn"])


def test_beside_trained_networks():
    own = register(Constant(0.25))
    result = run(scenario(kind="tango", networks={"mn_dnn": own}))
    trained = run(scenario(kind="tango"))
    np.testing.assert_array_equal(result.masks["sn_dnn"], trained.masks["sn_dnn"])
    assert set(np.unique(result.masks["mn_dnn"])) == {0.25}


def test_its_cost_is_charged():
    own = register(Constant())
    made = scenario(kind="mn_tango", networks={"mn_dnn": own})
    (step,) = (s for s in made.programs[0] if isinstance(s, Compute) and s.part == "network")
    assert (step.macs, step.precision, step.weight_bytes) == (1000, "int16", 2000)
    items = {i.name: i for i in made.algorithm.memory(made.front_end, made.link.codec)}
    assert (items["mn_dnn weights"].bytes, items["mn_dnn weights"].region) == (2000, "nvm")
    assert (items["mn_dnn state"].bytes, items["mn_dnn state"].region) == (300, "ram")
    assert items["mn_dnn mask"].bytes == 4 * 257
    result = run(made)
    assert result.numbers["network_mmac_per_s"] == pytest.approx(1000 * 62.5 / 1e6)


def test_a_network_that_is_too_large_is_in_the_verdict():
    @dataclass(frozen=True)
    class Large(Constant):
        cost: ClassVar = NetworkCost(macs=10**9, weight_bytes=10**9)

    result = run(scenario(kind="mn_tango", networks={"mn_dnn": register(Large())}))
    assert not result.verdict.feasible


def test_front_ends_without_trained_weights():
    """Where all networks are one's own, no trained ones are missed."""
    front_end = {"window": 128, "hop": 64}
    with pytest.raises(ScenarioError, match="the trained networks that come with hasim are for"):
        from_mapping({**BASE, "front_end": front_end})
    result = hasim.run(
        {**BASE, "front_end": front_end}, networks={"mn_dnn": Constant(0.25)}, out=None
    )
    assert result.masks["mn_dnn"].shape[1] == 65


def test_from_python_and_in_the_resolved_scenario():
    result = hasim.run(BASE, networks={"mn_dnn": Constant(0.75)}, out=None)
    assert set(np.unique(result.masks["mn_dnn"])) == {0.75}
    name = register(Constant(0.75))
    assert name.startswith("Constant-")
    assert f"mn_dnn: {name}" in dump(result.scenario)
    assert result.hashes["scenario"] != run(scenario(kind="mn_tango")).hashes["scenario"]


def test_objects_have_names_of_what_they_are():
    assert register(Constant(0.1)) == register(Constant(0.1)) != register(Constant(0.2))
    assert Tango(networks={"mn_dnn": Constant(0.1)}).networks.mn_dnn == register(Constant(0.1))


def test_with_an_algorithm_object_networks_belong_into_it():
    with pytest.raises(ValueError, match="networks: "):
        hasim.run(BASE, algorithm=Tango(), networks={"mn_dnn": Constant()}, out=None)


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ({"networks": {"mn_dn": "half"}}, "did you mean 'mn_dnn'"),
        ({"networks": {"mn_dnn": "Constent-1"}}, "no network of the name 'Constent-1'"),
        ({"networks": {"sn_dnn": "OWN"}}, "networks.sn_dnn: mn_tango runs mn_dnn alone"),
        ({"networks": {"mn_dnn": 3}}, "algorithm.networks.mn_dnn"),
        ({"networks": {"mn_dnn": "OWN"}, "mask_every": 2, "masks": "oracle"}, "mask_every: must"),
        ({"networks": {"mn_dnn": "OWN"}, "spare_groups": 8}, "spare_groups: must be null"),
    ],
)
def test_mistakes_name_the_key(algorithm, said):
    names = algorithm["networks"].items()
    networks = {role: register(Constant()) if name == "OWN" else name for role, name in names}
    with pytest.raises(ScenarioError, match=said):
        scenario(kind="mn_tango", **algorithm | {"networks": networks})


def test_close_names_are_offered():
    name = register(Constant(0.125))
    with pytest.raises(ScenarioError, match=f"did you mean '{name}'"):
        scenario(kind="mn_tango", networks={"mn_dnn": name + "x"})


@pytest.mark.parametrize("other", [Constant, len, 3.0])
def test_what_is_no_network_is_refused(other):
    with pytest.raises(ValueError, match=r"class|no mask network"):
        register(other)


def test_masks_that_are_none_are_an_input_error():
    with pytest.raises(InputError, match=r"algorithm.networks.mn_dnn: Constant-\w+: mask: must be"):
        run(scenario(kind="mn_tango", networks={"mn_dnn": register(Constant(2.0))}))


def test_a_package_registers_a_network(tmp_path):
    install(tmp_path, "half_network", PACKAGE, "half = half_network:half", group="hasim.networks")
    path = tmp_path / "half.yaml"
    path.write_text(f"{SCENARIO}duration_s: 0.5\nmetrics: [si_sdr]\n")
    done = command(tmp_path, "run", str(path), "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["numbers"]["network_mmac_per_s"] == pytest.approx(6.25)
    path.write_text(path.read_text().replace("half}", "hallf}"))
    refused = command(tmp_path, "validate", str(path))
    assert refused.returncode == 3
    assert "did you mean 'half'" in refused.stderr


def test_a_package_that_cannot_be_loaded_is_named(tmp_path):
    source, entry = "import nothing_there", "half = broken:half"
    install(tmp_path, "broken", source, entry, group="hasim.networks")
    path = tmp_path / "half.yaml"
    path.write_text(SCENARIO)
    refused = command(tmp_path, "validate", str(path))
    assert refused.returncode == 3
    assert "half (broken:half) cannot be loaded" in refused.stderr
    assert "Traceback" not in refused.stderr
