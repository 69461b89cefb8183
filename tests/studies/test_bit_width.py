"""Networks in few bits on test scenes: zero where nothing is rounded, more with fewer bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.config.spec import InputError
from hasim.networks import pretrained
from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnn
from hasim.networks.precision import LSTM_POINTS, QuantisationSpec
from hasim.networks.quantization.choices import drop_choices, dynamic_choices
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.sn_dnn import SnDnn
from hasim.networks.weights_file import load, save
from hasim.reporting import figure, network_figures, network_tables
from hasim.studies import bit_width, evaluation_scenes


def scenes(count: int = 1) -> list:
    return evaluation_scenes.scenarios(
        evaluation_scenes.definition().model_copy(update={"duration_s": 1}), count
    )


def network() -> CompactMnDnn:
    torch.manual_seed(0)
    return CompactMnDnn(CompactMnDnnSpec(groups=8)).eval()


def test_nothing_rounded_nothing_lost() -> None:
    same = bit_width.Bench([network()], scenes()).compare(
        QuantisationSpec(weights=32, activations=32)
    )
    assert set(same.pop("intervals").values()) == {None}  # one scene says nothing of others
    assert same == {
        "mask_error": 0.0,
        "error_before_db": -200.0,
        "error_after_db": -200.0,
        **{
            f"{metric}_loss_{where}_db": 0.0
            for metric in ("si_sdr", "si_sir")
            for where in ("before", "after")
        },
    }


def test_fewer_bits_more_error_also_in_the_single_node_network() -> None:
    torch.manual_seed(0)
    bench = bit_width.Bench([SnDnn().eval()], scenes(), stoi=True)
    found = [bench.compare(QuantisationSpec(weights=b, activations=8)) for b in (8, 4, 2)]  # type: ignore[arg-type]
    for key in ("mask_error", "error_before_db", "error_after_db"):
        assert found[0][key] < found[1][key] < found[2][key]
    assert "stoi_loss_after" in found[0]


def test_everything_that_can_be_dropped_is_dropped_alone() -> None:
    variants = drop_choices(network(), 3)
    points = ["input", "features", *LSTM_POINTS, "mask"]
    matrices = ["mix.weight", *(f"layers.{i}.weight_{k}" for i in (0, 1) for k in ("ih", "hh"))]
    together = ["all weights", "all activations", "everything"]
    assert list(variants) == [*points, *matrices, "dense.weight", *together]
    assert len(variants["layers.1.weight_hh"].bits) == 8  # all groups of the layer
    for name in [*points, *matrices]:
        whole = quantised(network(), variants[name])  # every name means something there
        narrow = [q.bits for q in whole.points().values()]
        narrow += [bits for _, bits in whole.weight_bits().values() if bits < 32]
        assert set(narrow) <= {3}
    assert "dense" in drop_choices(SnDnn(), 3)
    assert drop_choices(MnDnn(), 4, others=8)["cell"].of_point("hidden") == 8
    with pytest.raises(ValueError, match=r"bits: must be 2 to 16, or 32 \(got 1\)"):
        drop_choices(network(), 1)


def run(*words: object) -> tuple[int, str, str]:
    answer = CliRunner().invoke(app, [str(word) for word in words])
    return answer.exit_code, answer.stdout, answer.stderr


def test_sensitivity_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "mn_dnn.safetensors"
    save(network(), file)
    words = ("quantize", "sensitivity", file, "--n", 1, "--duration-s", 1, "--quiet")
    code, said, wrong = run(*words, "--out", tmp_path / "out", "--json")
    assert code == 0, wrong
    rows = json.loads(said)["rows"]
    assert [row["what"] for row in rows] == list(drop_choices(network(), 4))
    assert json.loads((tmp_path / "out" / "sensitivity.json").read_text()) == rows
    picture = (tmp_path / "out" / "sensitivity.png").read_bytes()
    assert picture == figure.png_bytes(network_figures.sensitivity(rows))
    errors, losses = network_figures.sensitivity(rows).axes
    assert [axes.get_xlabel() for axes in (errors, losses)] == [
        "error against floating point (dB)",
        "SI-SDR lost (dB)",
    ]
    head, lines = network_tables.quantised(rows)
    assert len(head) == len(lines[0]) == 5
    assert len(lines) == len(rows)


def test_intervals_are_over_scenes() -> None:
    bench = bit_width.Bench([network()], scenes(3))
    few = QuantisationSpec(scheme="dynamic", weights=3, activations=32)
    together = bench.compare(few)
    alone = []
    for case in bench.cases:
        bench.cases = [case]
        alone.append(bench.compare(few)["error_after_db"])
    assert together["error_after_db"] == pytest.approx(np.mean(alone))
    half = 4.302653 * np.std(alone, ddof=1) / np.sqrt(3)  # Student, two degrees of freedom
    assert together["intervals"]["error_after_db"] == pytest.approx(
        [np.mean(alone) - half, np.mean(alone) + half]
    )
    shown = network_tables.quantised([{"what": "few", **together}])[1][0]
    assert [cell.count("±") for cell in shown] == [0, 0, 0, 2, 2]


def test_what_dynamic_quantisation_costs_two_networks_together() -> None:
    code, said, wrong = run(
        *("quantize", "dynamic", "hasim:tango", "--n", 1, "--duration-s", 1, "--quiet", "--json")
    )
    assert code == 0, wrong
    found = {row["what"]: row["mask_error"] for row in json.loads(said)["rows"]}
    assert list(found) == list(dynamic_choices())
    assert all(found["all three"] < found[one] for one in list(found)[:4])
    assert found["weights alone, per channel"] < found["weights alone, per matrix"]
    both = bit_width.read_networks(pretrained.files(Path("hasim:tango")))
    stages = bit_width.Bench(both, scenes()).cases[0].scores
    assert list(stages) == ["sn_dnn", "filter_1", "received_z", "mn_dnn", "filter_2"]
    # One of two: which, has to be said.
    code, _, wrong = run("quantize", "sensitivity", "hasim:tango")
    assert (code, "holds 2 networks; name" in wrong) == (4, True)


def test_search_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bench:
        """Stands for scenes: every bit of a weight that is missing costs."""

        def __init__(self, *_: object) -> None: ...

        def compare(self, variant: QuantisationSpec) -> dict[str, float]:
            return {"si_sdr_loss_after_db": sum(8 - b for b in variant.bits.values()) / 100}

    monkeypatch.setattr(bit_width, "Bench", Bench)
    file, small = tmp_path / "mn_dnn.safetensors", tmp_path / "small.safetensors"
    save(network(), file)
    code, said, wrong = run(
        *("quantize", "search", file, "--max-bytes", 170_000, "--out", small, "--json", "--quiet")
    )
    assert code == 0, wrong
    told = json.loads(said)
    assert told["within_limits"]
    assert told["bytes"] <= 170_000
    again = load(small)
    assert isinstance(again, QuantisedNetwork)
    bits = {name: bits for name, (_, bits) in again.weight_bits().items()}
    assert bits == {"mix.weight": 8, **told["bits"]}
    # What is stored is what the search counted.
    packed = sum(-(-size * bits // 8) for size, bits in again.weight_bits().values())
    assert told["bytes"] == packed + 4 * (4 * 128 * 2 * 2 + 128 + 1 + 2 * 257 + 24_704 + 2 * 2177)
    code, said, _ = run("quantize", "search", file, "--max-bytes", 1000, "--quiet")
    assert (code, "nothing was found within the limits" in said) == (0, True)


def test_what_cannot_be_studied(tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    save(quantised(network(), QuantisationSpec(scheme="dynamic")), file)
    with pytest.raises(InputError, match="is quantised already"):
        bit_width.read_networks([file])
    with pytest.raises(InputError, match="a second mn_dnn in the same folder"):
        bit_width.read_networks(pretrained.files(Path("hasim:mn_tango_g2")) * 2)
    assert run("quantize", "sensitivity", file)[0] == 4
    assert run("quantize", "search", tmp_path / "none", "--max-bytes", 1)[0] == 4
    assert run("quantize", "search", file)[0] == 2
    save(network(), file)
    assert run("quantize", "sensitivity", file, "--others", 40, "--n", 1, "--duration-s", 1)[0] == 2
