"""The settings of a training run: networks, losses, mixtures, schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hasim.config.spec import Spec, by_kind
from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnnSpec
from hasim.networks.precision import QuantisationSpec
from hasim.networks.sn_dnn import SnDnnSpec
from hasim.networks.training.dataflows import NETWORKS, Algorithm
from hasim.networks.training.filters import TrainingFilter
from hasim.networks.training.mixing import MixSpec

MultiNode = Annotated[MnDnnSpec | CompactMnDnnSpec, by_kind("mn_dnn")]

Weights = dict[Literal["sn_dnn", "mn_dnn"], Path]


class DistillationSpec(Spec):
    """Distillation: trained networks as targets beside the truth, with the last filter."""

    teacher: Weights
    """Weights for every network of the algorithm, with paths as in `start_from`. The multi-node
    network may be of another kind than the one that is trained."""
    weight_kd: float = Field(0.3, ge=0, le=1)
    """Weight of the teacher's masks against its enhanced STFTs (lambda_KD, equation 7)."""
    weight_task: float = Field(0.7, ge=0, le=1)
    """Weight of the truth against the teacher (lambda_task, equation 8)."""


class Recipe(Spec):
    """All that decides the weights, except the recordings and rooms of the training set."""

    name: str = Field("mn_tango", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    algorithm: Algorithm = "mn_tango"
    """Algorithm whose dataflow the networks are trained in; with two networks, both together."""
    mn_dnn: MultiNode = MnDnnSpec()
    sn_dnn: SnDnnSpec = SnDnnSpec()
    """Used by all algorithms but `mn_tango`."""
    start_from: Weights = Field(default_factory=dict)
    """Initial weights: a network's file, or a folder with it; a relative path starts at the folder
    that holds the run's own folder."""
    quantisation: QuantisationSpec | None = None
    """Train fake-quantised networks, from the weights in `start_from`; null: floating point."""
    distillation: DistillationSpec | None = None
    """A teacher, or null."""
    mix: MixSpec = MixSpec()
    seed: int = Field(0, ge=0)
    epochs: int = Field(60, ge=1)
    mask_only_epochs: int = Field(20, ge=0)
    """First epochs, with the mask loss alone (equation 1), without the last filter."""
    mask_only_frames: int = Field(128, ge=16)
    """Length of their segments: covariances do not need long ones here, and short ones allow more
    steps."""
    mask_only_learning_rate: float = Field(2e-3, gt=0)
    batches_per_epoch: int = Field(80, ge=1)
    scenes_per_batch: int = Field(8, ge=1)
    """Scenes per batch; each gives two sequences, one per ear."""
    frames: int = Field(512, ge=16)
    """Length of a segment, over which covariances are averaged: 512 frames are 8.2 s. With
    `mask_only_frames`, an epoch has as many frames in more batches."""
    validation_batches: int = Field(4, ge=1)
    """Size of the fixed set on which the loss is watched."""
    validation_frames: int | None = Field(None, ge=16)
    """Length of its segments; null: `frames`."""
    learning_rate: float = Field(5e-4, gt=0)
    """Largest rate of the epochs with the last filter. In both stages the rate rises over the first
    50 batches and falls along a cosine to 2 % at the end."""
    bfloat16: bool = False
    """Matrix products of the networks in bfloat16, weights and sums in float32: twice as fast on
    processors with instructions for it, far slower on others."""
    clip_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""
    alpha: float = Field(0.3, ge=0, le=1)
    """Weight of the mask loss against the STFT loss (equation 4)."""
    beta: float = Field(0.3, ge=0, le=1)
    """Weight of the complex against the magnitude error (equation 2)."""
    filter: TrainingFilter = "sdw_mwf"
    """Filter trained through: `sdw_mwf` (paper), or `gevd`, the rank-1 filter that nodes use."""
    mu: float = Field(1.0, ge=0)
    """Its trade-off."""
    mask_power: int = Field(2, ge=1, le=2)
    """Weight of a frame in the covariances: mask or mask squared."""

    @model_validator(mode="after")
    def _every_network_has_a_teacher(self) -> Self:
        if self.distillation is None:
            return self
        needed, given = NETWORKS[self.algorithm], self.distillation.teacher
        if set(given) != set(needed):
            raise ValueError(
                f"distillation.teacher: must name weights for {' and '.join(needed)}, the networks "
                f"of {self.algorithm} (got {', '.join(given) or 'none'})"
            )
        if self.mask_only_epochs >= self.epochs:
            raise ValueError(
                "distillation: needs epochs with the last filter, so mask_only_epochs must be less "
                f"than epochs (got {self.mask_only_epochs} of {self.epochs})"
            )
        return self

    @model_validator(mode="after")
    def _ranges_are_found_in_time(self) -> Self:
        quantisation = self.quantisation
        if quantisation is None:
            return self
        if self.bfloat16:
            raise ValueError(
                "bfloat16: must be false with quantisation: rounding happens on grids as fine as "
                "its own"
            )
        first = min(self.mask_only_epochs, self.epochs)
        steps = first * self.batches(mask_only=True)
        steps += (self.epochs - first) * self.batches(mask_only=False)
        if quantisation.warm_up_steps >= steps:
            raise ValueError(
                f"quantisation.warm_up_steps: must be less than the {steps} batches of this recipe "
                f"(got {quantisation.warm_up_steps})"
            )
        return self

    def batches(self, mask_only: bool) -> int:
        """Batches of an epoch, with the mask loss alone or with the last filter."""
        if mask_only:
            return -(-self.batches_per_epoch * self.frames // self.mask_only_frames)
        return self.batches_per_epoch
