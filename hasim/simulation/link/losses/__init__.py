"""Shelf: how packets get lost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Tag

from hasim.config.spec import by_kind
from hasim.simulation.link.losses.bernoulli import Bernoulli
from hasim.simulation.link.losses.gilbert import Gilbert, GilbertElliott
from hasim.simulation.link.losses.gilbert_fit import GilbertFit, fit_gilbert
from hasim.simulation.link.losses.listed import LossList
from hasim.simulation.link.losses.none import NoLoss
from hasim.simulation.link.losses.snr import Snr
from hasim.simulation.link.losses.trace import LossTrace, read_trace

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
