"""How late sound may be in an ear: the limit that a verdict holds a run against.

Open fittings mix direct and processed sound, closed ones do not; presets are the rules of
challenges. The bands name what a latency is like; guidance from studies with linear and simulated
aids, no clinical claim.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hasim.config.spec import Spec
from hasim.simulation.program import Program, Receive

Fitting = Literal["open", "closed"]
BANDS: dict[Fitting, tuple[tuple[float, str], ...]] = {
    "open": ((0.5, "imperceptible"), (2.0, "good"), (10.0, "acceptable")),
    "closed": ((10.0, "good"), (20.0, "acceptable"), (30.0, "limit")),
}
"""Milliseconds up to which a latency is called so; beyond the last one it is "too long".

Open: 0 and 0.5 ms sound alike and are preferred to 2, 5 and 10 ms (20 hearing-impaired and 10
normal-hearing listeners, Trends in Hearing 2024, doi 10.1177/23312165241298613); about 10 ms is the
usual ceiling. Closed: one's own voice disturbs from 20 to 30 ms (after Stone and Moore 1999).
"""
RULES_MS = {"echi": 20.0, "cec3": 5.0}
"""Algorithmic latency that the rules of CHiME-9 ECHI and of Clarity CEC3 allow."""


class FittingSpec(Spec):
    """The latency that the verdict allows, by the kind of fitting or by the rule of a challenge."""

    kind: Literal["open", "closed", "none"] = "closed"
    """Open: at most 10 ms; closed: at most 30 ms; none: any latency (studies of front ends that no
    hearing aid could have)."""
    preset: Literal["echi", "cec3"] | None = None
    """The rule of a challenge in place of the kind: CHiME-9 ECHI (20 ms) or Clarity CEC3 (5 ms) of
    algorithmic latency, the time for computing and sending left out."""
    limit_ms: float | None = Field(None, gt=0, le=1000)
    """Another limit than the kind's or the preset's."""

    @property
    def algorithmic(self) -> bool:
        """The limit is for the algorithmic latency alone."""
        return self.preset is not None

    @property
    def limit(self) -> float | None:
        """The limit in ms; None: there is none."""
        if self.limit_ms is not None:
            return self.limit_ms
        if self.preset is not None:
            return RULES_MS[self.preset]
        return None if self.kind == "none" else BANDS[self.kind][-1][0]

    @property
    def text(self) -> str:
        """What allows the limit, for messages."""
        if self.preset is not None:
            return {"echi": "CHiME-9 ECHI", "cec3": "Clarity CEC3"}[self.preset]
        return "the limit" if self.kind == "none" else f"{_article(self.kind)} {self.kind} fitting"


def band(latency_ms: float, fitting: Fitting) -> str:
    """What a latency is called in a fitting; exactly at a bound is within.

    >>> [band(ms, "open") for ms in (0.5, 8, 32)], band(32, "closed")
    (['imperceptible', 'acceptable', 'too long'], 'too long')
    """
    return next((name for limit, name in BANDS[fitting] if latency_ms <= limit), "too long")


def algorithmic_ns(program: Program, window_ns: int, hop_ns: int) -> int:
    """The synthesis window, and the hops by which packets that a frame needs leave later."""
    lags = [step.lag_frames for step in program if isinstance(step, Receive)]
    return window_ns + hop_ns * max([0, *lags])


def too_late(
    fitting: FittingSpec, *, window_ms: float, algorithmic_ms: float, latency_ms: float
) -> str | None:
    """Why a latency is over the limit and what would be within it; None where it is within."""
    limit = fitting.limit
    counted = algorithmic_ms if fitting.algorithmic else latency_ms
    if limit is None or counted <= limit:
        return None
    allowed = f"{fitting.text} allows {limit:g} ms"
    if window_ms > limit:
        return (
            f"too late: the synthesis window alone takes {window_ms:g} ms, {allowed}; "
            f"a shorter front_end.synthesis_window is needed"
        )
    if fitting.algorithmic:
        return (
            f"too late: algorithmic latency {algorithmic_ms:g} ms, {allowed}; exchange an input "
            f"or a spectrum (link.codec.domain), or take a shorter hop"
        )
    rest = limit - window_ms
    return (
        f"too late: latency {latency_ms:.2f} ms, {allowed}; computing and link may take "
        f"{rest:g} ms, they take {latency_ms - window_ms:.2f}"
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
