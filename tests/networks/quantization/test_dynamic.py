"""The dynamic scheme reproduces PyTorch's dynamic quantisation, while that exists."""

import warnings

import pytest
import torch

from hasim.networks.mn_dnn import MnDnn
from hasim.networks.precision import QuantisationSpec
from hasim.networks.quantization.network import quantised


@pytest.fixture
def networks() -> tuple[MnDnn, torch.nn.Module]:
    """A float network, and what `quantize_dynamic` makes of it."""
    ao = pytest.importorskip("torch.ao.quantization")
    if torch.backends.quantized.engine not in ("x86", "fbgemm"):
        pytest.skip("other engines do not reduce the range of activations to 7 bits")
    torch.manual_seed(0)
    network = MnDnn().eval()
    with warnings.catch_warnings():
        # it is being removed, and says so in many ways
        warnings.simplefilter("ignore")
        theirs = ao.quantize_dynamic(network, {"lstm", "dense"}, torch.qint8)
    return network, theirs


def ours(network: MnDnn, activations: int, span: str = "call", ranges: str = "tensor") -> MnDnn:
    spec = QuantisationSpec(
        scheme="dynamic",
        activations=activations,  # type: ignore[arg-type]
        io=32,
        ranges=ranges,  # type: ignore[arg-type]
        runtime_span=span,  # type: ignore[arg-type]
        bits={"mix.weight": 32},
    )
    return quantised(network, spec)  # type: ignore[return-value]


@torch.no_grad()
def test_seven_bits_and_one_range_per_tensor_are_what_pytorch_does(
    networks: tuple[MnDnn, torch.nn.Module],
) -> None:
    network, theirs = networks

    def same(*choices: object) -> int:
        """Of 20 short inputs, those with the same masks to float32's sums in another order. A sum
        that happens to lie between two levels is rounded otherwise, and all that follows too."""
        found = 0
        for seed in range(20):
            x = torch.rand(2, 2, 2, 257, generator=torch.Generator().manual_seed(seed))
            small = ours(network, *choices)  # type: ignore[arg-type]
            found += bool((small(x) - theirs(x)).abs().max() < 1e-6)
        return found

    assert same(7) >= 12
    assert same(7, "frame") == same(8) == same(7, "call", "channel") == 0


@torch.no_grad()
def test_a_bit_more_and_ranges_by_channel_lose_less(
    networks: tuple[MnDnn, torch.nn.Module],
) -> None:
    network, theirs = networks
    x = torch.rand(2, 2, 20, 257)
    exact = network(x)

    def loss(*choices: object) -> float:
        error: float = (ours(network, *choices)(x) - exact).abs().mean().item()  # type: ignore[arg-type]
        return error

    as_pytorch, finer = loss(7), loss(8, "frame", "channel")
    assert (theirs(x) - exact).abs().mean().item() == pytest.approx(as_pytorch, rel=0.1)
    assert finer < 0.7 * as_pytorch
