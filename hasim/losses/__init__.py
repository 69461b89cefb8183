"""Shelf: how packets get lost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from hasim.spec import Spec, by_kind


class NoLoss(Spec):
    """Every packet arrives."""

    kind: Literal["none"] = "none"


class Bernoulli(Spec):
    """Every attempt is lost with the same probability, independently."""

    kind: Literal["bernoulli"] = "bernoulli"
    probability: float = Field(0.01, ge=0, le=1)


class Gilbert(Spec):
    """Two-state bursts by mean loss and mean burst length (Gilbert 1960), one step per attempt."""

    kind: Literal["gilbert"] = "gilbert"
    mean_loss: float = Field(0.01, ge=0, le=1)
    mean_burst: float = Field(2.0, ge=1)
    """Mean number of consecutive lost attempts."""


class LossList(Spec):
    """Exactly these frames are lost, in both directions or in each its own."""

    kind: Literal["list"] = "list"
    left_to_right: tuple[Annotated[int, Field(ge=0)], ...] = ()
    right_to_left: tuple[Annotated[int, Field(ge=0)], ...] = ()


LossSpec = Annotated[
    Annotated[NoLoss, Tag("none")]
    | Annotated[Bernoulli, Tag("bernoulli")]
    | Annotated[Gilbert, Tag("gilbert")]
    | Annotated[LossList, Tag("list")],
    by_kind("gilbert"),
]
