"""How a run is scored: one file per metric, and their catalogue.

Signals are (ear, sample), ear 0 = left, 1 = right. A number that does not exist is `Unscored` with
the reason; nothing is clamped, and no NaN or infinity leaves this package.
"""

from __future__ import annotations

from hasim.metrics.catalogue import Metric, Quantity, register, unregister
from hasim.metrics.signals import Score, Scores, Signals, Unscored

__all__ = ["Metric", "Quantity", "Score", "Scores", "Signals", "Unscored", "register", "unregister"]
