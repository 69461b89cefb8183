"""Cost of the mask networks per frame and in memory, in closed form and without torch.

A network is a tuple of `Part`s. A multiply-accumulate (MAC) is one use of a weight in a
matrix-vector product; biases, activations and normalisation are not counted. That is the accounting
of the paper (Benslimane et al., "It Takes Few to TANGO", Tables II, IV and V), whose figures all
follow from

    mix: 2 bins,  LSTM layer: 4 H (I + H) / G,  ERB: 2 (bins - linear) bands,  dense: inputs outputs

at 62.5 frames/s. Everything that is not the network (STFT, covariances, filters) is left out there;
the nodes' programs charge it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hasim.dsp.erb import erb_bank
from hasim.networks.contract import Role
from hasim.networks.precision import FLOATING, LSTM_POINTS, MIX_BITS, PrecisionSpec
from hasim.networks.variants import GROUPS, VARIANTS

Erb = Literal["dense", "sparse"]

InclusionRule = Literal["trainable", "with_erb", "with_erb_and_ranges"]
"""What counts as a parameter.

- `trainable`: weights, two bias vectors per LSTM layer, LayerNorm. Gives 561 409 (SN-DNN) + 496 006
  (MN-DNN) = 1 057 415, and 150 149 (G = 2) and 51 845 (G = 8).
- `with_erb`: also the fixed ERB matrices, analysis and synthesis each stored whole: + 24 704.
- `with_erb_and_ranges`: also a minimum and a maximum per output channel of every trained weight
  matrix (mix 1 row, LSTM 4 H input and 4 H recurrent rows per layer, dense 128 rows: 2 * 2 177 =
  4 354), as a quantiser per output channel stores them. Gives 179 207 (G = 2) and 80 903 (G = 8),
  which is what Table V prints as 0.179 M and 0.081 M; the two rules above do not round to it.
"""

WIDTH = {1: 128, 2: 128, 4: 128, 6: 126, 8: 128, 10: 130}
"""Width of the compact network (ERB features, hidden size, dense layer) by number of groups, near
128 and divided by the groups. The first 64 features are linear bins, the rest ERB bands."""

LINEAR_BINS = 64
HIDDEN, LAYERS, HEAD = 128, 3, 256


@dataclass(frozen=True)
class Part:
    """One layer of a network in numbers: multiplications, storage, state."""

    name: str
    # Per frame.
    macs: int
    # Trained, in matrix-vector products.
    weights: int = 0
    biases: int = 0
    # Gains and offsets of LayerNorm.
    norm: int = 0
    # Fixed ERB weights.
    erb: int = 0
    # Output channels of the trained weight matrices.
    rows: int = 0
    # Matrices of trained weights; each has at least one range.
    matrices: int = 0
    # Intermediate results that the static scheme rounds.
    points: int = 0
    # Values of LSTM h kept from frame to frame.
    hidden: int = 0
    # Values of LSTM c kept from frame to frame.
    cell: int = 0


def sn_dnn(bins: int = 257) -> tuple[Part, ...]:
    """SN-DNN: three LSTM layers on the local reference magnitude, dense 128 -> 256 -> bins."""
    return (
        _lstm(bins, HIDDEN, LAYERS, groups=1),
        Part(
            "dense",
            macs=HIDDEN * HEAD + HEAD * bins,
            weights=HIDDEN * HEAD + HEAD * bins,
            biases=HEAD + bins,
            rows=HEAD + bins,
            matrices=2,
            points=1,
        ),
    )


def mn_dnn(groups: int | None = 0, erb: Erb = "dense", bins: int = 257) -> tuple[Part, ...]:
    """MN-DNN: `groups` 0 or None is the paper's full network, 1, 2, 4, 6, 8, 10 the compact one.

    `erb="sparse"` charges and stores only the ERB weights that are not zero (at most two per bin),
    one set for both directions. ValueError for any other number of groups.
    """
    mix = Part("mix", macs=2 * bins, weights=2, biases=1, rows=1, matrices=1)
    norm = Part("norm", macs=0, norm=2 * bins)
    if not groups:
        return (mix, norm, _lstm(bins, HIDDEN, LAYERS, groups=1), _dense(HIDDEN, bins))
    if groups not in WIDTH:
        known = ", ".join(str(g) for g in (0, *WIDTH))
        raise ValueError(f"groups: must be one of {known} (got {groups})")
    width = WIDTH[groups]
    bands = width - LINEAR_BINS
    matrix = (bins - LINEAR_BINS) * bands
    if erb == "sparse":
        touched = int((erb_bank(LINEAR_BINS, bands, bins) > 0).sum())
        bank = Part("erb", macs=2 * touched, erb=touched)
    else:
        bank = Part("erb", macs=2 * matrix, erb=2 * matrix)
    return (mix, norm, bank, _lstm(width, width, 2, groups), _dense(width, width))


def sn_dnn_macs(bins: int = 257) -> int:
    """Multiply-accumulates of the SN-DNN per frame.

    >>> sn_dnn_macs()
    557824
    """
    return macs(sn_dnn(bins))


def mn_dnn_macs(groups: int | None = 0, erb: Erb = "dense", bins: int = 257) -> int:
    """Multiply-accumulates of the MN-DNN per frame; `groups` as in `mn_dnn`.

    >>> [mn_dnn_macs(g) for g in (0, 2, 4, 6, 8, 10)]
    [492674, 172674, 107138, 82658, 74370, 69930]
    """
    return macs(mn_dnn(groups, erb, bins))


def macs(parts: Iterable[Part]) -> int:
    """Multiply-accumulates per frame."""
    return sum(part.macs for part in parts)


def parameters(parts: Iterable[Part], rule: InclusionRule = "trainable") -> int:
    """Number of parameters under an `InclusionRule`.

    >>> parameters(sn_dnn()) + parameters(mn_dnn())
    1057415
    >>> [parameters(mn_dnn(g), "with_erb_and_ranges") for g in (2, 8)]
    [179207, 80903]
    """
    parts = tuple(parts)
    count = sum(part.weights + part.biases + part.norm for part in parts)
    if rule != "trainable":
        count += sum(part.erb for part in parts)
    if rule == "with_erb_and_ranges":
        count += sum(2 * part.rows for part in parts)
    return count


def stored_bytes(parts: Iterable[Part], precision: PrecisionSpec = FLOATING) -> dict[str, int]:
    """Constants in the device's memory, itemised, in bytes.

    In floating point every value has 4 bytes. Otherwise weights are packed at their number of bits,
    with two fp32 range values per output channel (or matrix), as the paper's counts imply; biases,
    LayerNorm and the ERB matrices stay fp32. Static ranges of activations are two fp32 values per
    rounded intermediate result. All in bytes, as the paper's MB are 2^20 in some figures and 10^6
    in others.
    """
    parts = tuple(parts)
    bits: dict[str, int] = {part.name: precision.weights for part in parts}
    if "mix" in bits:
        bits["mix"] = max(bits["mix"], MIX_BITS)
    ranges = sum(part.rows if precision.ranges == "channel" else part.matrices for part in parts)
    points = sum(part.points for part in parts)
    static = precision.scheme == "static" and precision.activations < 32
    items = {
        "weights": sum(_bytes(part.weights, bits[part.name]) for part in parts),
        "biases": 4 * sum(part.biases for part in parts),
        "norm": 4 * sum(part.norm for part in parts),
        "erb": 4 * sum(part.erb for part in parts),
        "ranges": 4 * 2 * ranges if precision.weights < 32 else 0,
        "activation_ranges": 4 * 2 * points if static else 0,
    }
    return {name: size for name, size in items.items() if size}


def state_bytes(parts: Iterable[Part], precision: PrecisionSpec = FLOATING) -> dict[str, int]:
    """State that a network carries from frame to frame, in bytes: LSTM hidden values and cells."""
    parts = tuple(parts)
    return {
        "lstm_h": _bytes(sum(part.hidden for part in parts), precision.hidden_bits),
        "lstm_c": _bytes(sum(part.cell for part in parts), precision.cell_bits),
    }


COUNTED = (
    *("tango", "inverted_dagger", "inverted_star"),
    *(f"mn_tango_g{groups}" if groups else "mn_tango" for groups in GROUPS if groups != 1),
)
"""The variants that `table` has rows for, after the two networks by themselves."""

_PRECISIONS = (
    FLOATING,
    PrecisionSpec(weights=16, activations=16),
    PrecisionSpec(),
    PrecisionSpec(weights=4, activations=4),
)
"""One per rate of MACs that a device may have."""


def table(
    hop_s: float = 0.016, erb: Erb = "dense", precision: PrecisionSpec | None = None
) -> list[dict[str, Any]]:
    """One row per variant: name, MACs per frame, second and part, parameters, bytes.

    `bytes` are the stored ones at fp32, int16, int8 and int4, `at_precision` the stored ones and
    the state at `precision` (8 bits by default).
    """
    precision = precision or PrecisionSpec()
    rows = []
    alone: dict[str, tuple[tuple[Role, ...], int]] = {
        "sn_dnn": (("sn_dnn",), 0),
        "mn_dnn": (("mn_dnn",), 0),
    }
    named = {name: (VARIANTS[name].networks, VARIANTS[name].groups) for name in COUNTED}
    for name, (networks, groups) in (alone | named).items():
        parts = [
            part
            for network in networks
            for part in (sn_dnn() if network == "sn_dnn" else mn_dnn(groups, erb))
        ]
        rows.append(
            {
                "name": name,
                "macs_per_frame": macs(parts),
                "mmac_per_s": macs(parts) / hop_s / 1e6,
                "parts": {
                    part: sum(p.macs for p in parts if p.name == part)
                    for part in ("mix", "lstm", "erb", "dense")
                },
                "parameters": parameters(parts),
                "parameters_by_rule": {
                    rule: parameters(parts, rule) for rule in get_args(InclusionRule)
                },
                "bytes": {
                    precision.name: stored_bytes(parts, precision) for precision in _PRECISIONS
                },
                "state_bytes": state_bytes(parts),
                "at_precision": {
                    **stored_bytes(parts, precision),
                    **state_bytes(parts, precision),
                },
            }
        )
    return rows


def _lstm(inputs: int, hidden: int, layers: int, groups: int) -> Part:
    """LSTM layers with two bias vectors each, cut into groups that do not see one another."""
    sizes = [inputs] + [hidden] * (layers - 1)
    weights = sum(4 * hidden * (size + hidden) // groups for size in sizes)
    # Rows of the input and of the recurrent weights; a bias for each.
    gates = layers * 2 * 4 * hidden
    return Part(
        "lstm",
        macs=weights,
        weights=weights,
        biases=gates,
        rows=gates,
        matrices=2 * layers * groups,
        points=1 + layers * len(LSTM_POINTS),
        hidden=layers * hidden,
        cell=layers * hidden,
    )


def _dense(inputs: int, outputs: int) -> Part:
    return Part(
        "dense",
        macs=inputs * outputs,
        weights=inputs * outputs,
        biases=outputs,
        rows=outputs,
        matrices=1,
    )


def _bytes(values: int, bits: int) -> int:
    return -(-values * bits // 8)
