"""Shelf: how packets get lost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.losses.bernoulli import Bernoulli
from hasim.losses.gilbert import Gilbert
from hasim.losses.listed import LossList
from hasim.losses.none import NoLoss
from hasim.spec import by_kind

LossSpec = Annotated[
    Annotated[NoLoss, Tag("none")]
    | Annotated[Bernoulli, Tag("bernoulli")]
    | Annotated[Gilbert, Tag("gilbert")]
    | Annotated[LossList, Tag("list")],
    by_kind("gilbert"),
]

__all__ = ["Bernoulli", "Gilbert", "LossList", "LossSpec", "NoLoss"]
