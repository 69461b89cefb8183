"""The integer network: its arithmetic by Fraction, its levels by the network that rounds in
floating point, its bits in any batch, step by step, and on other machines."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hasim.acoustics import sources
from hasim.dsp import stft
from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.export import npz_file
from hasim.networks.export.export import integer_spec
from hasim.networks.mn_dnn import MnDnnSpec
from hasim.networks.precision import QuantisationSpec
from hasim.networks.quantization.calibration import NOISES
from hasim.networks.quantization.fixed_point import (
    SIGMOID_TOP,
    Levels,
    common_scale,
    hyperbolic_tangent,
    logistic,
    scale,
    shifted,
    sigmoid,
    sigmoid_knots,
    table,
    thresholds,
)
from hasim.networks.quantization.integer import IntegerNetwork, Matrix
from hasim.networks.quantization.network import (
    QuantisedLinear,
    QuantisedLstm,
    QuantisedNetwork,
    quantised,
)
from hasim.networks.quantization.to_integer import features, integer
from hasim.networks.sn_dnn import SnDnnSpec
from hasim.networks.weights_file import build
from tests.quantised_networks import BITS, SPECS, calibrated, sound

CASES = [(spec, "w8a8 cell16") for spec in SPECS] + [
    (spec, bits) for spec in ("mn_dnn", "g8") for bits in BITS if bits != "w8a8 cell16"
]


def _kind(spec: Any) -> str:
    return str(spec.kind)


# --- arithmetic -----------------------------------------------------------------------------------


def test_shifts_round_to_the_nearest_and_halves_up() -> None:
    for shift in (0, 1, 3, 40):
        x = np.array([*range(-20, 21), 2**61, -(2**61)])
        expected = [math.floor(Fraction(int(v), 2**shift) + Fraction(1, 2)) for v in x]
        assert shifted(x, shift).tolist() == expected


def test_multipliers_have_31_bits_and_err_by_half_of_the_last() -> None:
    for real in (1e-6, 0.3, 0.5, 1.0, math.pi, 1000.0, 1 - 2**-40, 2.0**31 - 2):
        found = scale(real)
        multiplier, shift = int(found.multiplier), int(found.shift)
        assert 2**30 <= multiplier < 2**31
        assert abs(Fraction(multiplier, 2**shift) / Fraction(real) - 1) <= Fraction(1, 2**31)
    # too small for any effect
    assert scale(1e-30)(np.array([2**31 - 1])) == 0
    for wrong in (0.0, 2.0**31, math.inf):
        with pytest.raises(ValueError, match="must be above 0 and below 2\\^31"):
            scale(wrong)


def test_two_factors_share_a_shift() -> None:
    a, b, shift = common_scale(0.7, 1e-4)
    assert 2**29 <= a < 2**30
    assert abs(Fraction(a, 2**shift) - Fraction(0.7)) <= Fraction(1, 2 ** (shift + 1))
    assert abs(Fraction(b, 2**shift) - Fraction(1e-4)) <= Fraction(1, 2 ** (shift + 1))
    with pytest.raises(ValueError, match="too large"):
        common_scale(2.0**31, 1.0)


@pytest.mark.parametrize("bits", [8, 5])
def test_tables_are_the_rounded_curves(bits: int) -> None:
    entering, leaving = Levels(bits, -3, 0.07), Levels(bits, 1 - 2 ** (bits - 1), 0.9 / 2**bits)
    x = entering.numbers(np.arange(entering.lowest, entering.highest + 1))
    for curve, exact in ((logistic, 1 / (1 + np.exp(-x))), (hyperbolic_tangent, np.tanh(x))):
        found = table(curve, entering, leaving)
        expected = leaving.clip(np.rint(exact / leaving.step).astype(int))
        assert found.tolist() == expected.tolist()


# saturates; does not reach all thresholds
@pytest.mark.parametrize("step", [1e-4, 5e-6])
def test_thresholds_are_the_rounded_tanh(step: float) -> None:
    entering, leaving = Levels(16, -4000, step), Levels(8, 5, 0.0079)
    cells = np.arange(entering.lowest, entering.highest + 1)
    exact = np.rint(np.tanh(entering.numbers(cells)) / leaving.step).astype(int)
    reached = np.searchsorted(thresholds(entering, leaving), cells, side="right")
    assert (leaving.lowest + reached).tolist() == leaving.clip(exact).tolist()


def test_the_last_sigmoid_errs_by_less_than_its_docstring_says() -> None:
    x = np.arange(-17 << 16, 17 << 16, 37)
    found = 65535 * sigmoid(x, sigmoid_knots()) / SIGMOID_TOP
    exact = 65535 / (1 + np.exp(-x / 2**16))
    # 0.8 of the line and 0.5 of the knots
    assert np.abs(found - exact).max() < 1.3
    assert np.all(np.diff(found) >= 0)


def test_products_of_matrices_are_those_of_integers() -> None:
    rng = np.random.default_rng(0)
    weights = rng.choice([-128, 127], (2, 5, 257)).astype(np.int8)
    x = rng.choice([-32768, 32767], (2, 9, 257))
    unit = scale(np.ones((2, 5)))
    matrix = Matrix(weights, np.zeros((2, 5), np.int32), unit, Levels(32, 0, 1.0))
    expected = np.matmul(x, weights.astype(np.int64).swapaxes(1, 2))
    # float32 would not do
    assert np.abs(expected).max() > 2**24
    assert np.array_equal(matrix(x), expected)


# --- against the network that rounds in floating point --------------------------------------------


def with_biases_as_sums_have_them(small: QuantisedNetwork) -> QuantisedNetwork:
    """Round biases to the steps of the sums, the one thing that the integer network has besides."""
    points = small.points()
    hidden = [name for name in points if name.endswith(".hidden")]

    def rounded(quantiser: Any, bias: Tensor, entering: str) -> None:
        step = (quantiser.grid().step * points[entering].grid().step).flatten()  # type: ignore[call-arg]
        bias.copy_((bias / step).round() * step)

    with torch.no_grad():
        for name, layer in small.layers.items():
            if isinstance(layer, QuantisedLstm):
                values = dict(layer.lstm.named_parameters())
                for own, _ in layer.matrices():
                    deeper = int(own[-1]) if isinstance(layer.lstm, torch.nn.LSTM) else 0
                    index = layer.first_layer + deeper
                    before = "layer_0.features" if index == 0 else f"layer_{index - 1}.hidden"
                    entering = f"layer_{index}.hidden" if "_hh_" in own else before
                    quantiser = layer.quantisers[own.replace(".", "_")]
                    rounded(quantiser, values[own.replace("weight", "bias")], entering)
            elif isinstance(layer, QuantisedLinear) and name in ("dense", "head.0"):
                rounded(layer.quantiser, layer.linear.bias, hidden[-1])
            elif isinstance(layer, QuantisedLinear) and name == "head.2":
                rounded(layer.quantiser, layer.linear.bias, "dense")
    return small


def levels_of(small: QuantisedNetwork, point: str, values: Tensor) -> np.ndarray:
    """By layer, on the grids of a point."""
    grids = [small.points()[f"layer_{i}.{point}"] for i in range(len(values))]
    found = [
        q.grid().levels(v).numpy() - 2 ** (q.bits - 1)  # type: ignore[call-arg]
        for q, v in zip(grids, values, strict=True)
    ]
    return np.stack(found)


@pytest.mark.parametrize(("spec", "bits"), CASES)
def test_every_level_is_the_fake_networks(spec: str, bits: str) -> None:
    small, _ = calibrated(SPECS[spec], BITS[bits])
    with_biases_as_sums_have_them(small)
    torch.manual_seed(7)
    x = sound(SPECS[spec], frames=30).double()
    found, state = integer(small)(features(small, x)[0])
    fake: Any = None
    for n in range(x.shape[2]):
        _, fake = small.step(x[:, :, n], fake)
    # In 30 frames some ten thousand values were rounded; one that differed would stay in the state.
    assert np.array_equal(state[0], levels_of(small, "hidden", fake[0]))
    assert np.array_equal(state[1], levels_of(small, "cell", fake[1]))
    top = 2 ** BITS[bits].get("bits", {}).get("mask", 16) - 1
    expected = np.rint(small(x).detach().numpy() * top)
    # Knots, lines and the last rounding of the sigmoid; logits that are mixed before it lie 20
    # apart, and shares of 14 bits err by 2^-15 of that.
    steps = 1 if top == 255 else 5 if "other" in spec else 2
    assert np.abs(found - expected).max() <= steps
    assert found.std() > top / 20


@pytest.mark.parametrize("spec", SPECS)
def test_rounded_biases_matter_no_more_than_float32(spec: str) -> None:
    """Against the network as it is: biases between two steps move some levels by one."""
    small, _ = calibrated(SPECS[spec], BITS["w8a8 cell16"])
    torch.manual_seed(7)
    x = sound(SPECS[spec], frames=30, batch=4).double()
    found = integer(small)(features(small, x)[0])[0] / 65535
    with torch.no_grad():
        exact = small(x).numpy()
        single = small.float()(x.float()).numpy()
    error = np.abs(found - exact)
    assert error.max() < 16 / 255
    assert error.mean() < 1 / 255
    assert error.mean() < 2 * np.abs(single - exact).mean()


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SnDnnSpec(), MnDnnSpec(), CompactMnDnnSpec(groups=8)], ids=_kind)
def test_trained_networks_in_integers_give_the_fake_networks_masks(spec: Any) -> None:
    """Of full size, trained for a while on bundled sound; prints what the documentation tells."""
    magnitude, target = mixtures(1 if isinstance(spec, SnDnnSpec) else 2)
    torch.manual_seed(0)
    network = build(spec).train()
    network.calibrate(magnitude)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for step in range(200):
        start = 64 * (step % 3)
        part = slice(start, start + 64)
        loss = ((network(magnitude[:, :, part]) - target[:, part]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    small = quantised(network.eval(), integer_spec()).eval()
    small.observe(magnitude)
    unseen = torch.roll(magnitude, 1, 0) + 0.5 * torch.roll(magnitude, (3, 50), (0, 2))
    found = integer(small)(features(small, unseen)[0])[0] / 65535
    with torch.no_grad():
        floating = network(unseen).numpy()
        single = small(unseen).numpy()
        double = small.double()(unseen.double()).numpy()
    error, other = np.abs(found - single), np.abs(double - single)
    rounding = np.abs(single - floating).mean()
    print(
        f"{_kind(spec)}: loss {loss.item():.4f}, deviation of masks {found.std():.3f}; from fake: "
        f"integers {error.mean():.5f}, 99.9 % {np.quantile(error, 0.999):.4f}, largest "
        f"{error.max():.4f}; fake in float64 {other.mean():.5f}, largest {other.max():.4f}; "
        f"float {rounding:.5f}"
    )
    # it has learnt something
    assert loss < 0.05
    # What a level flipped by the rounding of a bias makes of masks, in steps of 8 bits.
    assert error.mean() < 0.25 / 255
    assert np.quantile(error, 0.999) < 8 / 255
    assert error.max() < 24 / 255
    assert error.mean() < other.mean()


def mixtures(channels: int) -> tuple[Tensor, Tensor]:
    """Magnitudes (scene, channel, frame, bin) and masks (scene, frame, bin) of 3 s of bundled
    talkers in bundled noises."""
    rng = np.random.default_rng(0)
    samples = 256 * 191
    spectra = []
    for talker, noise in zip(sources.TALKERS, NOISES, strict=True):
        both = [
            sources.render(sources.BundledSource(name=name), samples, 16000, rng)
            for name in (talker, noise)
        ]
        spectra.append(stft.analyse(0.02 * np.array(both), stft.FrontEndSpec()))
    # (scene, frame, bin)
    speech, noise = np.swapaxes(np.array(spectra), -1, -2).swapaxes(0, 1)
    mixed = np.abs(np.stack([speech + noise, speech + 2 * noise], axis=1))
    mask = np.abs(speech) / (np.abs(speech) + np.abs(noise) + 1e-9)
    return torch.from_numpy(mixed[:, :channels]).float(), torch.from_numpy(mask).float()


# --- the same bits --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> tuple[IntegerNetwork, np.ndarray]:
    small, _ = calibrated(SPECS["g8"], BITS["w8a8 cell16"])
    rng = np.random.default_rng(3)
    return integer(small), rng.integers(-32768, 32768, (5, 20, 128), dtype=np.int16)


def test_batches_and_steps_change_nothing(made: tuple[IntegerNetwork, np.ndarray]) -> None:
    network, x = made
    masks, (h, c) = network(x)
    for one in range(len(x)):
        alone, state = network(x[one : one + 1])
        assert np.array_equal(alone[0], masks[one])
        assert np.array_equal(state[0][:, 0], h[:, one])
    after = None
    for n in range(x.shape[1]):
        mask, after = network.step(x[:, n], after)
        assert np.array_equal(mask, masks[:, n])
    assert after is not None
    assert np.array_equal(after[1], c)
    first, between = network(x[:, :7])
    rest, _ = network(x[:, 7:], between)
    assert np.array_equal(np.concatenate([first, rest], axis=1), masks)
    assert (masks.dtype, h.dtype, c.dtype) == (np.uint16, np.int8, np.int16)


_ELSEWHERE = """
import hashlib, sys
from pathlib import Path
import numpy as np
from hasim.networks.export import npz_file

network = npz_file.load(Path(sys.argv[1]))
masks, _ = network(np.load(sys.argv[2]))
assert "torch" not in sys.modules
print(hashlib.sha256(masks.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "machine",
    [
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "4"},
        # without AVX and fused multiplication
        {"OPENBLAS_CORETYPE": "Nehalem"},
    ],
    ids=str,
)
def test_other_machines_and_threads_change_nothing(made, machine, tmp_path) -> None:
    network, x = made
    (tmp_path / "network.npz").write_bytes(npz_file.to_bytes(network))
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, tmp_path / "network.npz", tmp_path / "x.npy"],
        env={**os.environ, **machine},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = hashlib.sha256(network(x)[0].tobytes()).hexdigest()
    assert done.stdout.strip() == expected


# --- what has no form in integers -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ({"scheme": "dynamic"}, "got scheme dynamic"),
        ({"zero_point": "float"}, "zero_point float"),
        ({"weights": 16}, "weight_ih_l0: must have at most 8 bits"),
        ({"bits": {"gate_sum": 16}}, "layer_0.gate_sum: must have at most 8 bits"),
        ({"bits": {"layer_1.cell": 32}}, "layer_1.cell: must have at most 16 bits .got 32"),
        ({"io": 32}, "mask: must have at most 16 bits"),
    ],
    ids=str,
)
def test_what_integers_cannot_hold_is_an_error(bits: dict[str, Any], said: str) -> None:
    small, _ = calibrated(SPECS["mn_dnn"], bits)
    with pytest.raises(ValueError, match=said):
        integer(small)


def test_ranges_must_be_there_and_wide() -> None:
    fresh = quantised(build(SPECS["mn_dnn"]), QuantisationSpec())
    with pytest.raises(ValueError, match="no ranges yet"):
        integer(fresh)
    small, _ = calibrated(SPECS["mn_dnn"], {})
    with torch.no_grad():
        point: Any = small.points()["layer_1.hidden"]
        point.low.zero_()
        point.high.zero_()
    with pytest.raises(ValueError, match="width zero"):
        integer(small)


def test_sums_beyond_32_bits_are_an_error() -> None:
    small, _ = calibrated(SPECS["mn_dnn"], BITS["w8a8 cell16"])
    with torch.no_grad():
        dict(small.named_parameters())["network.lstm.lstm.bias_ih_l0"].mul_(1e6)
    with pytest.raises(ValueError, match=r"layer_0\.ih: sums of up to .* do not fit 32 bits"):
        integer(small)


def test_rows_of_zeros_keep_their_bias() -> None:
    small, x = calibrated(SPECS["mn_dnn"], {})
    with torch.no_grad():
        dense: Any = small.layers["dense"]
        dense.linear.weight[3].zero_()
        dense.quantiser.limit[3].zero_()
        dense.linear.bias[3] = 0.7
    masks, _ = integer(small)(features(small, x)[0])
    # The bias is rounded to 2^-31, and the sigmoid as ever.
    assert np.abs(masks[..., 3] - 65535 / (1 + math.exp(-0.7))).max() <= 2


def test_features_must_be_levels(made: tuple[IntegerNetwork, np.ndarray]) -> None:
    network, x = made
    with pytest.raises(ValueError, match="must be integers"):
        network(x.astype(float))
    with pytest.raises(ValueError, match="from -32768 to 32767"):
        network(x.astype(int) * 2)
