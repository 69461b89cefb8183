"""Measured responses to the four microphones from WAV, FLAC and SOFA files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy import ndarray

from hasim.acoustics.head import unit_vectors
from hasim.acoustics.measured_response import read
from hasim.config.spec import InputError, LimitError

RATE_HZ = 16_000
AHEAD = unit_vectors(0.0, 0.0)


def three_pulses(onset: int = 100) -> ndarray:
    """Direct sound, a reflection 10 ms later and one 100 ms later, (channel, tap)."""
    firs = np.zeros((4, 4000))
    for channel in range(4):
        firs[channel, onset + channel + np.array([0, 160, 1600])] = [0.5, 0.25, -0.125]
    return firs


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_audio_files_and_their_stretches(tmp_path: Path, name: str) -> None:
    firs = three_pulses()
    soundfile.write(tmp_path / name, firs.T, RATE_HZ, subtype="PCM_24")
    got = read(tmp_path / name, AHEAD, RATE_HZ)
    np.testing.assert_allclose(got.full.reshape(4, -1), firs)
    for channel, (direct, early) in enumerate(
        zip(got.direct.reshape(4, -1), got.early.reshape(4, -1), strict=True)
    ):
        assert np.flatnonzero(direct).tolist() == [100 + channel]
        assert np.flatnonzero(early).tolist() == [100 + channel, 260 + channel]


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", three_pulses().T, 48_000, subtype="DOUBLE")
    got = read(tmp_path / "a.wav", AHEAD, RATE_HZ).full
    assert got.shape == (2, 2, 1334)
    assert np.argmax(np.abs(got[0, 0])) == 33
    assert got[0, 0].sum() == pytest.approx(0.625, abs=5e-3)


def test_sofa_takes_the_direction_of_the_source(tmp_path: Path) -> None:
    import sofar

    data = sofar.Sofa("GeneralFIR")
    data.SourcePosition = np.array([[0, 0, 1.0], [-90, 0, 1.0]])
    data.SourcePosition_Type, data.SourcePosition_Units = "spherical", "degree, degree, metre"
    data.Data_IR = np.stack([three_pulses(), three_pulses(200)])
    data.Data_Delay = np.zeros((1, 4))
    data.Data_SamplingRate = RATE_HZ
    data.ReceiverPosition = np.zeros((4, 3))
    sofar.write_sofa(str(tmp_path / "a.sofa"), data)
    assert np.argmax(read(tmp_path / "a.sofa", AHEAD, RATE_HZ).full[1, 1]) == 103
    right = unit_vectors(-80.0, 0.0)
    assert np.argmax(read(tmp_path / "a.sofa", right, RATE_HZ).full[1, 1]) == 203


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "stereo.wav", three_pulses()[:2].T, RATE_HZ)
    with pytest.raises(InputError, match=r"expected 4 channels .* found 2"):
        read(tmp_path / "stereo.wav", AHEAD, RATE_HZ)
    soundfile.write(tmp_path / "long.flac", np.zeros((21 * RATE_HZ, 4)), RATE_HZ)
    with pytest.raises(LimitError, match="21 s of sound, the limit is 20 s"):
        read(tmp_path / "long.flac", AHEAD, RATE_HZ)
    with pytest.raises(InputError, match="expected an audio file, found nothing"):
        read(tmp_path / "none.wav", AHEAD, RATE_HZ)
