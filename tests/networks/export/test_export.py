"""Exported networks: C that a compiler accepts and that gives the same bits, arrays that load,
ONNX that gives the same masks; and the command."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.config.spec import InputError
from hasim.networks.export import npz_file
from hasim.networks.export.c_code import c_files
from hasim.networks.export.export import export
from hasim.networks.mn_dnn import MnDnnSpec
from hasim.networks.quantization.calibration import demo_magnitudes
from hasim.networks.quantization.integer import IntegerNetwork
from hasim.networks.quantization.to_integer import integer
from hasim.networks.weights_file import save
from tests.quantised_networks import BITS, SPECS, calibrated, steep

COMPILER = shutil.which("gcc")
TINY = MnDnnSpec(bins=33, hidden=8, layers=1)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A tiny network in floating point."""
    network, _ = steep(TINY)
    save(network, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def any_features(network: IntegerNetwork, frames: int = 12) -> np.ndarray:
    """Levels from end to end of their range: sums come near their limits, points clip."""
    grid, shape = network.features, network.layers[0].input.weights.shape
    rng = np.random.default_rng(5)
    levels = rng.integers(grid.lowest, grid.highest + 1, (frames, shape[0] * shape[2]))
    levels[-3] = grid.lowest
    levels[-2] = grid.highest
    return levels.astype(np.int16)


# --- C --------------------------------------------------------------------------------------------


def compiled(files: dict[str, str], folder: Path) -> Path:
    if COMPILER is None:
        pytest.skip("no gcc to compile the C code with")
    for name, text in files.items():
        (folder / name).write_text(text)
    (command,) = re.findall(r"^    gcc (.+)$", files["README.md"], flags=re.MULTILINE)
    more = ["-pedantic", "-Wconversion", "-fsanitize=undefined", "-fno-sanitize-recover", "-O1"]
    done = subprocess.run(
        [COMPILER, *command.split(), *more], cwd=folder, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "check"


@pytest.mark.parametrize(
    ("spec", "bits"),
    [
        ("sn_dnn gelu", "w8a8 cell16"),
        ("mn_dnn", "w8a8"),
        ("g8", "w4a8 mask8"),
        ("g6 other order", "w8a8 cell16"),
    ],
)
def test_c_gives_the_same_bits(spec: str, bits: str, tmp_path: Path) -> None:
    """Without tolerance, and without anything that C leaves undefined."""
    network = integer(calibrated(SPECS[spec], BITS[bits])[0])
    program = compiled(c_files(network, any_features(network)), tmp_path)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "12 frames, 0 numbers differ\n")


def test_weights_of_4_bits_take_half_the_bytes() -> None:
    sizes = {}
    for weights in (8, 4):
        network = integer(calibrated(TINY, {"weights": weights})[0])
        files = c_files(network, any_features(network))
        (array,) = re.findall(
            r"layer_0_input_(?:weights|packed)\[(\d+)\] = \{", files["parameters.c"]
        )
        sizes[weights] = int(array)
    assert sizes == {8: 4 * 8 * 33, 4: 2 * 8 * 33}


def test_one_wrong_number_is_noticed(tmp_path: Path) -> None:
    network = integer(calibrated(TINY, {})[0])
    files = c_files(network, any_features(network))
    head, array, rest = files["golden.h"].partition("golden_masks[GOLDEN_FRAMES][HASIM_BINS] = {")
    first = re.search(r"\d+", rest)
    assert first is not None
    changed = rest[: first.start()] + str(int(first[0]) ^ 1) + rest[first.end() :]
    program = compiled(files | {"golden.h": head + array + changed}, tmp_path)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "12 frames, 1 numbers differ\n")


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_arrays_load_as_the_same_network(spec: str, tmp_path: Path) -> None:
    network = integer(calibrated(SPECS[spec], BITS["w4a8 mask8"])[0])
    content = npz_file.to_bytes(network)
    (tmp_path / "x.npz").write_bytes(content)
    loaded = npz_file.load(tmp_path / "x.npz")
    assert npz_file.to_bytes(loaded) == content
    features = any_features(network)[None]
    assert np.array_equal(loaded(features)[0], network(features)[0])
    with np.load(tmp_path / "x.npz") as file:
        assert file["layers.0.input.weights"].dtype == np.int8
        # of 4 bits
        assert np.abs(file["layers.0.input.weights"]).max() == 8
        assert file["layers.0.input.bias"].dtype == np.int32
        assert file["layers.1.cell.levels.step"] > 0


def test_other_files_are_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"x\.npz: not an \.npz file"):
        npz_file.load(path)
    np.savez(path, a=1)
    with pytest.raises(ValueError, match=r"format_version must be 1 .got None"):
        npz_file.load(path)
    np.savez(path, format_version=1)
    with pytest.raises(ValueError, match="not an integer network"):
        npz_file.load(path)


# --- ONNX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_onnx_gives_the_same_masks_frame_by_frame(spec: str) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnx")
    runtime: Any = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from hasim.networks.export.onnx_graph import onnx_bytes

    network, x = steep(SPECS[spec])
    if spec != "sn_dnn" and "mix" in dict(network.named_children()):
        torch.nn.init.uniform_(network.mix.weight)  # type: ignore[union-attr, arg-type]
    content = onnx_bytes(network)
    assert onnx_bytes(network) == content
    session = runtime.InferenceSession(content)
    shapes = {one.name: one.shape for one in session.get_inputs()}
    state = {
        name: np.zeros([len(x) if size == "batch" else size for size in shapes[name]], np.float32)
        for name in ("h", "c", "sums")
    }
    masks = []
    for n in range(x.shape[2]):
        mask, *after = session.run(
            ["mask", *(f"{name}_after" for name in state)],
            {"magnitude": x[:, :, n].numpy(), **state},
        )
        state = dict(zip(state, after, strict=True))
        masks.append(mask)
    with torch.no_grad():
        expected = network(x).numpy()
    # float32 sums in another order, 40 frames long, before a sigmoid 20 times as steep as usual.
    np.testing.assert_allclose(np.stack(masks, axis=1), expected, rtol=0, atol=2e-5)
    assert expected.std() > 0.05


# --- the command ----------------------------------------------------------------------------------


def test_calibration_sound_is_the_same_every_time_and_scaled_as_trained() -> None:
    sound = demo_magnitudes(2, 33)
    assert sound.shape == (8, 2, 2001, 33)
    assert np.array_equal(sound, demo_magnitudes(2, 33))
    # the ears change places
    assert np.array_equal(sound[0, 0], sound[1, 1])
    # Power of the loudest talker, -30 dBFS, with noise 5 dB below, as with 512 samples of Hann.
    level = 10 * np.log10(np.mean(sound[4, 0] ** 2) / 192)
    assert -33 < level < -28


def test_the_command_writes_networks(weights: Path, tmp_path: Path) -> None:
    def hasim(*words: str) -> Any:
        return CliRunner().invoke(app, ["export", str(weights), *words])

    answers = {}
    for format in ("c", "npz"):
        out = tmp_path / format
        answer = hasim("--format", format, "--out", str(out), "--weights", "6")
        assert answer.exit_code == 0, answer.output
        answers[format] = [Path(line) for line in answer.stdout.split()]
        assert sorted(out.iterdir()) == sorted(answers[format])
    network = npz_file.load(answers["npz"][0])
    # of 6 bits
    assert np.abs(network.layers[0].input.weights).max() == 32
    assert network.layers[0].cell.levels.bits == network.features.bits == 16
    golden = (tmp_path / "c" / "golden.h").read_text()
    assert "#define GOLDEN_FRAMES 32" in golden
    program = compiled({path.name: path.read_text() for path in answers["c"]}, tmp_path)
    assert subprocess.run([program]).returncode == 0
    again = tmp_path / "again"
    hasim("--format", "c", "--out", str(again), "--weights", "6")
    for path in answers["c"]:
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_stored_quantised_networks_are_exported_as_they_are(tmp_path: Path) -> None:
    small, _ = calibrated(TINY, {"weights": 5, "warm_up_steps": 1})
    small = small.float()
    save(small, tmp_path / "small.safetensors")
    (path,) = export(tmp_path / "small.safetensors", "npz", tmp_path)
    assert path.read_bytes() == npz_file.to_bytes(integer(small))
    with pytest.raises(InputError, match="stored quantised: they are as in the file"):
        export(tmp_path / "small.safetensors", "npz", tmp_path, weights=8)
    with pytest.raises(InputError, match="stored quantised; ONNX is for networks in floating"):
        export(tmp_path / "small.safetensors", "onnx", tmp_path)
    dynamic, _ = calibrated(TINY, {"scheme": "dynamic"})
    save(dynamic.float(), tmp_path / "dynamic.safetensors")
    with pytest.raises(InputError, match=r"dynamic\.safetensors: only the static scheme"):
        export(tmp_path / "dynamic.safetensors", "c", tmp_path)


def test_mistakes_in_the_command_are_said(weights: Path, tmp_path: Path) -> None:
    def hasim(*words: Any) -> tuple[int, str]:
        answer = CliRunner().invoke(app, ["export", *map(str, words)])
        return answer.exit_code, " ".join(re.sub(r"[│\s]+", " ", answer.output).split())

    code, said = hasim(weights, "--format", "c")
    assert code == 2
    assert "--format c needs --out DIR" in said
    code, said = hasim(tmp_path, "--format", "csv", "--out", tmp_path)
    assert code == 2
    assert "are for networks" in said
    code, said = hasim(tmp_path / "no.safetensors", "--format", "npz", "--out", tmp_path)
    assert code == 4
    assert "no such weights file" in said
    code, said = hasim(weights, "--format", "onnx", "--out", tmp_path, "--weights", "4")
    assert code == 4
    assert "must not be given" in said


def test_without_the_package_onnx_it_says_what_to_install(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'hasim\[onnx\]'"):
        export(weights, "onnx", tmp_path)
