"""Loss models: which packets are lost on the air."""

from __future__ import annotations

from typing import Annotated

from hasim.config.spec import by_kind
from hasim.simulation.link.losses.bernoulli import Bernoulli
from hasim.simulation.link.losses.gilbert import Gilbert, GilbertElliott
from hasim.simulation.link.losses.gilbert_fit import GilbertFit, fit_gilbert
from hasim.simulation.link.losses.listed import LossList
from hasim.simulation.link.losses.none import NoLoss
from hasim.simulation.link.losses.snr import Snr
from hasim.simulation.link.losses.trace import LossTrace, read_trace

LossSpec = Annotated[
    NoLoss | Bernoulli | Gilbert | GilbertElliott | Snr | LossList | LossTrace,
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
