"""Number formats of mask networks: bits, and how ranges are found. No torch here."""

from __future__ import annotations

from typing import Literal, Self, cast, get_args

from pydantic import Field, model_validator

from hasim.config.spec import Spec
from hasim.simulation.program import Precision

Bits = Literal[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32]
"""2 to 16: integers; 32: floating point, nothing is rounded."""


def known_bits(name: str, number: int) -> Bits:
    """`number` as `Bits`; ValueError with `name` for any other number."""
    for bits in get_args(Bits):
        if bits == number:
            return cast(Bits, bits)
    raise ValueError(f"{name}: must be 2 to 16, or 32 (got {number})")


LstmPoint = Literal[
    "input_product",
    "recurrent_product",
    "gate_sum",
    "input_gate",
    "forget_gate",
    "cell_gate",
    "output_gate",
    "forget_gate_times_cell",
    "input_gate_times_cell_gate",
    "cell",
    "cell_tanh",
    "hidden",
]
"""The values of an LSTM layer that the static scheme rounds, in the order of their computation."""
LSTM_POINTS: tuple[LstmPoint, ...] = get_args(LstmPoint)

POINTS = ("input", "features", *LSTM_POINTS, "dense", "mask")
"""All points: input magnitudes, input of the first LSTM layer, LSTM, dense layers, masks."""

DYNAMIC_POINTS = ("input", "features", "hidden", "dense", "mask")
"""Points of the dynamic scheme, which rounds the inputs of matrix products: an LSTM layer's input,
its own last output, a dense layer's input."""

MIX_BITS = 8
"""Least bits of the channel mix. It is two numbers per network: fewer bits would save one byte and
lose the balance of the ears."""


class PrecisionSpec(Spec):
    """Number formats of the networks: their cost and, with trained masks, their rounding."""

    weights: Bits = 8
    """Bits of a weight; 32 is floating point."""
    activations: Bits = 8
    """Bits of layer outputs (static), or of the inputs of matrix products (dynamic); 32 is
    floating point."""
    io: Bits = 16
    """Bits of the networks' input magnitudes and masks; without effect while `activations` is
    32."""
    cell: Bits | None = None
    """Bits of the LSTM cell state, and of its product with the forget gate, in the static scheme;
    null: as `activations`."""
    scheme: Literal["dynamic", "static"] = "dynamic"
    """Ranges of activations. `dynamic`: found in every frame, with tensors between layers in
    floating point. `static`: fixed beforehand, with every intermediate result rounded; ranges are
    those of the weights file, or of the scene itself in floating point where the file has none."""
    ranges: Literal["channel", "tensor"] = "channel"
    """One range per output channel of a weight matrix, or one for the whole matrix."""

    @model_validator(mode="after")
    def _a_cell_needs_the_static_scheme(self) -> Self:
        if self.scheme == "dynamic" and self.cell not in (None, 32):
            raise ValueError(
                "cell: must be null with the dynamic scheme, which leaves it in floating point "
                f"(got {self.cell})"
            )
        return self

    @property
    def name(self) -> Precision:
        """Precision of the MACs: the narrowest that holds weights and activations."""
        widest = max(self.weights, self.activations)
        names: tuple[tuple[int, Precision], ...] = ((4, "int4"), (8, "int8"), (16, "int16"))
        return next((name for bits, name in names if widest <= bits), "fp32")

    @property
    def floating(self) -> bool:
        """Nothing is rounded."""
        return self.weights == self.activations == 32

    @property
    def io_bits(self) -> int:
        """Bits of input magnitudes and masks."""
        return self.io if self.activations < 32 else 32

    @property
    def cell_bits(self) -> int:
        """Bits in which the LSTM cell state is kept from frame to frame."""
        if self.scheme == "dynamic" or self.activations == 32:
            return 32
        return self.cell or self.activations

    @property
    def hidden_bits(self) -> int:
        """Bits in which the LSTM's output is kept from frame to frame."""
        return self.activations if self.scheme == "static" else 32


FLOATING = PrecisionSpec(weights=32, activations=32)
"""Nothing is rounded."""


class QuantisationSpec(PrecisionSpec):
    """How a network is quantised, in training as well."""

    scheme: Literal["dynamic", "static"] = "static"
    bits: dict[str, Bits] = Field(default_factory=dict)
    """Other bits for a weight matrix ("lstm.weight_hh_l0"), a point ("cell"), or a point in one
    layer ("layer_0.cell"), by name; 32 switches rounding off."""
    zero_point: Literal["integer", "float"] = "integer"
    """Which value is exactly a level of the activations: zero, or the smallest one (FQSS)."""
    warm_up_steps: int = Field(50, ge=0)
    """Training passes in which ranges are observed and activations are not rounded."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Weight of the old range when one more pass is observed."""
    learn_ranges: bool = True
    """Train the ranges of weights and, after the warm-up, of activations."""
    gradient_scale: bool = False
    """Scale the gradients of ranges by 1 / sqrt(levels * numbers) as in LSQ."""
    runtime_span: Literal["frame", "call"] = "frame"
    """Dynamic ranges over one frame of one sequence, as on a device; or over all frames and
    sequences of a matrix product, as in PyTorch. With "call", steps differ from whole sequences."""

    def of_weights(self, name: str) -> int:
        """Bits of a weight matrix."""
        default = max(self.weights, MIX_BITS) if name == "mix.weight" else self.weights
        return self.bits.get(name, default)

    def of_point(self, point: str, layer: str = "") -> int:
        """Bits of a quantisation point, in a layer of the LSTM."""
        defaults = {"input": self.io_bits, "mask": self.io_bits}
        if self.activations < 32:
            # A cell that forgets slowly changes by less than a step of 8 bits in a frame; rounding
            # its product with the forget gate would stop it just as rounding itself does.
            defaults["cell"] = defaults["forget_gate_times_cell"] = self.cell or self.activations
        default = self.bits.get(point, defaults.get(point, self.activations))
        return self.bits.get(f"{layer}.{point}", default)
