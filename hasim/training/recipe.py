"""What a training run may say: networks, losses, mixtures, and how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag

from hasim.models.compact_mn_dnn import CompactMnDnnSpec
from hasim.models.mn_dnn import MnDnnSpec
from hasim.models.sn_dnn import SnDnnSpec
from hasim.spec import Spec, by_kind
from hasim.training.dataflows import Algorithm
from hasim.training.mixing import MixSpec

MultiNode = Annotated[
    Annotated[MnDnnSpec, Tag("mn_dnn")] | Annotated[CompactMnDnnSpec, Tag("compact_mn_dnn")],
    by_kind("mn_dnn"),
]


class Recipe(Spec):
    """Everything that decides the weights, besides the training set's own recordings and rooms."""

    name: str = Field("mn_tango", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    algorithm: Algorithm = "mn_tango"
    """Whose dataflow the networks are trained in; two-stage ones train both networks together."""
    mn_dnn: MultiNode = MnDnnSpec()
    sn_dnn: SnDnnSpec = SnDnnSpec()
    """Used by all algorithms but `mn_tango`."""
    start_from: dict[Literal["sn_dnn", "mn_dnn"], Path] = Field(default_factory=dict)
    """Weights to begin with, a network's file or a folder with it; a relative path starts at the
    folder in which the run's own folder lies."""
    mix: MixSpec = MixSpec()
    seed: int = Field(0, ge=0)
    epochs: int = Field(60, ge=1)
    mask_only_epochs: int = Field(20, ge=0)
    """So many epochs at first with the mask loss alone (equation 1), without the last filter."""
    mask_only_frames: int = Field(128, ge=16)
    """Length of their segments: no covariance needs a long one, and short ones allow more steps."""
    mask_only_learning_rate: float = Field(2e-3, gt=0)
    batches_per_epoch: int = Field(80, ge=1)
    scenes_per_batch: int = Field(8, ge=1)
    """Scenes at a time; each gives two sequences, one per ear."""
    frames: int = Field(512, ge=16)
    """Length of a segment, over which covariances are averaged: 512 frames are 8.2 s. With
    `mask_only_frames`, an epoch has as many frames in more batches."""
    validation_batches: int = Field(4, ge=1)
    """Size of the fixed set on which the loss is watched."""
    learning_rate: float = Field(5e-4, gt=0)
    """Largest one of the epochs with the last filter. In both stages the rate rises in the first 50
    batches and falls along a cosine to 2 % at the end."""
    bfloat16: bool = False
    """Compute the networks' matrix products with 8 bits of mantissa, weights and sums in float32:
    twice as fast where the processor has instructions for it, far slower where it has not."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest norm of a gradient; longer ones are shortened."""
    alpha: float = Field(0.3, ge=0, le=1)
    """Weight of the mask loss against the STFT loss (equation 4)."""
    beta: float = Field(0.3, ge=0, le=1)
    """Weight of the complex against the magnitude error (equation 2)."""
    mu: float = Field(1.0, ge=0)
    """Trade-off of the filters trained through."""
    mask_power: int = Field(2, ge=1, le=2)
    """Weight of a frame in the covariances: mask or mask squared."""
