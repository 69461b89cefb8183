"""Quantised networks: against a literal LSTM in numbers, steps against sequences, every point."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnn, MnDnnSpec
from hasim.networks.precision import LSTM_POINTS, PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.sn_dnn import SnDnnSpec
from hasim.networks.weights_file import FloatNetwork, NetworkSpec, build

SPECS: list[NetworkSpec] = [
    SnDnnSpec(bins=33, hidden=8, layers=2, head=12),
    MnDnnSpec(bins=33, hidden=8, layers=2),
    CompactMnDnnSpec(groups=2),
    CompactMnDnnSpec(groups=8, norm="after_erb"),
]
WEIGHTS_ONLY = {"weights": 8, "activations": 32}
KINDS: list[dict[str, Any]] = [
    WEIGHTS_ONLY,
    {"scheme": "dynamic"},
    {"scheme": "static"},
    {"scheme": "static", "cell": 16, "zero_point": "float", "ranges": "tensor"},
]


def network_and_input(spec: NetworkSpec, frames: int = 6) -> tuple[FloatNetwork, Tensor]:
    torch.manual_seed(3)
    network = build(spec).double()
    channels = 1 if isinstance(spec, SnDnnSpec) else 2
    return network, torch.rand(2, channels, frames, spec.bins, dtype=torch.float64)


def made(spec: NetworkSpec, kind: dict[str, Any]) -> tuple[FloatNetwork, QuantisedNetwork, Tensor]:
    network, x = network_and_input(spec)
    small = quantised(network, QuantisationSpec(**kind)).double()
    small.observe(x)
    return network, small.eval(), x


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.kind + str(getattr(s, "groups", "")))
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_step_by_step_is_the_same_as_the_whole_sequence(
    spec: NetworkSpec, kind: dict[str, Any]
) -> None:
    _, small, x = made(spec, kind)
    state, frames = None, []
    for n in range(x.shape[2]):
        mask, state = small.step(x[:, :, n], state)
        frames.append(mask)
    # float64: sums in another order differ by 1e-16, and no value lies that close to a boundary.
    torch.testing.assert_close(torch.stack(frames, dim=1), small(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.kind + str(getattr(s, "groups", "")))
@pytest.mark.parametrize("scheme", ["static", "dynamic"])
def test_with_many_bits_it_is_the_float_network(spec: NetworkSpec, scheme: str) -> None:
    network, x = network_and_input(spec)
    errors = []
    for bits in (16, 12, 8):
        kind = {"scheme": scheme, "weights": bits, "activations": bits, "io": 32}
        small = quantised(network, QuantisationSpec(**kind)).double()
        small.observe(x)
        errors.append((small.eval()(x) - network(x)).abs().max().item())
    # Masks near 1/2 depend on sums of rounding errors of 2^-bits; four bits less, errors 16 times
    # as large, give or take how they happen to add up.
    assert 0 < errors[0] < 3e-4
    assert 4 < errors[1] / errors[0] < 64
    assert 4 < errors[2] / errors[1] < 64


def test_everything_switched_off_is_the_float_network_to_the_bit() -> None:
    network, x = network_and_input(SPECS[1])
    spec = QuantisationSpec(weights=32, activations=32)
    assert spec.floating
    torch.testing.assert_close(quantised(network, spec)(x), network(x), rtol=0, atol=0)


def test_weights_alone_run_through_the_frameworks_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    import hasim.networks.quantization.network as module

    def never(*_: Any) -> Any:
        raise AssertionError("walked through frames")

    monkeypatch.setattr(module, "_layer", never)
    network, small, x = made(SPECS[1], WEIGHTS_ONLY)
    other = build(SPECS[1]).double()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        for value in other.parameters():
            # rounded here in plain arithmetic
            if value.ndim == 2:
                step = 2 * value.abs().amax(1, keepdim=True) / 255
                value.copy_((value / step).round().clamp(-128, 127) * step)
    torch.testing.assert_close(small(x), other(x), rtol=0, atol=1e-12)


def literal_lstm(lstm: nn.LSTM, x: Tensor, rounded: dict[str, Any]) -> Tensor:
    """One layer, one sequence (frame, input), written as in a textbook."""

    def at(point: str, value: Tensor) -> Tensor:
        return rounded[point](value) if point in rounded else value

    h = c = torch.zeros(lstm.hidden_size, dtype=x.dtype)
    outputs = []
    for frame in at("features", x):
        from_input = at("input_product", lstm.weight_ih_l0 @ frame + lstm.bias_ih_l0)
        from_past = at("recurrent_product", lstm.weight_hh_l0 @ h + lstm.bias_hh_l0)
        i, f, g, o = at("gate_sum", from_input + from_past).chunk(4)
        i, f = at("input_gate", i.sigmoid()), at("forget_gate", f.sigmoid())
        g, o = at("cell_gate", g.tanh()), at("output_gate", o.sigmoid())
        kept = at("forget_gate_times_cell", f * c)
        written = at("input_gate_times_cell_gate", i * g)
        c = at("cell", kept + written)
        h = at("hidden", o * at("cell_tanh", c.tanh()))
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("points", [*((p,) for p in ("features", *LSTM_POINTS)), LSTM_POINTS])
def test_every_point_rounds_what_its_name_says(points: tuple[str, ...]) -> None:
    torch.manual_seed(5)
    network = MnDnn(MnDnnSpec(bins=9, hidden=4, layers=1)).double()
    off = {point: 32 for point in ("features", *LSTM_POINTS) if point not in points}
    spec = QuantisationSpec(weights=32, activations=4, io=32, bits=off)  # type: ignore[arg-type]
    small = quantised(network, spec).double()
    small.observe(torch.rand(2, 2, 20, 9, dtype=torch.float64))
    small.eval()
    lstm = small.network.get_submodule("lstm")
    x = torch.randn(7, 9, dtype=torch.float64)
    grids = {name.partition(".")[2]: q.grid() for name, q in small.points().items() if "." in name}
    assert set(grids) == set(points)
    expected = literal_lstm(network.lstm, x, grids)
    torch.testing.assert_close(lstm(x[None])[0][0], expected, rtol=0, atol=1e-12)
    plain = network.lstm(x[None])[0][0]
    assert (expected - plain).abs().max() > 1e-3


def test_dynamic_rounds_what_enters_the_products() -> None:
    torch.manual_seed(5)
    network = MnDnn(MnDnnSpec(bins=9, hidden=4, layers=1)).double()
    small = quantised(network, QuantisationSpec(weights=32, activations=5, scheme="dynamic"))

    def frame_by_frame(x: Tensor) -> Tensor:
        low, high = x.min().clamp_max(0), x.max().clamp_min(0)
        step = (high - low) / 31
        # nothing lies outside its own range
        return step * (x / step).round() if step else x

    lstm, x = network.lstm, torch.randn(6, 9, dtype=torch.float64)
    h = c = torch.zeros(4, dtype=torch.float64)
    for frame, output in zip(x, small.network.get_submodule("lstm")(x[None])[0][0], strict=True):
        total = lstm.weight_ih_l0 @ frame_by_frame(frame) + lstm.bias_ih_l0
        total = total + lstm.weight_hh_l0 @ frame_by_frame(h) + lstm.bias_hh_l0
        i, f, g, o = total.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        torch.testing.assert_close(output, h, rtol=0, atol=1e-12)


def test_masks_and_inputs_lie_on_their_grids() -> None:
    _, small, x = made(SPECS[1], {"io": 4})
    levels = small(x) * 15
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)
    seen: list[Tensor] = []
    small.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    small(x)
    assert all(len(frame.unique()) <= 16 for frame in seen[0].flatten(0, 2))


def test_exceptions_change_what_they_name() -> None:
    network, _ = network_and_input(SPECS[1])
    weights = {"lstm.weight_hh_l1": 3, "dense.weight": 32}
    spec = QuantisationSpec(activations=32, bits=weights)  # type: ignore[arg-type]
    small = quantised(network, spec)
    bits = {name: bits for name, (_, bits) in small.weight_bits().items()}
    assert bits["lstm.weight_hh_l1"] == 3
    assert bits["dense.weight"] == 32
    assert bits["lstm.weight_ih_l0"] == 8
    rows = small.network.get_submodule("lstm.quantisers.weight_hh_l1")(network.lstm.weight_hh_l1)
    assert all(len(row.unique()) <= 8 for row in rows)
    assert torch.equal(small.network.get_submodule("dense").weight, network.dense.weight)
    points = {"cell": 16, "layer_1.cell": 5}
    spec = QuantisationSpec(bits=points)  # type: ignore[arg-type]
    found = {name: q.bits for name, q in quantised(network, spec).points().items()}
    assert (found["layer_0.cell"], found["layer_1.cell"]) == (16, 5)
    assert found["layer_0.hidden"] == 8


@pytest.mark.parametrize(
    ("scheme", "name"),
    [("static", "lstm.weight_hh_l7"), ("static", "layer_9.cell"), ("dynamic", "cell")],
)
def test_exceptions_for_nothing_are_errors(scheme: str, name: str) -> None:
    network, _ = network_and_input(SPECS[1])
    spec = QuantisationSpec(scheme=scheme, bits={name: 4})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"bits: {name} is neither"):
        quantised(network, spec)


def test_two_numbers_of_the_mix_have_at_least_eight_bits() -> None:
    spec = QuantisationSpec(weights=2)
    assert (spec.of_weights("mix.weight"), spec.of_weights("dense.weight")) == (8, 2)
    network, _ = network_and_input(SPECS[1])
    torch.nn.init.uniform_(network.mix.weight)
    small = quantised(network, spec)
    rounded = small.network.get_submodule("mix").weight
    step = network.mix.weight.abs().max() * 2 / 255
    assert ((rounded - network.mix.weight).abs() <= step / 2 * 1.0001).all()
    assert len(small.network.get_submodule("dense").weight[0].unique()) <= 4


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.kind + str(getattr(s, "groups", "")))
@pytest.mark.parametrize("kind", [WEIGHTS_ONLY, {"scheme": "static"}], ids=str)
def test_training_reaches_weights_and_ranges(spec: NetworkSpec, kind: dict[str, Any]) -> None:
    network, x = network_and_input(spec)
    small = quantised(network, QuantisationSpec(**kind, warm_up_steps=2)).double().train()
    torch.manual_seed(0)
    target = torch.rand_like(network(x))
    optimiser = torch.optim.Adam(small.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = ((small(x) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    without = {
        name for name, p in small.named_parameters() if p.grad is None or not p.grad.abs().sum()
    }
    # Every range and weight has learnt but bounds that stay beyond zero, such as the lower one of
    # a sigmoid, where the grid begins at zero all the same.
    assert all(name.endswith((".low", ".high")) for name in without)
    assert losses[-1] < losses[2]
    assert small.ready


def test_warm_up_is_counted_in_training_passes_and_stored() -> None:
    network, x = network_and_input(SPECS[1])
    spec = QuantisationSpec(warm_up_steps=3, weights=32, io=32)
    small = quantised(network, spec).double().train()
    for _ in range(2):
        small(x)
        # does not count
        small.eval()(x)
        small.train()
    other = quantised(network, spec).double().train()
    other.load_state_dict(small.state_dict())
    assert not other.ready
    # Not rounded during the warm-up; sums in another order than the framework's.
    torch.testing.assert_close(other(x), network(x), rtol=0, atol=1e-12)
    assert other.ready
    assert (other(x) - network(x)).abs().max() > 1e-4


def test_bits_set_the_rate_of_the_macs() -> None:
    for weights, activations, name in [
        *((2, 4, "int4"), (4, 8, "int8"), (5, 5, "int8"), (8, 9, "int16"), (8, 32, "fp32")),
        *((32, 8, "fp32"), (16, 16, "int16"), (8, 8, "int8")),
    ]:
        assert PrecisionSpec(weights=weights, activations=activations).name == name  # type: ignore[arg-type]


def test_a_cell_of_its_own_needs_the_static_scheme() -> None:
    with pytest.raises(ValueError, match="cell: must be null with the dynamic scheme"):
        PrecisionSpec(cell=16)
    assert PrecisionSpec(scheme="static", cell=16).cell_bits == 16
    assert PrecisionSpec(scheme="static").cell_bits == 8
    spec = QuantisationSpec(cell=16)
    wide = [point for point in LSTM_POINTS if spec.of_point(point, "layer_0") == 16]
    assert wide == ["forget_gate_times_cell", "cell"]


def test_a_cell_that_forgets_slowly_needs_more_than_eight_bits() -> None:
    """Forget gates at 0.998 and inputs of 0.02: a cell that collects for some hundred frames."""
    network = MnDnn(MnDnnSpec(bins=4, hidden=4, layers=1)).double()
    with torch.no_grad():
        for value in network.lstm.parameters():
            value.zero_()
        _, forget, cell_gate, output = network.lstm.bias_ih_l0.chunk(4)
        forget.fill_(6.2)
        cell_gate.fill_(0.04)
        output.fill_(9.0)
    x = torch.rand(1, 2, 300, 4, dtype=torch.float64)
    exact = network.lstm(x[:, 0])[1][1]
    lost = {}
    for cell in (None, 16):
        exact_sums = {"input_product": 32, "recurrent_product": 32, "gate_sum": 32}
        spec = QuantisationSpec(weights=32, cell=cell, bits=exact_sums)  # type: ignore[arg-type]
        small = quantised(network, spec).double()
        small.observe(x)
        found = small.eval().network.get_submodule("lstm")(x[:, 0])[1][1]
        lost[cell] = ((found - exact).abs().max() / exact.abs().max()).item()
    assert lost[16] < 0.02
    assert lost[None] > 0.1
