"""Talkers and noises as signals: files, bundled recordings, and synthetic noise.

Signals are (sample,), float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.acoustics.audio_file import read_audio, resample
from hasim.config.spec import InputError, Spec, by_kind

Recording = Literal[
    "speech_it_male",
    "speech_en_female",
    "speech_fr_female",
    "speech_ru_male",
    "noise_market",
    "noise_harbour",
    "noise_rain",
    "noise_river",
]
TALKERS: tuple[Recording, ...] = (
    "speech_it_male",
    "speech_en_female",
    "speech_fr_female",
    "speech_ru_male",
)


class BundledSource(Spec):
    """A recording that comes with hasim (origin and licence: acoustics/recordings/SOURCES.md)."""

    kind: Literal["bundled"] = "bundled"
    name: Recording = "speech_it_male"
    """Which recording."""
    start_s: float | None = Field(None, ge=0)
    """Where the excerpt begins; null: drawn from the seed."""


class FileSource(Spec):
    """An audio file: WAV, FLAC or Ogg, at most 600 s long.

    Its first channel is used, resampled to the scenario's rate.
    """

    kind: Literal["file"] = "file"
    path: Path
    """Relative paths start at the scenario file's folder."""
    start_s: float | None = Field(None, ge=0)
    """Where the excerpt begins; null: drawn from the seed."""


class SpeechShapedNoise(Spec):
    """Gaussian noise with the long-term spectrum of speech."""

    kind: Literal["speech_shaped"] = "speech_shaped"
    path: Path | None = None
    """Speech whose spectrum is taken; null: all bundled talkers."""


class Babble(Spec):
    """Several talkers at once from one direction, each recording from a random start."""

    kind: Literal["babble"] = "babble"
    talkers: int = Field(6, ge=2, le=32)
    """How many speak at once."""
    paths: tuple[Path, ...] = ()
    """Speech files to draw from; empty: the bundled talkers."""


class WhiteNoise(Spec):
    """White Gaussian noise."""

    kind: Literal["white"] = "white"


class PinkNoise(Spec):
    """Gaussian noise whose power falls by 3 dB per octave."""

    kind: Literal["pink"] = "pink"


SourceSpec = Annotated[
    BundledSource | FileSource | SpeechShapedNoise | Babble | WhiteNoise | PinkNoise,
    by_kind("bundled"),
]


def render(
    spec: SourceSpec, samples: int, sample_rate_hz: int, rng: np.random.Generator
) -> ndarray:
    """`samples` samples of a source, float64 (sample,), scaled to an `active_level` of 1.

    Recordings that are too short are repeated, with a cross-fade of 20 ms. The same state of `rng`
    gives the same bytes.

    Raises:
        InputError: a file cannot be used, or is silent where it is needed.
        LimitError: a file is too long.
        ValueError: `start_s` lies beyond the end of the recording.
    """
    match spec:
        case BundledSource():
            with _bundled(spec.name) as path:
                signal = _excerpt(path, spec.start_s, samples, sample_rate_hz, rng)
        case FileSource():
            signal = _excerpt(spec.path, spec.start_s, samples, sample_rate_hz, rng)
        case Babble():
            signal = _babble(spec, samples, sample_rate_hz, rng)
        case SpeechShapedNoise():
            signal = _shaped_noise(_speech_spectrum(spec.path, sample_rate_hz), samples, rng)
        case WhiteNoise():
            signal = rng.standard_normal(samples)
        case PinkNoise():
            signal = _shaped_noise(_pink_spectrum(sample_rate_hz), samples, rng)
    return signal / active_level(signal, sample_rate_hz)


def active_level(signal: ndarray, sample_rate_hz: int) -> float:
    """Root mean square of the active parts of (sample,): pauses do not count.

    The active level of ITU-T P.56 (method B), with frames of 20 ms in place of its smoothed
    envelope: all energy is divided by the time in which the power is, or was within the last
    200 ms, no more than 15.9 dB below that same level. A stationary signal is active throughout;
    its level is the plain root mean square. Silence has level 0.
    """
    starts = np.arange(0, len(signal), sample_rate_hz // 50)
    lengths = np.diff(np.append(starts, len(signal)))
    energies = np.add.reduceat(signal**2, starts)
    power = energies.sum() / len(signal)
    # Dropping pauses raises the level, which raises the threshold, until nothing more is dropped.
    while power > 0:
        loud = energies >= lengths * power * 10**-1.59
        active = np.convolve(loud, np.ones(11))[: len(loud)] > 0.5
        raised = energies.sum() / lengths[active].sum()
        if raised <= power:
            break
        power = raised
    return float(np.sqrt(power))


@contextmanager
def _bundled(name: str) -> Iterator[Path]:
    recordings = resources.files("hasim.acoustics") / "recordings"
    with resources.as_file(recordings / f"{name}.flac") as path:
        yield path


def _recording(path: Path, sample_rate_hz: int) -> ndarray:
    """First channel of a file at the rate asked for, (sample,)."""
    signal, rate_hz = read_audio(path, channels=1)
    return resample(signal[0], rate_hz, sample_rate_hz)


def _excerpt(
    path: Path,
    start_s: float | None,
    samples: int,
    sample_rate_hz: int,
    rng: np.random.Generator,
) -> ndarray:
    """`samples` samples of a recording from `start_s`, or from a place drawn from `rng`."""
    signal = _recording(path, sample_rate_hz)
    start = None if start_s is None else round(start_s * sample_rate_hz)
    if start is not None and start >= len(signal):
        raise ValueError(
            f"start_s: must be below {len(signal) / sample_rate_hz:g}, the length of {path} "
            f"(got {start_s:g})"
        )
    if start is None and len(signal) >= samples:
        start = int(rng.integers(len(signal) - samples + 1))
    if start is None or start + samples > len(signal):
        signal = _periodic(signal, sample_rate_hz // 50)
        start = int(rng.integers(len(signal))) if start is None else start
    excerpt = np.take(signal, np.arange(start, start + samples), mode="wrap")
    if not excerpt.any():
        raise InputError(
            f"{path}: expected sound, found silence from {start / sample_rate_hz:g} s on "
            f"for {samples / sample_rate_hz:g} s"
        )
    return excerpt


def _periodic(signal: ndarray, fade: int) -> ndarray:
    """One period of a signal that repeats: its last `fade` samples fade into its first ones."""
    fade = min(fade, len(signal) // 2)
    period = signal[: len(signal) - fade].copy()
    # Power-complementary: end and beginning of a recording are not correlated.
    angle = np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1)
    period[:fade] = np.sin(angle) * period[:fade] + np.cos(angle) * signal[len(period) :]
    return period


def _babble(spec: Babble, samples: int, sample_rate_hz: int, rng: np.random.Generator) -> ndarray:
    """Sum of equally loud talkers; recordings are used in turn, in a drawn order."""
    signal = np.zeros(samples)
    with ExitStack() as stack:
        paths = spec.paths or [stack.enter_context(_bundled(name)) for name in TALKERS]
        order = rng.permutation(len(paths))
        for talker in range(spec.talkers):
            path = paths[order[talker % len(paths)]]
            voice = _excerpt(path, None, samples, sample_rate_hz, rng)
            signal += voice / active_level(voice, sample_rate_hz)
    return signal


def _speech_spectrum(path: Path | None, sample_rate_hz: int) -> tuple[ndarray, ndarray]:
    """Frequencies in Hz and long-term amplitude of speech: Welch, Hann windows of 64 ms."""
    from scipy.signal import welch

    power = np.zeros(1)
    with ExitStack() as stack:
        paths = [path] if path else [stack.enter_context(_bundled(name)) for name in TALKERS]
        for speech_path in paths:
            speech = _recording(speech_path, sample_rate_hz)
            if not speech.any():
                raise InputError(f"{speech_path}: expected speech, found silence")
            speech = speech / active_level(speech, sample_rate_hz)
            window = min(len(speech), round(0.064 * sample_rate_hz))
            frequencies_hz, density = welch(speech, sample_rate_hz, nperseg=window)
            power = power + density
    return frequencies_hz, np.sqrt(power)


def _pink_spectrum(sample_rate_hz: int) -> tuple[ndarray, ndarray]:
    """1 / sqrt(f) from 20 Hz on; flat below, or the level would depend on the signal's length."""
    frequencies_hz = np.linspace(0, sample_rate_hz / 2, sample_rate_hz // 2 + 1)
    return frequencies_hz, 1 / np.sqrt(np.maximum(frequencies_hz, 20))


def _shaped_noise(
    spectrum: tuple[ndarray, ndarray], samples: int, rng: np.random.Generator
) -> ndarray:
    """Gaussian noise with an amplitude given at some frequencies (Hz), without a constant part."""
    frequencies_hz, amplitude = spectrum
    noise = np.fft.rfft(rng.standard_normal(samples))
    bins_hz = np.linspace(0, frequencies_hz[-1], len(noise))
    noise *= np.interp(bins_hz, frequencies_hz, amplitude)
    noise[0] = 0
    return np.fft.irfft(noise, samples)
