"""Weights on disk: a safetensors file whose header describes the network.

The header's metadata holds one JSON block, `hasim`: format version, the network's Spec (whose
`kind` names the architecture), how it is quantised (null where it is not), and a card (free JSON
from the trainer: recipe, data, seed, scores). A quantised network is stored in floating point with
its ranges and rounds as before when loaded. `pack` makes the small files that come with hasim:
matrices of a floating-point network as float16, those of a quantised one as levels in int8; loaded,
they are float32 again. Every mistake in a file is a ValueError that names the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from hasim.config.files import write_whole
from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.networks.contract import Role
from hasim.networks.mn_dnn import MnDnn, MnDnnSpec
from hasim.networks.precision import FLOATING, PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.sn_dnn import SnDnn, SnDnnSpec

FORMAT_VERSION = 1
NetworkSpec = SnDnnSpec | MnDnnSpec | CompactMnDnnSpec
FloatNetwork = SnDnn | MnDnn | CompactMnDnn
StoredNetwork = FloatNetwork | QuantisedNetwork


def build(spec: NetworkSpec) -> FloatNetwork:
    """An untrained network, initialised from torch's global generator."""
    if isinstance(spec, SnDnnSpec):
        return SnDnn(spec)
    return MnDnn(spec) if isinstance(spec, MnDnnSpec) else CompactMnDnn(spec)


def save(network: StoredNetwork, path: Path, card: dict[str, Any] | None = None) -> None:
    """Write a network as float32, whole or not at all; `card` is free JSON about its origin."""
    block = {
        "format_version": FORMAT_VERSION,
        "network": network.spec.model_dump(mode="json"),
        "quantisation": None,
        "card": card or {},
    }
    if isinstance(network, QuantisedNetwork):
        block["quantisation"] = network.quantisation.model_dump(mode="json")
    tensors = {
        name: value.detach().to("cpu", torch.float32).contiguous()
        for name, value in network.state_dict().items()
    }
    _check_finite(path, tensors)
    _write(path, tensors, block)


def pack(source: Path, target: Path) -> None:
    """Copy the network of a file, with its card, into a smaller file.

    About half the size, a quarter where weights have 8 bits or fewer. ValueError as in `load`, and
    where float16 cannot hold a weight.
    """
    network = load(source)
    tensors = {name: value.float().contiguous() for name, value in network.state_dict().items()}
    if isinstance(network, QuantisedNetwork):
        for name, grid in network.weight_grids().items():
            if grid.highest <= torch.iinfo(torch.int8).max:
                tensors[name] = grid.levels(tensors[name]).to(torch.int8)
    else:
        for name, value in tensors.items():
            if value.ndim == 2:
                tensors[name] = value.to(torch.float16)
    _check_finite(source, tensors)
    _write(target, tensors, _block(source))


def load(path: Path) -> StoredNetwork:
    """The network stored in a file, in evaluation mode, on the CPU.

    ValueError where the file is missing, not one of hasim's, or of another format version, and
    where names, shapes or values do not fit the architecture it names.
    """
    from safetensors.torch import load_file

    block = _block(path)
    built = build(_spec(path, block))
    network: StoredNetwork = built
    if block.get("quantisation") is not None:
        network = quantised(built, _quantisation(path, block["quantisation"]))
    tensors = load_file(path)
    expected = network.state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "is missing" if name in expected else f"does not belong to {network.spec.kind}"
        raise ValueError(f"{path}: tensor {name} {what}")
    levels = {}
    for name, value in tensors.items():
        rounded = isinstance(network, QuantisedNetwork) and name in network.weight_grids()
        known = (torch.float32, torch.int8) if rounded else (torch.float32, torch.float16)
        if value.shape != expected[name].shape or value.dtype not in known:
            types = " or ".join(str(dtype).removeprefix("torch.") for dtype in known)
            raise ValueError(
                f"{path}: tensor {name} must be {types} {tuple(expected[name].shape)} "
                f"(got {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)})"
            )
        if value.dtype == torch.int8:
            levels[name] = value
    _check_finite(path, tensors)
    # Converts any type to float32.
    network.load_state_dict(tensors)
    if isinstance(network, QuantisedNetwork) and levels:
        state, grids = network.state_dict(), network.weight_grids()
        with torch.no_grad():
            for name, value in levels.items():
                state[name].copy_(value * grids[name].step)
    return network.eval()


def role(network: StoredNetwork) -> Role:
    """Role of a network in an algorithm: "sn_dnn", or "mn_dnn" (also the compact one)."""
    return "sn_dnn" if isinstance(network.spec, SnDnnSpec) else "mn_dnn"


def read_card(path: Path) -> dict[str, Any]:
    """The trainer's card of a file; ValueError as in `load`."""
    return dict(_block(path)["card"])


def read_groups(path: Path) -> int:
    """Groups of a compact multi-node network, 0 for all others; ValueError as in `load`."""
    return getattr(_spec(path, _block(path)), "groups", 0)


def read_precision(path: Path) -> PrecisionSpec:
    """The number formats a file was made for; ValueError as in `load`."""
    values = _block(path).get("quantisation")
    if values is None:
        return FLOATING
    whole = _quantisation(path, values)
    return PrecisionSpec(**{name: getattr(whole, name) for name in PrecisionSpec.model_fields})


def _block(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from None
    if "hasim" not in metadata:
        raise ValueError(f"{path}: safetensors file without the metadata block 'hasim'")
    block = json.loads(metadata["hasim"])
    if block.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version must be {FORMAT_VERSION} (got {block.get('format_version')})"
        )
    return dict(block)


def _spec(path: Path, block: dict[str, Any]) -> NetworkSpec:
    from pydantic import ValidationError

    kinds: dict[str, type[NetworkSpec]] = {
        "sn_dnn": SnDnnSpec,
        "mn_dnn": MnDnnSpec,
        "compact_mn_dnn": CompactMnDnnSpec,
    }
    kind = block["network"].get("kind")
    if kind not in kinds:
        raise ValueError(f"{path}: network kind must be one of {', '.join(kinds)} (got {kind})")
    try:
        return kinds[kind].model_validate(block["network"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise ValueError(f"{path}: {kind}.{where}: {first['msg']}") from None


def _quantisation(path: Path, values: dict[str, Any]) -> QuantisationSpec:
    from pydantic import ValidationError

    try:
        return QuantisationSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise ValueError(f"{path}: quantisation.{where}: {first['msg']}") from None


def _write(path: Path, tensors: dict[str, torch.Tensor], block: dict[str, Any]) -> None:
    from safetensors.torch import save as to_bytes

    path.parent.mkdir(parents=True, exist_ok=True)
    content = to_bytes(tensors, metadata={"hasim": json.dumps(block, sort_keys=True)})
    write_whole(path, content)


def _check_finite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{path}: tensor {name} has values that are not finite")
