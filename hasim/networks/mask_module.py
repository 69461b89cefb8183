"""What the three mask networks share: how they are called, and their way from magnitudes to
features.

Magnitudes are (batch, channel, frame, bin), masks (batch, frame, bin) in [0, 1]. A frame depends
on itself and on those before it, never on a later one.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from hasim.config.spec import Spec
from hasim.networks.front_end import NOISE_MAGNITUDE

# h, c of the LSTM layers, each (layer, batch, width)
LstmState = tuple[Tensor, Tensor]
# the same, and the sums of LevelNorm (batch, 3)
State = tuple[Tensor, Tensor, Tensor]

FLOOR = 1e-3
"""Added to scaled magnitudes: 60 dB below the nominal level. It keeps the slope of the compression
finite in silence."""


class InputSpec(Spec):
    """Input stage of a mask network; the paper leaves it open."""

    kind: str
    bins: int = Field(257, ge=2)
    level_dbfs: float = Field(-35.0, ge=-120, le=20)
    """Level (root mean square, full scale 1) at which white noise has features of about 1."""
    compression: float = Field(0.3, gt=0, le=1)
    """Exponent on the scaled magnitudes; 1 is the paper's plain magnitude."""
    memory_frames: float = Field(125.0, ge=0)
    """Time constant over which features are normalised, in frames; 0 is LayerNorm, each frame by
    itself."""
    standardise: bool = True
    """Bring the features of every bin to mean 0 and deviation 1 before training, on one batch."""


class MaskModule(nn.Module):
    """Base of the mask networks. A subclass has `features`, `_recur` and `_mask`."""

    spec: InputSpec

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec
        # One multiplication per bin, which a device merges with its gain.
        self.gain = 10 ** (-spec.level_dbfs / 20) / NOISE_MAGNITUDE

    def forward(self, magnitude: Tensor) -> Tensor:
        """Masks (batch, frame, bin) from magnitudes (batch, channel, frame, bin)."""
        return self._run(magnitude, None)[0]

    def step(self, magnitude: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Mask (batch, bin) of one frame (batch, channel, bin), and the state for the next frame.

        `state` None: the frame is the first one. Steps give the masks of `forward`.
        """
        mask, state = self._run(magnitude[:, :, None], state)
        return mask[:, 0], state

    def features(self, magnitude: Tensor, sums: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Input of the LSTM, (batch, frame, feature), and the sums of LevelNorm after it."""
        raise NotImplementedError

    def compressed(self, magnitude: Tensor) -> Tensor:
        """Magnitudes of any shape, scaled by the nominal level and compressed."""
        return (self.gain * magnitude + FLOOR) ** self.spec.compression

    def _recur(self, x: Tensor, state: LstmState | None) -> tuple[Tensor, LstmState]:
        """LSTM layers: (batch, frame, width) and their state after the last frame."""
        raise NotImplementedError

    def _mask(self, x: Tensor) -> Tensor:
        """Masks (batch, frame, bin) from the output of the LSTM (batch, frame, width)."""
        raise NotImplementedError

    def _run(self, magnitude: Tensor, state: State | None) -> tuple[Tensor, State]:
        before, sums = (None, None) if state is None else (state[:2], state[2])
        x, sums = self.features(magnitude, sums)
        x, (h, c) = self._recur(x, before)
        return self._mask(x), (h, c, sums)


def own_ear_mix() -> nn.Linear:
    """Weights (1, 2) over the two channels, the same in every bin, that start from the own ear.

    Two random weights may both be negative, and GELU then passes next to nothing.
    """
    mix = nn.Linear(2, 1)
    nn.init.zeros_(mix.bias)
    with torch.no_grad():
        mix.weight.copy_(torch.tensor([[1.0, 0.0]]))
    return mix


def mixed(mix: nn.Linear, x: Tensor) -> Tensor:
    """Sum over channels (batch, frame, bin) of x (batch, 2, frame, bin)."""
    # Written out: a matrix product over so few channels would first copy everything.
    own, other = mix.weight[0]
    return own * x[:, 0] + other * x[:, 1] + mix.bias


def open_forget_gates(lstm: nn.LSTM) -> nn.LSTM:
    """Start with forget gates open, so that the LSTM remembers from its first steps on.

    Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network
    architectures", ICML 2015, section 5.
    """
    size = lstm.hidden_size
    for layer in range(lstm.num_layers):
        nn.init.ones_(lstm.get_parameter(f"bias_ih_l{layer}").data[size : 2 * size])
    return lstm
