"""Networks for other programs and devices: C code or arrays in integers, ONNX in floating point."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy import ndarray

from hasim.config.files import write_whole
from hasim.config.spec import InputError
from hasim.networks import pretrained
from hasim.networks.mask_estimator import read
from hasim.networks.precision import Bits, QuantisationSpec
from hasim.networks.quantization.calibration import demo_magnitudes
from hasim.networks.quantization.fixed_point import Levels
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.sn_dnn import SnDnn
from hasim.networks.weights_file import FloatNetwork, StoredNetwork

Format = Literal["c", "npz", "onnx"]
# Frames of sound in the golden vectors.
GOLDEN_FRAMES = 28


def export(path: Path, format: Format, out: Path, weights: int | None = None) -> list[Path]:
    """Write a network into a folder; returns the files written.

    `path` is a weights file, a folder with one, or `hasim:NAME`.

    Formats "c" and "npz" are in integers. A network that is stored quantised is exported as it is;
    one in floating point is quantised to `weights` bits (8 by default), activations of 8 bits,
    features, cell state and masks of 16, with ranges from the bundled recordings. Format "onnx" is
    the float network. InputError for files that are not weights, for a network without such a form,
    and for `weights` where the bits are given by the file or by the format.
    """
    path = pretrained.file(path)
    network = read(path)
    if weights is not None and (format == "onnx" or isinstance(network, QuantisedNetwork)):
        why = "an ONNX network is" if format == "onnx" else f"{path} is stored quantised: they are"
        raise InputError(f"--weights: must not be given, {why} as in the file")
    if format == "onnx":
        if isinstance(network, QuantisedNetwork):
            raise InputError(f"{path}: stored quantised; ONNX is for networks in floating point")
        return _written(out, {f"{path.stem}.onnx": _onnx(network)})
    try:
        return _written(out, _integers(path.stem, network, format, weights or 8))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def integer_spec(weights: int = 8) -> QuantisationSpec:
    """Quantisation of a network in floating point for devices."""
    return QuantisationSpec(
        weights=cast(Bits, weights),
        activations=8,
        cell=16,
        io=16,
        scheme="static",
        bits={"features": 16},
    )


def _integers(stem: str, network: StoredNetwork, format: Format, weights: int) -> dict[str, bytes]:
    from hasim.networks.export import c_code, npz_file
    from hasim.networks.quantization.to_integer import features, integer

    float_network = network.network if isinstance(network, QuantisedNetwork) else network
    channels = 1 if isinstance(float_network, SnDnn) else 2
    sound = torch.from_numpy(demo_magnitudes(channels, network.spec.bins))
    if isinstance(network, QuantisedNetwork):
        small = network
    else:
        small = quantised(network, integer_spec(weights)).eval()
        small.observe(sound)
    whole = integer(small)
    if format == "npz":
        return {f"{stem}.npz": npz_file.to_bytes(whole)}
    golden = _golden(whole.features, features(small, sound[:1, :, :GOLDEN_FRAMES])[0][0])
    return {name: text.encode() for name, text in c_code.c_files(whole, golden).items()}


def _golden(grid: Levels, sound: ndarray) -> ndarray:
    """Features (frame, feature) of sound, and the ends of the range, which make points clip."""
    extremes = np.full((4, sound.shape[1]), grid.lowest, dtype=np.int16)
    extremes[1:, ::2] = grid.highest
    extremes[2, 1::2] = grid.highest
    return np.concatenate([sound, extremes])


def _onnx(network: FloatNetwork) -> bytes:
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        raise InputError("--format onnx needs the package onnx: pip install 'hasim[onnx]'")
    from hasim.networks.export.onnx_graph import onnx_bytes

    return onnx_bytes(network)


def _written(out: Path, files: dict[str, bytes]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(out / name, content)
    return [out / name for name in files]
