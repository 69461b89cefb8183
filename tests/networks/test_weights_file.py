"""Weights files: what goes in comes out, and what does not belong is named."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnn
from hasim.networks.precision import PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.sn_dnn import SnDnn
from hasim.networks.weights_file import load, pack, read_card, read_precision, save


@pytest.mark.parametrize("network", [SnDnn(), MnDnn(), CompactMnDnn(CompactMnDnnSpec(groups=6))])
def test_round_trip(tmp_path: Path, network: torch.nn.Module) -> None:
    path = tmp_path / "deep" / "weights.safetensors"
    save(network, path, card={"seed": 7})
    again = load(path)
    assert again.spec == network.spec
    assert not again.training
    x = torch.rand(2, 1 if isinstance(network, SnDnn) else 2, 4, 257)
    assert torch.equal(again(x), network(x))
    assert read_card(path) == {"seed": 7}
    # no temporary file stays
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("scheme", ["static", "dynamic"])
def test_a_quantised_network_comes_back_with_its_ranges(tmp_path: Path, scheme: str) -> None:
    spec = QuantisationSpec(
        weights=4,
        scheme=scheme,  # type: ignore[arg-type]
        bits={"dense.weight": 8},
        warm_up_steps=2,
    )
    network = quantised(CompactMnDnn(CompactMnDnnSpec(groups=2)), spec).train()
    x = torch.rand(2, 2, 4, 257)
    for _ in range(2):
        network(x)
    path = tmp_path / "small.safetensors"
    save(network, path, card={"seed": 7})
    again = load(path)
    assert isinstance(again, QuantisedNetwork)
    assert again.quantisation == spec
    assert again.ready
    assert not again.training
    assert torch.equal(again(x), network.eval()(x))
    assert read_precision(path) == PrecisionSpec(weights=4, scheme=scheme)  # type: ignore[arg-type]
    save(MnDnn(), path)
    assert read_precision(path) == PrecisionSpec(weights=32, activations=32)
    rewrite(path, load_file(path), quantisation={"weights": 1})
    with pytest.raises(ValueError, match=r"quantisation\.weights: "):
        load(path)


@pytest.mark.parametrize("network", [SnDnn(), CompactMnDnn(CompactMnDnnSpec(groups=8))])
def test_packed_files_are_smaller_and_mean_the_same(tmp_path: Path, network: SnDnn) -> None:
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    x = torch.rand(2, 1 if isinstance(network, SnDnn) else 2, 4, 257)
    save(network, whole, card={"seed": 7})
    pack(whole, small)
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    assert read_card(small) == {"seed": 7}
    loaded = load(small)
    assert all(value.dtype == torch.float32 for value in loaded.state_dict().values())
    error = (loaded(x) - load(whole)(x)).abs().max()
    # eleven bits of mantissa
    assert 0 < error < 1e-3
    pack(small, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == small.read_bytes()


@pytest.mark.parametrize("weights", [2, 4, 8, 12])
def test_packed_levels_are_exactly_those_of_the_network(tmp_path: Path, weights: int) -> None:
    spec = QuantisationSpec(weights=weights, bits={"dense.weight": 32}, warm_up_steps=0)  # type: ignore[arg-type]
    network = quantised(CompactMnDnn(CompactMnDnnSpec(groups=2)), spec)
    x = torch.rand(2, 2, 4, 257)
    network.observe(x)
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    save(network, whole)
    pack(whole, small)
    assert torch.equal(load(small)(x), network.eval()(x))
    assert (small.stat().st_size < 0.6 * whole.stat().st_size) == (weights <= 8)


def rewrite(path: Path, tensors: dict[str, torch.Tensor], **changes: object) -> None:
    block = {
        "format_version": 1,
        "network": {"kind": "mn_dnn"},
        "card": {},
    } | changes
    save_file(tensors, path, metadata={"hasim": json.dumps(block)})


def test_what_does_not_belong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(ValueError, match="no such weights file"):
        load(path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load(path)
    save(MnDnn(), path)
    good = load_file(path)
    save_file(good, path)
    with pytest.raises(ValueError, match="without the metadata block"):
        load(path)
    rewrite(path, good, format_version=9)
    with pytest.raises(ValueError, match=r"format_version must be 1 \(got 9\)"):
        load(path)
    rewrite(path, good, network={"kind": "transformer"})
    with pytest.raises(ValueError, match="kind must be one of sn_dnn, mn_dnn, compact_mn_dnn"):
        load(path)
    rewrite(path, good, network={"kind": "mn_dnn", "hiden": 128})
    with pytest.raises(ValueError, match=r"mn_dnn\.hiden: Extra inputs"):
        load(path)
    rewrite(path, good, network={"kind": "mn_dnn", "hidden": 64})
    with pytest.raises(ValueError, match="must be float32"):
        load(path)
    rewrite(path, {k: v for k, v in good.items() if k != "dense.bias"})
    with pytest.raises(ValueError, match=r"tensor dense\.bias is missing"):
        load(path)
    rewrite(path, good | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match="tensor extra does not belong to mn_dnn"):
        load(path)
    rewrite(path, good | {"dense.bias": good["dense.bias"].double()})
    with pytest.raises(
        ValueError, match=r"dense.bias must be float32 or float16 \(257,\) \(got float64"
    ):
        load(path)
    rewrite(path, good | {"dense.bias": torch.full((257,), torch.nan)})
    with pytest.raises(ValueError, match=r"dense\.bias has values that are not finite"):
        load(path)


def test_broken_weights_are_not_written(tmp_path: Path) -> None:
    network = MnDnn()
    with torch.no_grad():
        network.dense.bias[0] = torch.inf
    with pytest.raises(ValueError, match="not finite"):
        save(network, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())
