"""Measured responses from SOFA files (AES69), which are HDF5 files from anywhere: sizes, links and
values are checked before they are used.

Directions are seen from the listener: unit vectors (measurement, xyz) with x ahead, y left, z up.
Elevation is AES69's: 0 is the horizontal plane, 90 above. Responses are (measurement, receiver,
tap).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.audio_file import resample
from hasim.config.spec import InputError, LimitError

CONVENTIONS = (
    "SimpleFreeFieldHRIR",
    "GeneralFIR",
    "SingleRoomSRIR",
    "SingleRoomDRIR",
    "MultiSpeakerBRIR",
)
MAX_BYTES = 2**29
"""Largest set of responses: 512 MiB. A file of a few kB can claim any size."""


@dataclass(frozen=True)
class SofaResponses:
    """What a SOFA file holds, at the sample rate asked for."""

    directions: ndarray
    """(measurement, xyz), unit vectors from the listener."""
    distances_m: ndarray
    """(measurement,)"""
    firs: ndarray
    """(measurement, receiver, tap), with Data.Delay applied."""

    def nearest(self, direction: ndarray) -> int:
        """The measurement whose direction is nearest to a unit vector (xyz)."""
        return int(np.argmax(self.directions @ direction))


def read(path: Path, sample_rate_hz: int) -> SofaResponses:
    """Read a SOFA file with impulse responses.

    Raises:
        InputError: not a SOFA file, another convention, or data that are missing, of a wrong shape,
            not finite, or not stored in this file itself.
        LimitError: responses of more than 512 MiB.
    """
    import h5py

    if not path.is_file():
        raise InputError(f"{path}: expected a SOFA file, found {_what(path)}")
    try:
        with h5py.File(path, "r") as file:
            return _responses(path, file, sample_rate_hz)
    except (InputError, LimitError):
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # h5py has no error of its own; a broken file raises any of these
        raise InputError(f"{path}: expected a SOFA file (HDF5), found {error}") from error


def first_onset(firs: ndarray) -> int:
    """The earliest tap in (..., tap) at which a response comes within 20 dB of its own peak."""
    size = np.abs(firs)
    loud = size >= 0.1 * size.max(axis=-1, keepdims=True)
    sounding = size.max(axis=-1) > 0
    return int(loud.argmax(axis=-1)[sounding].min()) if sounding.any() else 0


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "nothing"


def _responses(path: Path, file: Any, sample_rate_hz: int) -> SofaResponses:
    convention = _text(file.attrs.get("SOFAConventions"))
    if _text(file.attrs.get("Conventions")) != "SOFA" or convention not in CONVENTIONS:
        raise InputError(
            f"{path}: expected a SOFA file of {', '.join(CONVENTIONS)}, found "
            f"{convention or 'no SOFAConventions'}"
        )
    if _text(file.attrs.get("DataType")) not in ("FIR", "FIR-E"):
        raise InputError(
            f"{path}: expected impulse responses (DataType FIR), found "
            f"{_text(file.attrs.get('DataType')) or 'no DataType'}"
        )
    firs = _numbers(path, file, "Data.IR")
    if firs.ndim == 4:
        # FIR-E: one more axis for emitters
        if firs.shape[-1] != 1:
            raise InputError(f"{path}: Data.IR: expected one emitter, found {firs.shape[-1]}")
        firs = firs[..., 0]
    if firs.ndim != 3 or 0 in firs.shape:
        raise InputError(
            f"{path}: Data.IR: expected (measurement, receiver, sample), found shape {firs.shape}"
        )
    measurements, receivers, _ = firs.shape
    vectors_m = _seen_from_listener(path, file, measurements)
    distances_m = np.sqrt(np.sum(vectors_m**2, axis=1))
    if not np.all(distances_m > 0):
        raise InputError(f"{path}: SourcePosition: expected a distance above 0 from the listener")
    rates_hz = np.unique(_numbers(path, file, "Data.SamplingRate"))
    if len(rates_hz) != 1 or not 4000 <= rates_hz[0] <= 384_000 or rates_hz[0] % 1:
        raise InputError(
            f"{path}: Data.SamplingRate: expected one whole number from 4000 to 384000 Hz, "
            f"found {rates_hz.tolist()[:3]}"
        )
    delays = np.zeros((1, receivers))
    if "Data.Delay" in file:
        delays = _numbers(path, file, "Data.Delay").reshape(-1, receivers)
        if len(delays) not in (1, measurements):
            raise InputError(
                f"{path}: Data.Delay: expected one row or {measurements}, found {len(delays)}"
            )
    delays = np.broadcast_to(delays, (measurements, receivers))
    firs = _delayed(path, firs, delays)
    return SofaResponses(
        directions=vectors_m / distances_m[:, None],
        distances_m=distances_m,
        firs=resample_responses(firs, int(rates_hz[0]), sample_rate_hz),
    )


def resample_responses(firs: ndarray, from_hz: int, to_hz: int) -> ndarray:
    """Impulse responses (..., tap) for another sample rate; their gain in the common band stays."""
    # fewer samples carry the same sum, so each of them is larger
    return resample(firs, from_hz, to_hz) * (from_hz / to_hz)


def _delayed(path: Path, firs: ndarray, delays: ndarray) -> ndarray:
    """Responses (measurement, receiver, tap) moved by `delays` (measurement, receiver) in samples,
    which need not be whole; a delay that all have in common is left out."""
    delays = delays - delays.min()
    if not delays.any():
        return firs
    if delays.max() > 10_000:
        raise InputError(
            f"{path}: Data.Delay: expected differences below 10000 samples, found {delays.max():g}"
        )
    from scipy.fft import irfft, next_fast_len, rfft

    taps = firs.shape[-1] + int(np.ceil(delays.max()))
    _check_size(path, (*firs.shape[:2], taps), 8)
    whole = np.floor(delays).astype(int)
    size = next_fast_len(2 * taps, real=True)
    fraction = delays - whole
    moved = np.zeros((*firs.shape[:2], taps))
    for index in np.ndindex(*delays.shape):
        fir = firs[index]
        if fraction[index]:
            turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size * fraction[index])
            fir = irfft(rfft(fir, size) * turn, size)[: len(fir) + 1]
        room = moved[index][whole[index] :]
        room[: len(fir)] = fir[: len(room)]
    return moved


def _seen_from_listener(path: Path, file: Any, measurements: int) -> ndarray:
    """Sources in metres from the listener along its own axes, (measurement, xyz)."""
    source = _positions(path, file, "SourcePosition", measurements)
    if "ListenerPosition" in file:
        source = source - _positions(path, file, "ListenerPosition", measurements)
    if "ListenerView" not in file:
        return source
    ahead = _positions(path, file, "ListenerView", measurements)
    up = np.broadcast_to([0.0, 0.0, 1.0], ahead.shape)
    if "ListenerUp" in file:
        up = _positions(path, file, "ListenerUp", measurements, like="ListenerView")
    left = np.cross(up, ahead)
    if not np.all(np.linalg.norm(left, axis=1) > 1e-6):
        raise InputError(f"{path}: ListenerView, ListenerUp: expected two different directions")
    axes = np.stack([ahead, left, np.cross(ahead, left)], axis=1)
    axes = axes / np.linalg.norm(axes, axis=2, keepdims=True)
    return np.einsum("mak,mk->ma", axes, source)


def _positions(
    path: Path, file: Any, name: str, measurements: int, like: str | None = None
) -> ndarray:
    """Coordinates in metres, (measurement, xyz); type and units stand at the variable `like`."""
    values = _numbers(path, file, name)
    if values.ndim != 2 or values.shape[1] != 3 or values.shape[0] not in (1, measurements):
        raise InputError(
            f"{path}: {name}: expected (1 or {measurements}, 3) numbers, found shape {values.shape}"
        )
    values = np.broadcast_to(values, (measurements, 3))
    attributes = {**file[like or name].attrs, **file[name].attrs}
    kind = _text(attributes.get("Type")).lower()
    if kind == "cartesian":
        return values
    if kind == "spherical":
        azimuth, elevation = np.deg2rad(values[:, 0]), np.deg2rad(values[:, 1])
        flat = np.cos(elevation)
        towards = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], 1)
        return values[:, 2:] * towards
    raise InputError(
        f"{path}: {name}: expected Type cartesian or spherical, found {kind or 'nothing'}"
    )


def _numbers(path: Path, file: Any, name: str) -> ndarray:
    """A variable as float64, after a look at where it is kept and how large it says it is."""
    import h5py

    if name not in file:
        raise InputError(f"{path}: expected the variable {name}, found none")
    # walking along a link out of the file would read whatever it names
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{path}: {name}: expected data in this file, found a link elsewhere")
    variable = file[name]
    if not isinstance(variable, h5py.Dataset) or variable.external or variable.is_virtual:
        raise InputError(f"{path}: {name}: expected data in this file, found a link elsewhere")
    if variable.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name}: expected numbers, found {variable.dtype}")
    _check_size(path, variable.shape, max(8, variable.dtype.itemsize))
    values = np.asarray(variable[...], float)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: {name}: expected finite numbers, found NaN or infinity")
    return values


def _check_size(path: Path, shape: tuple[int, ...], item_bytes: int) -> None:
    size = int(np.prod(shape, dtype=object)) * item_bytes
    if size > MAX_BYTES:
        raise LimitError(
            f"{path}: claims {size / 2**20:.0f} MiB of data, the limit is {MAX_BYTES // 2**20} MiB"
        )


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _text(value.ravel()[0])
    return value if isinstance(value, str) else ""
