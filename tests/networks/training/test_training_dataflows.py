"""Dataflows: the same sound as the nodes make of the same masks, and every network learns."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hasim.dsp.covariance import Utterance
from hasim.dsp.stft import FrontEndSpec, analyse
from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.networks.mask_estimator import estimator
from hasim.networks.mn_dnn import MnDnn
from hasim.networks.sn_dnn import SnDnn
from hasim.networks.training.dataflows import NETWORKS, Algorithm, other_ear, run
from hasim.networks.training.filters import TrainingFilter, enhance
from hasim.nodes import InvertedDagger, InvertedStar, Local, MnTango, Tango
from hasim.nodes.exchange import Exchange
from hasim.simulation.link.codecs import Float32
from tests.conftest import hand_made_timeline, two_source_scene


def networks() -> dict[str, nn.Module]:
    """Untrained, but with opinions: masks far from 0.5 that depend on both ears."""
    torch.manual_seed(0)
    sn_dnn, mn_dnn = SnDnn(), MnDnn()
    with torch.no_grad():
        mn_dnn.mix.weight.copy_(torch.tensor([[1.0, -0.7]]))
        for last in (sn_dnn.head[2], mn_dnn.dense):
            last.weight.mul_(50)
    return {"sn_dnn": sn_dnn, "mn_dnn": mn_dnn}


def microphones(frames: int = 20) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(2, 2, 2, 257, frames, dtype=torch.complex64, generator=rng)


@pytest.mark.parametrize("name", ["sdw_mwf", "gevd"])
@pytest.mark.parametrize("algorithm", NETWORKS)
def test_every_network_gets_a_gradient_from_the_last_filter(
    algorithm: Algorithm, name: TrainingFilter
) -> None:
    nets = networks()
    flow = run(algorithm, nets, microphones(), filter_name=name)
    assert tuple(flow.masks) == NETWORKS[algorithm]
    assert flow.output is not None
    assert flow.output.shape == (2, 2, 257, 20)
    flow.output.abs().square().mean().backward()
    for network in NETWORKS[algorithm]:
        slopes = [parameter.grad for parameter in nets[network].parameters()]
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


@pytest.mark.parametrize("name", ["sdw_mwf", "gevd"])
def test_tango_by_hand_one_ear_at_a_time(name: TrainingFilter) -> None:
    nets, mics = networks(), microphones()
    first, z = {}, {}
    for ear in (0, 1):
        # (batch, 1, frame, bin)
        x = mics[:, ear, 0].abs().transpose(-1, -2)[:, None]
        first[ear] = nets["sn_dnn"](x).transpose(-1, -2)
        z[ear] = enhance(mics[:, ear], first[ear], name=name)
    flow = run("tango", nets, mics, filter_name=name)
    for ear in (0, 1):
        both = torch.stack([mics[:, ear, 0].abs(), z[1 - ear].abs()], dim=1)
        mask = nets["mn_dnn"](both.transpose(-1, -2)).transpose(-1, -2)
        three = torch.cat([mics[:, ear], z[1 - ear][:, None]], dim=1)
        torch.testing.assert_close(flow.masks["mn_dnn"][:, ear], mask)
        expected = enhance(three, mask, name=name)
        torch.testing.assert_close(flow.output[:, ear], expected)  # type: ignore[index]


@pytest.mark.parametrize(
    ("algorithm", "node"),
    [
        ("mn_tango", MnTango),
        ("tango", Tango),
        ("inverted_dagger", InvertedDagger),
        ("inverted_star", InvertedStar),
        ("local", Local),
    ],
)
def test_the_same_sound_as_the_node(
    algorithm: Algorithm, node: type, rng: np.random.Generator
) -> None:
    front_end, codec = FrontEndSpec(), Float32(domain="spectrum")
    target, noise = two_source_scene(rng, 12_000)
    mics = analyse(target + noise, front_end)
    exchange = Exchange(
        hand_made_timeline(front_end, 12_000), codec, front_end, mics, target + noise
    )
    wiring = {"second_exchange": True} if algorithm.startswith("inverted") else {}
    spec = node(filter="sdw_mwf", covariance=Utterance(), **wiring)
    nets = {name: network.eval() for name, network in networks().items()}
    enhanced = spec.enhance(mics, exchange, estimator(nets))
    flow = run(algorithm, nets, torch.from_numpy(mics)[None].to(torch.complex64))
    for name, mask in flow.masks.items():
        # float32 features against float64 ones, through weights made 50 times larger
        np.testing.assert_allclose(mask[0].detach(), enhanced.masks[name], atol=5e-3)
    error = flow.output[0].detach().numpy() - enhanced.output  # type: ignore[index]
    assert np.abs(error).max() < 5e-3 * np.abs(enhanced.output).max()


def test_the_compact_network_takes_the_place_of_the_full_one() -> None:
    nets = {"mn_dnn": CompactMnDnn(CompactMnDnnSpec(groups=8))}
    assert run("mn_tango", nets, microphones()).output is not None


def test_other_ear_swaps() -> None:
    np.testing.assert_array_equal(other_ear(torch.tensor([[1, 2]])), [[2, 1]])
