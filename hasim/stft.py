"""The analysis and synthesis that frame-based nodes share, causal and with perfect reconstruction.

Frame n covers the `window` samples that end where hop n ends: samples [(n + 1) hop - window, (n + 1) hop).
It is complete at (n + 1) hop / sample rate. After overlap-add of frame n the samples up to
(n + 2) hop - synthesis_window are final. Waveforms are (..., sample), spectra (..., bin, frame).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.spec import Spec


class FrontEndSpec(Spec):
    """Window, hop and window shape of the short-time Fourier transform."""

    window: int = Field(512, ge=16, le=4096)
    """Analysis window and transform length in samples."""
    hop: int = Field(256, ge=8, le=2048)
    """Samples from one frame to the next."""
    synthesis_window: int | None = Field(None, ge=16, le=4096)
    """Synthesis window in samples, the algorithmic latency; shorter than `window` makes an asymmetric pair."""
    shape: Literal["hann", "sqrt_hann"] = "hann"
    """Analysis window of the symmetric pair; the synthesis window is its dual, so reconstruction is perfect."""

    @model_validator(mode="after")
    def _lengths_fit(self) -> FrontEndSpec:
        synthesis = self.synthesis_samples
        if self.window % 2:
            raise ValueError(f"window must be even (got {self.window})")
        if synthesis > self.window:
            raise ValueError(
                f"synthesis_window must be at most window = {self.window} (got {synthesis})"
            )
        if synthesis % self.hop or synthesis < 2 * self.hop:
            raise ValueError(
                f"the synthesis window must be 2, 3, ... hops long (got {synthesis} samples, hop {self.hop})"
            )
        return self

    @property
    def bins(self) -> int:
        """Frequency bins of a real signal's spectrum."""
        return self.window // 2 + 1

    @property
    def synthesis_samples(self) -> int:
        """Length of the synthesis window, in samples: the algorithmic latency."""
        return self.synthesis_window or self.window
