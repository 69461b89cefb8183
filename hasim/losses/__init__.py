"""Shelf: how packets get lost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.losses.bernoulli import Bernoulli
from hasim.losses.fit import GilbertFit, fit_gilbert
from hasim.losses.gilbert import Gilbert, GilbertElliott
from hasim.losses.listed import LossList
from hasim.losses.none import NoLoss
from hasim.losses.snr import Snr
from hasim.losses.trace import LossTrace, read_trace
from hasim.spec import by_kind

LossSpec = Annotated[
    Annotated[NoLoss, Tag("none")]
    | Annotated[Bernoulli, Tag("bernoulli")]
    | Annotated[Gilbert, Tag("gilbert")]
    | Annotated[GilbertElliott, Tag("gilbert_elliott")]
    | Annotated[Snr, Tag("snr")]
    | Annotated[LossList, Tag("list")]
    | Annotated[LossTrace, Tag("trace")],
    by_kind("gilbert"),
]

__all__ = [
    "Bernoulli",
    "Gilbert",
    "GilbertElliott",
    "GilbertFit",
    "LossList",
    "LossSpec",
    "LossTrace",
    "NoLoss",
    "Snr",
    "fit_gilbert",
    "read_trace",
]
