"""Short-time Fourier transform with overlap-add: causal, with perfect reconstruction.

Frame n covers the `window` samples that end where hop n ends: samples [(n + 1) hop - window, (n +
1) hop). It is complete at (n + 1) hop / sample rate. After overlap-add of frame n the samples up to
(n + 2) hop - synthesis_window are final. Waveforms are (..., sample), spectra (..., bin, frame).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.config.spec import Spec

SAMPLE_RATE_HZ = 16_000
"""The sample rate of every scenario: networks, codecs and clocks are made for it."""


class FrontEndSpec(Spec):
    """Window, hop and window shape of the short-time Fourier transform."""

    window: int = Field(512, ge=16, le=4096)
    """Analysis window and transform length in samples."""
    hop: int = Field(256, ge=8, le=2048)
    """Samples from one frame to the next."""
    synthesis_window: int | None = Field(None, ge=16, le=4096)
    """Synthesis window in samples, the algorithmic latency; shorter than `window` makes an
    asymmetric pair."""
    shape: Literal["hann", "sqrt_hann"] = "hann"
    """Analysis window of the symmetric pair; the synthesis window is its dual, so reconstruction
    is perfect."""

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
                "the synthesis window must be 2, 3, ... hops long "
                f"(got {synthesis} samples, hop {self.hop})"
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


def samples_in_ns(samples: int, sample_rate_hz: int) -> int:
    """Duration of a number of samples in whole nanoseconds, rounded down.

    >>> samples_in_ns(256, 16_000)
    16000000
    """
    return samples * 1_000_000_000 // sample_rate_hz


def frames_for(samples: int, front_end: FrontEndSpec) -> int:
    """Frames until the last of `samples` samples is final after overlap-add."""
    return -(-(samples + front_end.synthesis_samples) // front_end.hop) - 1


def analyse(waveform: ndarray, front_end: FrontEndSpec) -> ndarray:
    """Spectra (..., bin, frame) of a waveform (..., sample), zero before its start and after its
    end."""
    window, hop = front_end.window, front_end.hop
    frames = frames_for(waveform.shape[-1], front_end)
    padded = np.zeros((*waveform.shape[:-1], window + (frames - 1) * hop))
    start = window - hop
    used = min(waveform.shape[-1], padded.shape[-1] - start)
    padded[..., start : start + used] = waveform[..., :used]
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window, axis=-1)[..., ::hop, :]
    spectra = np.fft.rfft(pieces * analysis_window(front_end), axis=-1)
    return np.swapaxes(spectra, -1, -2)


def synthesise(spectra: ndarray, front_end: FrontEndSpec, samples: int) -> ndarray:
    """Waveform (..., sample) of spectra (..., bin, frame), aligned with what was analysed."""
    window, hop, frames = front_end.window, front_end.hop, spectra.shape[-1]
    synthesis = front_end.synthesis_samples
    pieces = np.fft.irfft(np.swapaxes(spectra, -1, -2), n=window, axis=-1)
    pieces = pieces[..., window - synthesis :] * synthesis_window(front_end)
    overlaps = synthesis // hop
    # (..., frame, overlap, hop)
    hops = pieces.reshape(*pieces.shape[:-1], overlaps, hop)
    summed = np.zeros((*pieces.shape[:-2], frames + overlaps - 1, hop))
    for overlap in range(overlaps):
        summed[..., overlap : overlap + frames, :] += hops[..., overlap, :]
    waveform = summed.reshape(*summed.shape[:-2], -1)
    # Frame 0 begins this many samples before sample 0.
    start = synthesis - hop
    return waveform[..., start : start + samples]


def analysis_window(front_end: FrontEndSpec) -> ndarray:
    """(sample,): the window of a frame before its transform."""
    return _window_pair(front_end)[0]


def synthesis_window(front_end: FrontEndSpec) -> ndarray:
    """(sample,): the window of a frame's last `synthesis_samples` samples before overlap-add."""
    return _window_pair(front_end)[1]


def window_energy(front_end: FrontEndSpec) -> float:
    """Sum of the squared analysis window: the mean power of a bin for white noise of unit power."""
    return float(np.sum(analysis_window(front_end) ** 2))


def transform_macs(front_end: FrontEndSpec) -> int:
    """MACs of one windowed real transform, forward or back.

    A real FFT of N samples takes about 2.5 N log2(N) floating-point operations, two to a MAC; the
    window (and, going back, overlap-add) takes N more MACs.
    """
    return round(1.25 * front_end.window * np.log2(front_end.window)) + front_end.window


@lru_cache(maxsize=32)
def _window_pair(front_end: FrontEndSpec) -> tuple[ndarray, ndarray]:
    if front_end.synthesis_samples < front_end.window:
        return _asymmetric_pair(front_end)
    analysis = _hann(front_end.window)
    if front_end.shape == "sqrt_hann":
        analysis = np.sqrt(analysis)
    # The dual window: analysis times synthesis, summed over all hops that meet a sample, is one.
    energy = (analysis**2).reshape(-1, front_end.hop).sum(axis=0)
    return analysis, analysis / np.tile(energy, front_end.window // front_end.hop)


def _asymmetric_pair(front_end: FrontEndSpec) -> tuple[ndarray, ndarray]:
    """A long analysis and a short synthesis window whose product is a Hann window of the synthesis
    length.

    Mauler and Martin, "A low delay, variable resolution, perfect reconstruction spectral
    analysis-synthesis system for speech enhancement", EUSIPCO 2007, equations 5 to 9 (without
    their zero tail).
    """
    window, synthesis = front_end.window, front_end.synthesis_samples
    half = synthesis // 2
    rise = np.sqrt(_hann(2 * (window - half))[: window - half])
    fall = np.sqrt(_hann(synthesis)[half:])
    analysis = np.concatenate([rise, fall])
    product = _hann(synthesis)
    inverse = np.zeros(synthesis)
    np.divide(product, analysis[-synthesis:], out=inverse, where=product > 0)
    return analysis, inverse / (synthesis / front_end.hop / 2)


def _hann(length: int) -> ndarray:
    """Periodic Hann window: copies shifted by length / 2 sum to one."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
