"""Many waves added up, against the sum written down wave by wave."""

from __future__ import annotations

import numpy as np
import pytest
from numpy import ndarray

from hasim.acoustics.rir_builder import KERNEL_TAPS, SPEED_OF_SOUND_M_PER_S, Waves, sum_waves

RATE_HZ = 16_000


def one_by_one(waves: Waves, gains: ndarray, taps: int) -> ndarray:
    """Every wave's windowed sinc, filtered and added: (path, output, tap)."""
    length = waves.firs.shape[-1]
    result = np.zeros((len(waves.path_m), waves.firs.shape[1], taps + 2 * length))
    at = np.arange(-length, taps + length)
    half = KERNEL_TAPS // 2 + 1
    for path, wave in np.ndindex(*waves.path_m.shape):
        delay = waves.path_m[path, wave] / SPEED_OF_SOUND_M_PER_S * RATE_HZ
        offset = at - delay
        window = np.where(np.abs(offset) < half, 0.5 + 0.5 * np.cos(np.pi * offset / half), 0)
        pulse = gains[path, wave] * waves.gain[path, wave] * window * np.sinc(offset)
        for k in range(waves.choice.shape[-1]):
            for output, fir in enumerate(waves.firs[waves.choice[path, wave, k]]):
                filtered = np.convolve(pulse, fir)[waves.lead :][: len(at)]
                result[path, output] += waves.share[path, wave, k] * filtered
    return result[..., length : length + taps].reshape(-1, taps)


def some_waves(
    rng: np.random.Generator, paths: int, count: int, filters: int, outputs: int
) -> Waves:
    path_m = rng.uniform(0.3, 12, (paths, count))
    return Waves(
        firs=rng.standard_normal((filters, outputs, 9)),
        lead=3,
        choice=rng.integers(filters, size=(paths, count, 2)),
        share=rng.random((paths, count, 2)),
        path_m=path_m,
        gain=1 / path_m,
    )


@pytest.mark.parametrize(("paths", "outputs"), [(4, 1), (1, 4)])
def test_the_sum_is_that_of_the_waves_one_by_one(
    rng: np.random.Generator, paths: int, outputs: int
) -> None:
    waves = some_waves(rng, paths, 60, 40, outputs)
    gains = rng.standard_normal((paths, 60)) * (rng.random((paths, 60)) < 0.8)
    ours, literal = sum_waves(waves, gains, 500, RATE_HZ), one_by_one(waves, gains, 500)
    error_db = 20 * np.log10(np.linalg.norm(ours - literal) / np.linalg.norm(literal))
    assert error_db < -90  # six points of the bump leave about 1e-5


def test_what_lies_outside_is_cut(rng: np.random.Generator) -> None:
    """Waves that begin before tap 0 with their ringing, and waves after the end."""
    waves = some_waves(rng, 1, 40, 5, 1)
    gains = np.ones((1, 40))
    long, short = (sum_waves(waves, gains, taps, RATE_HZ) for taps in (800, 200))
    np.testing.assert_allclose(short, long[:, :200], atol=1e-12)
    np.testing.assert_allclose(short, one_by_one(waves, gains, 200), atol=1e-3)


def test_no_waves_are_silent(rng: np.random.Generator) -> None:
    waves = some_waves(rng, 4, 3, 2, 1)
    assert sum_waves(waves, np.zeros(3), 50, RATE_HZ).tolist() == np.zeros((4, 50)).tolist()


def test_pulses_keep_their_band(rng: np.random.Generator) -> None:
    """The fractional delay passes 7.5 kHz within 0.1 dB, wherever between samples the pulse is."""
    path_m = np.linspace(2, 2 + SPEED_OF_SOUND_M_PER_S / RATE_HZ, 7)
    for path in path_m:
        waves = Waves(
            firs=np.ones((1, 1, 1)),
            lead=0,
            choice=np.zeros((1, 1, 1), int),
            share=np.ones((1, 1, 1)),
            path_m=np.full((1, 1), path),
            gain=np.ones((1, 1)),
        )
        spectrum = np.fft.rfft(sum_waves(waves, np.ones(1), 320, RATE_HZ)[0])
        level_db = 20 * np.log10(np.abs(spectrum[: 7500 * 320 // RATE_HZ]))
        assert np.abs(level_db).max() < 0.1
