"""The table of named variants against the weights that come with hasim."""

from __future__ import annotations

import pytest

from hasim.experiment.scenario import Scenario, replace
from hasim.networks import cost, pretrained
from hasim.networks.mask_estimator import by_role, stored_precision
from hasim.networks.precision import FLOATING
from hasim.networks.variants import GROUPS, NETWORKS, VARIANTS


@pytest.mark.parametrize("name", pretrained.names())
def test_shipped_weights_are_what_the_table_says(name):
    variant = VARIANTS[name]
    assert variant.weights == name
    folder = pretrained.FOLDER / name
    assert stored_precision(folder) == variant.precision
    found = by_role(pretrained.files(folder))
    assert found.keys() == set(variant.networks)
    if "mn_dnn" in found:
        assert getattr(found["mn_dnn"][1].spec, "groups", 0) == variant.groups
    named = None if variant.precision == FLOATING else f"{pretrained.PREFIX}{name}"
    assert pretrained.folder(variant.kind, variant.groups, named) == folder


@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_are_those_of_the_program(kind):
    scenario = replace(Scenario(), VARIANTS[kind].settings | {"algorithm.masks": "oracle"})
    assert scenario.algorithm.kind == kind
    run = [step.name for step in scenario.programs[0] if getattr(step, "part", "") == "network"]
    assert tuple(run) == VARIANTS[kind].networks


def test_groups_are_those_that_a_compact_network_can_have():
    assert (0, *cost.WIDTH) == GROUPS
    for groups in GROUPS:
        name = f"mn_tango_g{groups}" if groups else "mn_tango"
        assert VARIANTS[name].settings == {"algorithm.kind": "mn_tango", "algorithm.groups": groups}


def test_algorithms_with_the_same_networks_share_weights():
    assert VARIANTS["centralised_g8"].weights == "mn_tango_g8"
    assert pretrained.folder("centralised", 8) == pretrained.FOLDER / "mn_tango_g8"
    assert pretrained.folder("of_another_package", 2).name == "of_another_package_g2"
