"""Dataflows: the same sound as the nodes make of the same masks, and every network learns."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hasim.models.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.models.mn_dnn import MnDnn
from hasim.models.sn_dnn import SnDnn
from hasim.training.dataflows import NETWORKS, Algorithm, other_ear, run
from hasim.training.sdw_mwf import enhance


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"sn_dnn": SnDnn(), "mn_dnn": MnDnn()}


def microphones(frames: int = 20) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(2, 2, 2, 257, frames, dtype=torch.complex64, generator=rng)


@pytest.mark.parametrize("algorithm", NETWORKS)
def test_every_network_gets_a_gradient_from_the_last_filter(algorithm: Algorithm) -> None:
    nets = networks()
    flow = run(algorithm, nets, microphones())
    assert tuple(flow.masks) == NETWORKS[algorithm]
    assert flow.output is not None
    assert flow.output.shape == (2, 2, 257, 20)
    flow.output.abs().square().mean().backward()
    for name in NETWORKS[algorithm]:
        slopes = [parameter.grad for parameter in nets[name].parameters()]
        assert all(slope is not None and torch.isfinite(slope).all() for slope in slopes)
        assert any(slope is not None and slope.abs().max() > 0 for slope in slopes)


@pytest.mark.parametrize("algorithm", NETWORKS)
def test_ears_are_treated_alike(algorithm: Algorithm) -> None:
    nets, mics = networks(), microphones()
    flow, mirrored = run(algorithm, nets, mics), run(algorithm, nets, mics.flip(1))
    torch.testing.assert_close(mirrored.output, flow.output.flip(1))  # type: ignore[union-attr]


def test_masks_alone_are_the_same_masks() -> None:
    nets, mics = networks(), microphones()
    alone, whole = run("tango", nets, mics, last_filter=False), run("tango", nets, mics)
    assert alone.output is None
    assert torch.equal(alone.masks["mn_dnn"], whole.masks["mn_dnn"])


def test_tango_by_hand_one_ear_at_a_time() -> None:
    nets, mics = networks(), microphones()
    first, z = {}, {}
    for ear in (0, 1):
        x = mics[:, ear, 0].abs().transpose(-1, -2)[:, None]  # (batch, 1, frame, bin)
        first[ear] = nets["sn_dnn"](x).transpose(-1, -2)
        z[ear] = enhance(mics[:, ear], first[ear])
    flow = run("tango", nets, mics)
    for ear in (0, 1):
        both = torch.stack([mics[:, ear, 0].abs(), z[1 - ear].abs()], dim=1)
        mask = nets["mn_dnn"](both.transpose(-1, -2)).transpose(-1, -2)
        three = torch.cat([mics[:, ear], z[1 - ear][:, None]], dim=1)
        torch.testing.assert_close(flow.masks["mn_dnn"][:, ear], mask)
        torch.testing.assert_close(flow.output[:, ear], enhance(three, mask))  # type: ignore[index]


def test_the_compact_network_takes_the_place_of_the_full_one() -> None:
    nets = {"mn_dnn": CompactMnDnn(CompactMnDnnSpec(groups=8))}
    assert run("mn_tango", nets, microphones()).output is not None


def test_other_ear_swaps() -> None:
    np.testing.assert_array_equal(other_ear(torch.tensor([[1, 2]])), [[2, 1]])
