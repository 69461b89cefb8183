"""The mask networks: sizes, steps against whole sequences, causality, literal arithmetic."""

import numpy as np
import pytest
import torch
from torch import nn

from hasim.networks import cost
from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec, interleave
from hasim.networks.mn_dnn import MnDnn, MnDnnSpec
from hasim.networks.sn_dnn import SnDnn, SnDnnSpec
from hasim.networks.weights_file import FloatNetwork, NetworkSpec, build

SPECS: list[NetworkSpec] = [
    SnDnnSpec(),
    SnDnnSpec(memory_frames=0, head_activation="gelu", compression=1.0),
    MnDnnSpec(),
    MnDnnSpec(memory_frames=0),
    *(CompactMnDnnSpec(groups=g) for g in (1, 2, 4, 6, 8, 10)),
    CompactMnDnnSpec(groups=8, norm="after_erb", sigmoid="after_inverse", bands="mean"),
    CompactMnDnnSpec(groups=2, memory_frames=3),
]


def network_and_input(spec: NetworkSpec, frames: int = 7) -> tuple[FloatNetwork, torch.Tensor]:
    torch.manual_seed(3)
    network = build(spec).double()
    channels = 1 if isinstance(spec, SnDnnSpec) else 2
    return network, torch.rand(3, channels, frames, 257, dtype=torch.float64)


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_step_by_step_is_the_same_as_the_whole_sequence(spec: NetworkSpec) -> None:
    network, x = network_and_input(spec)
    whole = network(x)
    state, frames = None, []
    for n in range(x.shape[2]):
        mask, state = network.step(x[:, :, n], state)
        frames.append(mask)
    assert whole.shape == (3, 7, 257)
    # float64: only the order of additions differs
    torch.testing.assert_close(torch.stack(frames, dim=1), whole, rtol=0, atol=1e-12)
    assert whole.min() >= 0
    assert whole.max() <= 1


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_a_shared_past_gives_a_shared_output(spec: NetworkSpec) -> None:
    network, x = network_and_input(spec)
    other = x.clone()
    other[:, :, 4:] = torch.rand_like(other[:, :, 4:])
    one, two = network(x), network(other)
    torch.testing.assert_close(one[:, :4], two[:, :4], rtol=0, atol=1e-12)
    # and the future does matter later
    assert (one[:, 4:] - two[:, 4:]).abs().max() > 1e-6


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_sequences_of_a_batch_do_not_meet(spec: NetworkSpec) -> None:
    network, x = network_and_input(spec)
    torch.testing.assert_close(network(x[1:2]), network(x)[1:2], rtol=0, atol=1e-12)


def weights_in_products(network: nn.Module) -> int:
    """MACs per frame counted on the modules: every matrix weight once, the mix once per bin."""
    times = {name: 257 if name == "mix.weight" else 1 for name, _ in network.named_parameters()}
    count = sum(times[n] * p.numel() for n, p in network.named_parameters() if p.ndim == 2)
    banks = [b for name, b in network.named_buffers() if name in ("bank", "synthesis")]
    return count + sum(b.numel() for b in banks)


def test_modules_have_the_counted_macs_and_parameters() -> None:
    def parameters(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert weights_in_products(SnDnn()) == cost.sn_dnn_macs()
    assert parameters(SnDnn()) == cost.parameters(cost.sn_dnn())
    assert weights_in_products(MnDnn()) == cost.mn_dnn_macs()
    assert parameters(MnDnn()) == cost.parameters(cost.mn_dnn())
    for groups in (1, 2, 4, 6, 8, 10):
        network = CompactMnDnn(CompactMnDnnSpec(groups=groups))
        assert weights_in_products(network) == cost.mn_dnn_macs(groups)
        assert parameters(network) == cost.parameters(cost.mn_dnn(groups))


@pytest.mark.parametrize("groups", [2, 4, 6, 8, 10])
def test_every_group_of_layer_2_hears_every_group_of_layer_1(groups: int) -> None:
    width = cost.WIDTH[groups]
    origin = torch.arange(groups).repeat_interleave(width // groups)
    for heard in interleave(origin, groups).chunk(groups):
        assert set(heard.tolist()) == set(range(groups))


def test_through_the_network_too_and_not_without_interleaving() -> None:
    heard = {}
    for flag in (True, False):
        network, _ = network_and_input(CompactMnDnnSpec(groups=8, interleave=flag))
        assert isinstance(network, CompactMnDnn)
        x = torch.rand(1, 1, 128, dtype=torch.float64, requires_grad=True)
        output, _ = network._recur(x, None)
        slopes = []
        for part in output.chunk(8, dim=-1):
            (slope,) = torch.autograd.grad(part.sum(), x, retain_graph=True)
            slopes.append(slope.reshape(8, 16).abs().sum(dim=-1) > 0)
        # (group of layer 2, group of layer 1)
        heard[flag] = torch.stack(slopes)
    assert heard[True].all()
    assert torch.equal(heard[False], torch.eye(8, dtype=torch.bool))


def test_the_level_constant_brings_white_noise_to_one() -> None:
    rng = np.random.default_rng(0)
    noise = 10 ** (-35 / 20) * rng.standard_normal((400, 512))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    magnitude = np.abs(np.fft.rfft(hann * noise))[:, 1:-1]
    # 400 x 255 values: standard error 0.3 %
    assert np.sqrt(np.mean((MnDnn().gain * magnitude) ** 2)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_calibration_standardises_what_the_first_layer_sees(spec: NetworkSpec) -> None:
    network, x = network_and_input(spec, frames=40)
    # a coloured spectrum
    x = x * torch.linspace(0.1, 3, 257, dtype=x.dtype)
    network.calibrate(x)
    if isinstance(network, CompactMnDnn):
        features, _ = network._normalised(x, None)
    else:
        features, _ = network.features(x)
    zero = torch.zeros(features.shape[-1], dtype=x.dtype)
    torch.testing.assert_close(features.mean((0, 1)), zero, rtol=0, atol=1e-9)
    # LayerNorm's own normalisation keeps 1e-5 under its root
    torch.testing.assert_close(features.std((0, 1)), zero + 1, rtol=0, atol=1e-6)


def test_against_a_literal_lstm() -> None:
    network, x = network_and_input(MnDnnSpec(), frames=5)
    p = {name: value.detach().numpy() for name, value in network.state_dict().items()}

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    h, c = np.zeros((3, 3, 128)), np.zeros((3, 3, 128))
    past: list[tuple[np.ndarray, np.ndarray]] = []
    for n in range(5):
        v = (network.gain * x[:, :, n].numpy() + 1e-3) ** 0.3
        v = p["mix.weight"].reshape(2) @ v + p["mix.bias"]
        v = nn.functional.gelu(torch.tensor(v)).numpy()
        past.append((v.mean(-1, keepdims=True), (v**2).mean(-1, keepdims=True)))
        fading = np.exp(-np.arange(n, -1, -1) / 125)
        mean, square = np.tensordot(fading / fading.sum(), np.array(past), axes=1)
        v = (v - mean) / np.sqrt(square - mean**2 + 1e-5)
        v = v * p["norm.weight"] + p["norm.bias"]
        for k in range(3):
            gates = v @ p[f"lstm.weight_ih_l{k}"].T + p[f"lstm.bias_ih_l{k}"]
            gates += h[k] @ p[f"lstm.weight_hh_l{k}"].T + p[f"lstm.bias_hh_l{k}"]
            i, f, g, o = np.split(gates, 4, axis=-1)
            c[k] = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g)
            h[k] = v = sigmoid(o) * np.tanh(c[k])
        mask = sigmoid(v @ p["dense.weight"].T + p["dense.bias"])
        np.testing.assert_allclose(network(x)[:, n].detach().numpy(), mask, atol=1e-12)
