"""Random mixtures: dry speech and noise through a room of the training set, never the same twice.

A batch is drawn by one numpy generator and computed by torch on any device. Convolution is
circular over `excerpt` samples, of which the first ones, where the end wraps around, are discarded:
a segment begins in the middle of its room's sound, not in silence. Spectra are complex, (scene,
ear, mic, bin, frame), with the window and hop of `networks.front_end`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy import ndarray
from pydantic import Field
from torch import Tensor

from hasim.config.spec import Spec
from hasim.networks.front_end import FRONT_END
from hasim.networks.training.data import TrainingSet

WINDOW, HOP = FRONT_END.window, FRONT_END.hop
INT16 = 32768.0
Side = Literal["training", "validation"]


class MixSpec(Spec):
    """Random properties of every segment. Pairs are ranges, drawn from uniformly."""

    snr_db: tuple[float, float] = (-10.0, 10.0)
    """At the left reference microphone with the noise on the right, as scenes define it."""
    target_level_dbfs: tuple[float, float] = (-48.0, -28.0)
    """Root mean square of the talker at the left reference microphone."""
    real_noise: float = Field(0.6, ge=0)
    """Weight of recorded noise; the three weights are made to add up to 1."""
    speech_shaped: float = Field(0.3, ge=0)
    """Weight of stationary noise with the long-term spectrum of a speech excerpt."""
    babble: float = Field(0.1, ge=0)
    """Weight of several talkers at once from one direction."""
    babble_talkers: tuple[int, int] = (3, 8)
    noise_colour_db: float = Field(4.0, ge=0, le=24)
    """Standard deviation of a smooth random frequency response on the noise."""
    sensor_noise_dbfs: float = Field(-80.0, ge=-160, le=-20)
    """Self-noise of every microphone, white."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """Share of speech files, noise files and rooms that is kept for validation."""


@dataclass(frozen=True)
class Batch:
    """Mixtures and their ground truth."""

    # (scene, ear, mic, bin, frame)
    mics: Tensor
    # (scene, ear, bin, frame): the talker's image at the reference microphones
    target: Tensor
    # (scene, ear, bin, frame): ideal ratio mask of amplitudes, in the same place
    mask: Tensor
    # (scene): root mean square of the talker at the left (unmirrored) reference
    level: Tensor


class Mixer:
    """Draws batches from the "training" or the "validation" files and rooms of a training set.

    With `mics` 1 only the reference microphones are mixed, in half the time.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        spec: MixSpec,
        frames: int,
        side: Side,
        device: torch.device,
        mics: int = 2,
    ) -> None:
        from scipy.fft import next_fast_len

        self.spec, self.device, self.training_set, self.mics = spec, device, training_set, mics
        # frame n covers hops n and n + 1 of the segment
        self.samples = (frames + 1) * HOP
        self.excerpt = next_fast_len(self.samples + training_set.spec.taps, real=True)
        self.speech = _side(training_set.speech_files, spec.validation_share, side)
        self.noise = _side(training_set.noise_files, spec.validation_share, side)
        rooms = np.arange(training_set.spec.scenes)
        self.rooms = _side(rooms, spec.validation_share, side)
        self.sources = training_set.responses[0].shape[1]
        bins = np.arange(self.excerpt // 2 + 1)
        # 0 at 62.5 Hz, 7 at 8 kHz
        self.octave = np.log2(np.maximum(bins, 1) / len(bins)) + 7

    def batch(self, rng: np.random.Generator, scenes: int) -> Batch:
        """`scenes` mixtures; the same generator state gives the same batch."""
        drawn = [self._draw(rng) for _ in range(scenes)]
        # (scene, 2, sample): talker, noise
        dry = self._tensor(np.stack([d[0] for d in drawn]))
        # (scene, 2, ear, mic, tap)
        responses = self._tensor(np.stack([d[1] for d in drawn]))
        # (scene, bin of the excerpt)
        colour = self._tensor(np.stack([d[2] for d in drawn]))
        snr_db, level_dbfs, mirrored = (
            self._tensor(np.array([d[k] for d in drawn], np.float32)) for k in (3, 4, 5)
        )
        n = self.excerpt
        sources = torch.fft.rfft(dry)
        sources[:, 1] *= colour
        images = sources[:, :, None, None] * torch.fft.rfft(responses, n)
        # Parseval over the excerpt: power at the left reference microphone, talker and noise
        # (scene, 2, bin, 2)
        reference = torch.view_as_real(images[:, :, 0, 0])
        # (scene, 2)
        power = reference.square().sum((-1, -2)) * 2 / n**2
        level = 10 ** (level_dbfs / 20)
        noise_level = level * 10 ** (-snr_db / 20)
        gains = torch.stack([level, noise_level], dim=1) / power.sqrt()
        images = images * gains[:, :, None, None, None]
        images = torch.where(mirrored[:, None, None, None, None] > 0, images.flip(2), images)
        # Mixture at each microphone, then the target alone.
        wanted = torch.cat([images.sum(1), images[:, 0, :, :1]], dim=2)
        # (scene, ear, mic + 1, sample)
        sound = torch.fft.irfft(wanted, n)[..., n - self.samples :]
        hiss = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        sound[:, :, :-1] += 10 ** (self.spec.sensor_noise_dbfs / 20) * torch.randn(
            sound[:, :, :-1].shape, generator=hiss, device=self.device
        )
        spectra = analyse(sound)
        mics, target = spectra[:, :, :-1], spectra[:, :, -1]
        speech, noise = magnitude(target), magnitude(mics[:, :, 0] - target)
        return Batch(mics, target, speech / (speech + noise).clamp_min(1e-12), level)

    def _draw(
        self, rng: np.random.Generator
    ) -> tuple[ndarray, ndarray, ndarray, float, float, bool]:
        """Dry talker and noise, responses, the colour of the noise, SNR, level, mirrored or not."""
        spec = self.spec
        talker = self._excerpt(rng, self.training_set.speech, self.speech)
        weights = np.array([spec.real_noise, spec.speech_shaped, spec.babble])
        kind = rng.choice(["real", "speech_shaped", "babble"], p=weights / weights.sum())
        if kind == "real":
            noise = self._excerpt(rng, self.training_set.noise, self.noise)
        elif kind == "speech_shaped":
            noise = _speech_shaped(rng, self._excerpt(rng, self.training_set.speech, self.speech))
        else:
            talkers = rng.integers(spec.babble_talkers[0], spec.babble_talkers[1] + 1)
            voices = [
                self._excerpt(rng, self.training_set.speech, self.speech) for _ in range(talkers)
            ]
            noise = np.sum(voices, axis=0)
        room = int(rng.choice(self.rooms))
        response = self.training_set.response
        place = int(rng.integers(1, self.sources))
        return (
            np.stack([talker, noise]),
            np.stack([response(room, k)[:, : self.mics] for k in (0, place)]).astype(np.float32),
            self._colour(rng),
            float(rng.uniform(*spec.snr_db)),
            float(rng.uniform(*spec.target_level_dbfs)),
            bool(rng.random() < 0.5),
        )

    def _excerpt(self, rng: np.random.Generator, signal: ndarray, files: ndarray) -> ndarray:
        """A stretch of `excerpt` samples with a root mean square of 1 from a file drawn by length.

        Short recordings go round; silent stretches are drawn again.
        """
        lengths = files[:, 1] - files[:, 0]
        while True:
            start, stop = files[rng.choice(len(files), p=lengths / lengths.sum())]
            first = rng.integers(max(1, stop - start - self.excerpt))
            piece = np.asarray(signal[start + first : stop][: self.excerpt], np.float32) / INT16
            piece = np.resize(piece, self.excerpt)
            rms = float(np.sqrt(np.mean(piece**2)))
            if rms > 1e-3:
                return piece / rms

    def _colour(self, rng: np.random.Generator) -> ndarray:
        """A smooth random gain over frequency: independent values at octaves from 62.5 Hz up."""
        nodes = rng.normal(0, self.spec.noise_colour_db, 8)
        coarse = np.linspace(0, 7, 2048)
        # Decibels on few points, gains linearly in between: exponentials are expensive.
        gains = 10 ** (np.interp(coarse, np.arange(8), nodes) / 20)
        return np.interp(self.octave, coarse, gains).astype(np.float32)

    def _tensor(self, array: ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def analyse(sound: Tensor) -> Tensor:
    """Spectra (..., bin, frame) of a waveform (..., sample); frame n begins with hop n.

    In torch, to run on the device of the batch; `dsp.stft.analyse` pads with silence and is numpy.
    """
    window = torch.hann_window(WINDOW, dtype=sound.dtype, device=sound.device)
    return torch.fft.rfft(sound.unfold(-1, WINDOW, HOP) * window).transpose(-1, -2)


def magnitude(spectra: Tensor) -> Tensor:
    """The absolute value, with a gradient of 0 at 0; three times as fast as `abs`."""
    parts = torch.view_as_real(spectra)
    real, imaginary = parts[..., 0], parts[..., 1]
    return (real * real + imaginary * imaginary).clamp_min(1e-24).sqrt()


def _side(items: ndarray, share: float, side: Side) -> ndarray:
    """Every 1 / share-th item for validation, the rest for training; both have at least one."""
    if len(items) < 2:
        raise ValueError(
            "a training set needs at least two speech files, noise files and rooms, "
            "to keep one of each for validation"
        )
    step = min(max(2, round(1 / share)), len(items))
    is_validation = np.arange(len(items)) % step == step - 1
    return items[is_validation if side == "validation" else ~is_validation]


def _speech_shaped(rng: np.random.Generator, speech: ndarray) -> ndarray:
    """Stationary noise with the spectrum of the excerpt and random phases."""
    spectrum = np.abs(np.fft.rfft(speech)) * np.exp(2j * np.pi * rng.random(len(speech) // 2 + 1))
    return np.fft.irfft(spectrum, len(speech)).astype(np.float32)
