"""Spatial covariances of speech and noise from masks, shape (ear, frame, bin, channel, channel)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from hasim.spec import Spec, by_kind


class Recursive(Spec):
    """Exponential averaging, causal; the forgetting is a time constant."""

    kind: Literal["recursive"] = "recursive"
    tau_s: float = Field(0.8, gt=0, le=60)
    """Time constant; the factor per update is exp(-interval / tau)."""
    every: int = Field(1, ge=1, le=64)
    """Frames from one update of covariances and filters to the next."""
    mask_power: Literal[1, 2] = 2
    """Weight of a frame: mask or mask squared."""


class Utterance(Spec):
    """One average over the whole utterance, as in the paper: not causal, for reference."""

    kind: Literal["utterance"] = "utterance"
    mask_power: Literal[1, 2] = 2


CovarianceSpec = Annotated[
    Annotated[Recursive, Tag("recursive")] | Annotated[Utterance, Tag("utterance")],
    by_kind("recursive"),
]
