"""SOFA files, written with sofar, the maintained reference: directions, delays, distrust."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import sofar
from numpy import ndarray

from hasim.acoustics import sofa
from hasim.acoustics.head import SofaHead, prepare, unit_vectors
from hasim.config.spec import InputError, LimitError

RATE_HZ = 16_000
HORIZONTAL = np.arange(0, 360, 45.0)


def hrir_file(
    path: Path,
    positions: ndarray,
    firs: ndarray,
    rate_hz: float = RATE_HZ,
    kind: str = "spherical",
    delays: ndarray | None = None,
    convention: str = "SimpleFreeFieldHRIR",
) -> Path:
    """A SOFA file with `firs` (measurement, receiver, tap) from `positions` (measurement, 3)."""
    data = sofar.Sofa(convention)
    data.SourcePosition = positions
    data.SourcePosition_Type = kind
    data.SourcePosition_Units = "metre" if kind == "cartesian" else "degree, degree, metre"
    data.Data_IR = firs
    data.Data_SamplingRate = rate_hz
    data.Data_Delay = np.zeros((1, firs.shape[1])) if delays is None else delays
    if firs.shape[1] != len(np.atleast_2d(data.ReceiverPosition)):
        data.ReceiverPosition = np.zeros((firs.shape[1], 3))
    sofar.write_sofa(str(path), data)
    return path


def pulses(measurements: int, receivers: int = 2, taps: int = 16) -> ndarray:
    """A pulse at tap 2: its height is the number of the measurement and a tenth per receiver."""
    firs = np.zeros((measurements, receivers, taps))
    firs[:, :, 2] = 1 + np.arange(measurements)[:, None] + np.arange(receivers) / 10
    return firs


def horizontal_file(path: Path, **changes: object) -> Path:
    positions = np.stack([HORIZONTAL, np.zeros(8), np.full(8, 1.2)], axis=1)
    return hrir_file(path, positions, pulses(8), **changes)


def test_a_horizontal_file_lies_in_the_horizontal_plane(tmp_path: Path) -> None:
    """Elevation 0 is the horizon (AES69), not the zenith; azimuth 90 is on the left."""
    file = sofa.read(horizontal_file(tmp_path / "a.sofa"), RATE_HZ)
    np.testing.assert_allclose(file.directions, unit_vectors(HORIZONTAL, 0.0), atol=1e-12)
    np.testing.assert_allclose(file.distances_m, 1.2)
    assert file.nearest(unit_vectors(88.0, 3.0)) == 2
    assert file.nearest(unit_vectors(-90.0, 0.0)) == 6
    np.testing.assert_array_equal(file.firs, pulses(8))


def test_elevations_count_from_the_horizon(tmp_path: Path) -> None:
    positions = np.array([[0, 90, 1.0], [30, -45, 1.0], [210, 45, 2.0]])
    file = sofa.read(hrir_file(tmp_path / "a.sofa", positions, pulses(3)), RATE_HZ)
    np.testing.assert_allclose(file.directions[0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(file.directions, unit_vectors(positions[:, 0], positions[:, 1]))


def test_cartesian_and_spherical_say_the_same(tmp_path: Path) -> None:
    angles = np.array([[0, 0, 1.0], [100, 20, 1.5], [-60, -70, 3.0]])
    places = angles[:, 2:] * unit_vectors(angles[:, 0], angles[:, 1])
    files = [
        sofa.read(hrir_file(tmp_path / f"{kind}.sofa", at, pulses(3), kind=kind), RATE_HZ)
        for kind, at in (("spherical", angles), ("cartesian", places))
    ]
    np.testing.assert_allclose(files[0].directions, files[1].directions, atol=1e-12)
    np.testing.assert_allclose(files[0].distances_m, files[1].distances_m)


def test_directions_are_seen_from_a_listener_who_moves_and_turns(tmp_path: Path) -> None:
    path = horizontal_file(tmp_path / "a.sofa")
    with h5py.File(path, "r+") as file:
        file["ListenerPosition"][...] = [[0.0, 1.2, 0.0]]
        file["ListenerView"][...] = [[0.0, 1.0, 0.0]]
    seen = sofa.read(path, RATE_HZ)
    # one who looks along +y from y = 1.2 has the source at x = -1.2 behind, to the left
    np.testing.assert_allclose(seen.directions[4], unit_vectors(135.0, 0.0), atol=1e-9)


def test_general_fir_with_four_receivers(tmp_path: Path) -> None:
    positions = np.array([[0, 0, 1.0], [90, 0, 1.0]])
    path = hrir_file(tmp_path / "a.sofa", positions, pulses(2, 4), convention="GeneralFIR")
    head = prepare(SofaHead(path=path), RATE_HZ)
    waves = head.waves(np.array([[0.0], [2.0], [0.0]]))  # two metres to the left
    np.testing.assert_allclose(waves.firs[waves.choice[0, 0, 0], :, 2], [2, 2.1, 2.2, 2.3])


def test_two_receivers_serve_both_microphones_of_an_ear(tmp_path: Path) -> None:
    path = horizontal_file(tmp_path / "a.sofa")
    head = prepare(SofaHead(path=path), RATE_HZ)
    waves = head.waves(np.array([[1.0], [0.0], [0.0]]))
    np.testing.assert_allclose(waves.firs[waves.choice[0, 0, 0], :, 2], [1, 1, 1.1, 1.1])
    swapped = prepare(SofaHead(path=path, receivers=(1, 1, 0, 0)), RATE_HZ)
    np.testing.assert_allclose(swapped.waves(np.eye(3)[:1].T).firs[0, :, 2], [1.1, 1.1, 1, 1])
    with pytest.raises(ValueError, match=r"receivers: must lie between 0 and 1, .*\[0, 1, 2, 3\]"):
        prepare(SofaHead(path=path, receivers=(0, 1, 2, 3)), RATE_HZ)
    three = hrir_file(
        tmp_path / "b.sofa", np.array([[0, 0, 1.0]]), pulses(1, 3), convention="GeneralFIR"
    )
    with pytest.raises(ValueError, match="must be given for a file with 3 receivers"):
        prepare(SofaHead(path=three), RATE_HZ)


def test_sound_reaches_the_centre_of_a_measured_head_in_time(tmp_path: Path) -> None:
    """However late the file's responses begin: the first to arrive anywhere is one radius early."""
    early = horizontal_file(tmp_path / "a.sofa")
    head = prepare(SofaHead(path=early), RATE_HZ)
    assert head.waves(np.eye(3)).lead == 2 + round(0.0875 / 343 * RATE_HZ)


def test_delays_move_the_responses(tmp_path: Path) -> None:
    """What all have in common is left out; parts of a sample are band-limited."""
    delays = np.array([[10.0, 13.0], [12.0, 10.5]])
    positions = np.array([[0, 0, 1.0], [90, 0, 1.0]])
    firs = np.zeros((2, 2, 64))
    firs[..., 20] = 1.0
    path = hrir_file(tmp_path / "a.sofa", positions, firs, delays=delays)
    got = sofa.read(path, RATE_HZ).firs
    assert [int(np.argmax(got[i])) for i in ((0, 0), (0, 1), (1, 0))] == [20, 23, 22]
    assert got[0, 1, 23] == 1
    spectrum = np.fft.rfft(got[1, 1], 256)[:100]
    expected = np.exp(-2j * np.pi * np.arange(100) * 20.5 / 256)
    # the response ends one tap later than before: the rest of its ringing is cut
    np.testing.assert_allclose(spectrum, expected, atol=0.03)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 8_000])
def test_resampling_keeps_gain_and_time(tmp_path: Path, rate_hz: int) -> None:
    times_s = np.arange(int(0.02 * rate_hz)) / rate_hz
    # a response of 1 ms in the band of every rate, with gain 1 at 0 Hz
    bell = np.exp(-0.5 * ((times_s - 0.005) / 0.0003) ** 2)
    bell /= bell.sum()
    path = hrir_file(
        tmp_path / "a.sofa", np.array([[0, 0, 1.0]]), np.tile(bell, (1, 2, 1)), rate_hz=rate_hz
    )
    (fir, _), *_ = sofa.read(path, RATE_HZ).firs
    assert fir.sum() == pytest.approx(1, abs=2e-3)
    assert np.sum(fir * np.arange(len(fir))) / RATE_HZ == pytest.approx(0.005, abs=2e-5)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a SOFA file, found nothing"):
        sofa.read(tmp_path / "none.sofa", RATE_HZ)
    with pytest.raises(InputError, match="found a folder"):
        sofa.read(tmp_path, RATE_HZ)
    (tmp_path / "text.sofa").write_text("hello")
    with pytest.raises(InputError, match=r"text\.sofa: expected a SOFA file"):
        sofa.read(tmp_path / "text.sofa", RATE_HZ)
    whole = horizontal_file(tmp_path / "a.sofa").read_bytes()
    for place in (0.02, 0.5, 0.9):
        (tmp_path / "cut.sofa").write_bytes(whole[: int(place * len(whole))])
        with pytest.raises(InputError, match=r"cut\.sofa: expected"):
            sofa.read(tmp_path / "cut.sofa", RATE_HZ)
    other = tmp_path / "other.sofa"
    sofar.write_sofa(str(other), sofar.Sofa("SimpleFreeFieldHRTF"))
    with pytest.raises(InputError, match="found SimpleFreeFieldHRTF"):
        sofa.read(other, RATE_HZ)


def broken(path: Path, name: str, values: ndarray | None) -> Path:
    """The horizontal file with one variable replaced or left out."""
    horizontal_file(path)
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        if values is not None:
            file[name] = values
            for key in ("Type", "Units"):
                if key in attributes:
                    file[name].attrs[key] = attributes[key]
    return path


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("Data.IR", None, "expected the variable Data.IR, found none"),
        ("Data.IR", np.full((8, 2, 4), np.nan), "Data.IR: expected finite numbers"),
        ("Data.IR", np.zeros((8, 2)), r"expected \(measurement, receiver, sample\)"),
        ("Data.IR", np.zeros((8, 0, 5)), r"found shape \(8, 0, 5\)"),
        ("Data.IR", np.full((8, 2, 4), b"text"), "Data.IR: expected numbers"),
        ("Data.SamplingRate", np.array([0.0]), "SamplingRate: expected one whole number"),
        ("Data.SamplingRate", np.array([16000.0, 48000]), "SamplingRate: expected one"),
        ("SourcePosition", np.zeros((3, 3)), r"SourcePosition: expected \(1 or 8, 3\) numbers"),
        ("SourcePosition", np.zeros((8, 3)), "SourcePosition: expected a distance above 0"),
        ("Data.Delay", np.zeros((3, 2)), "Data.Delay: expected one row or 8, found 3"),
        ("Data.Delay", np.array([[0, 1e9]]), "Data.Delay: expected differences below 10000"),
        ("ListenerUp", np.array([[1.0, 0, 0]]), "expected two different directions"),
    ],
)
def test_broken_variables_are_named(
    tmp_path: Path, name: str, values: ndarray | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sofa.read(broken(tmp_path / "a.sofa", name, values), RATE_HZ)


def test_a_small_file_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path / "a.sofa", "Data.IR", None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("Data.IR", (8, 2, 50_000_000), "f8", chunks=(1, 1, 1000))
    assert path.stat().st_size < 200_000
    with pytest.raises(LimitError, match="claims 6104 MiB of data, the limit is 512 MiB"):
        sofa.read(path, RATE_HZ)


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["Data.IR"] = pulses(8)
    (tmp_path / "raw").write_bytes(pulses(8).tobytes())

    path = broken(tmp_path / "external.sofa", "Data.IR", None)
    with h5py.File(path, "r+") as file:
        file["Data.IR"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "Data.IR")
    paths = [path]

    path = broken(tmp_path / "virtual.sofa", "Data.IR", None)
    layout = h5py.VirtualLayout((8, 2, 16), float)
    layout[...] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "Data.IR", (8, 2, 16))
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("Data.IR", layout)
    paths.append(path)

    path = broken(tmp_path / "raw.sofa", "Data.IR", None)
    with h5py.File(path, "r+") as file:
        file.create_dataset(
            "Data.IR", (8, 2, 16), float, external=[(str(tmp_path / "raw"), 0, 2048)]
        )
    paths.append(path)

    path = broken(tmp_path / "soft.sofa", "Data.IR", None)
    with h5py.File(path, "r+") as file:
        file["elsewhere"] = pulses(8)
        file["Data.IR"] = h5py.SoftLink("/elsewhere")
    paths.append(path)
    for path in paths:
        with pytest.raises(InputError, match=r"Data\.IR: expected data in this file, found a link"):
            sofa.read(path, RATE_HZ)
