"""The head: where each microphone is, and the filter of the head from every direction.

For many waves at once, given as source positions seen from its centre (x ahead, y left, z up), a
head gives a bank of short filters, which of them each wave takes, and the length of each path.
Axes: (mic, wave), (filter, tap); the microphones are left front, left rear, right front, right
rear.

The rigid sphere is that of R. O. Duda and W. L. Martens, "Range dependence of the response of a
spherical head model", J. Acoust. Soc. Am. 104 (1998) 3048-3058.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.acoustics.rigid_sphere import detour_m, sphere_response
from hasim.acoustics.rir_builder import SPEED_OF_SOUND_M_PER_S, Waves
from hasim.config.spec import Spec, by_kind

MicrophonePreset = Literal["bte_2", "bte_2_narrow", "bte_2_wide"]

MICROPHONE_SPACING_M: dict[str, float] = {
    "bte_2": 0.012,
    "bte_2_narrow": 0.008,
    "bte_2_wide": 0.016,
}
"""Distance between the front and the rear microphone of one ear, along the surface of the head."""

EAR_AZIMUTH_DEG = 100.0
"""Entrance of the ear canal: a little behind the middle of the head, as in Duda and Martens."""
BEHIND_EAR_M = 0.005
"""Distance of the middle of the two microphones behind the ear canal, along the surface."""
ABOVE_EAR_M = 0.025
"""Distance of both microphones above the ear canal, along the surface."""


class SphereHead(Spec):
    """A rigid sphere (Duda and Martens 1998), computed, with a position for each microphone."""

    kind: Literal["sphere"] = "sphere"
    microphones: MicrophonePreset = "bte_2"
    """Geometry preset: two microphones behind each ear."""
    radius_m: float = Field(0.0875, ge=0.05, le=0.15)
    """Radius of the sphere on which the microphones are."""


class SofaHead(Spec):
    """Measured head or device responses from a SOFA file (SimpleFreeFieldHRIR, GeneralFIR)."""

    kind: Literal["sofa"] = "sofa"
    path: Path
    """Relative paths start at the scenario file's folder."""
    receivers: tuple[int, int, int, int] | None = None
    """Receivers of the file that are left front, left rear, right front, right rear; null: 0 to 3
    where the file has four, (0, 0, 1, 1) where it has two."""


class FreeFieldHead(Spec):
    """No head: the same microphone positions in the free field."""

    kind: Literal["free_field"] = "free_field"
    microphones: MicrophonePreset = "bte_2"
    """Geometry preset: the positions that they would have on a sphere."""
    radius_m: float = Field(0.0875, ge=0.05, le=0.15)
    """Radius of the sphere on which the microphones are."""


HeadSpec = Annotated[SphereHead | SofaHead | FreeFieldHead, by_kind("sphere")]


class Head(Protocol):
    """A head: filters and paths of waves from `sources_m` (xyz, wave), seen from its centre."""

    def waves(self, sources_m: ndarray) -> Waves: ...


def prepare(spec: SphereHead | SofaHead | FreeFieldHead, sample_rate_hz: int) -> Head:
    """The head that `spec` describes.

    Raises ValueError where a SOFA file cannot be used.
    """
    if isinstance(spec, SphereHead):
        return Sphere(spec.radius_m, microphone_directions(spec), sample_rate_hz)
    if isinstance(spec, FreeFieldHead):
        return FreeField(spec.radius_m * microphone_directions(spec))
    return sofa_head(spec, sample_rate_hz)


def unit_vectors(azimuth_deg: ndarray | float, elevation_deg: ndarray | float) -> ndarray:
    """Directions as unit vectors, (..., xyz): azimuth 0 ahead and +90 left, elevation +90 up.

    >>> unit_vectors(90.0, 0.0).round(6).tolist()
    [0.0, 1.0, 0.0]
    """
    azimuth, elevation = np.broadcast_arrays(np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg))
    return np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ],
        axis=-1,
    )


def microphone_directions(spec: SphereHead | FreeFieldHead) -> ndarray:
    """Positions of the four microphones on the head, as unit vectors (mic, xyz).

    Distances along the surface become angles: both microphones of an ear have the same elevation,
    and the front one has the smaller azimuth. The right ear mirrors the left.
    """
    elevation = ABOVE_EAR_M / spec.radius_m
    degrees_per_m = np.rad2deg(1 / (spec.radius_m * np.cos(elevation)))
    middle = EAR_AZIMUTH_DEG + BEHIND_EAR_M * degrees_per_m
    half = MICROPHONE_SPACING_M[spec.microphones] / 2 * degrees_per_m
    left = unit_vectors(np.array([middle - half, middle + half]), np.rad2deg(elevation))
    return np.concatenate([left, left * [1, -1, 1]])


# ---------------------------------------------------------------------------------- rigid sphere

FIR_TAPS = 96
"""Length of a sphere filter: 6 ms at 16 kHz, about three times around the head."""
FIR_LEAD = 24
"""Taps before a sphere filter's time zero, for the ringing of a band-limited onset."""
ANGLES = 181
"""Angles of incidence, 0 to 180 degrees, at which the filters of distant waves are computed."""
NEAR_M = 5.0
"""Nearer sources have filters of their own distance; the waves of farther ones count as plane (the
largest error, 1.5 a/r at low frequencies, is then below 0.23 dB)."""


def _sphere_firs(
    cosines: ndarray, distances_m: ndarray | None, radius_m: float, sample_rate_hz: int
) -> ndarray:
    """Filters of the sphere with the first arrival moved to tap FIR_LEAD, (wave, tap)."""
    size = 4 * FIR_TAPS
    frequencies_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    response = sphere_response(frequencies_hz, cosines, distances_m, radius_m)
    # A plane wave comes from so far that its path is straight to 1e-9 m.
    distances_m = np.full(len(cosines), 1e7) if distances_m is None else distances_m
    arrival_s = detour_m(cosines, distances_m, radius_m) / SPEED_OF_SOUND_M_PER_S
    lag_s = FIR_LEAD / sample_rate_hz - arrival_s
    response = response * np.exp(-2j * np.pi * frequencies_hz * lag_s[:, None])
    firs = np.fft.irfft(response, size)[:, :FIR_TAPS]
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(FIR_LEAD // 2) + 0.5) / (FIR_LEAD // 2))
    firs[:, : FIR_LEAD // 2] *= fade
    firs[:, -FIR_LEAD // 2 :] *= fade[::-1]
    return firs


@cache
def _plane_wave_firs(radius_m: float, sample_rate_hz: int) -> ndarray:
    cosines = np.cos(np.linspace(0, np.pi, ANGLES))
    firs = _sphere_firs(cosines, None, radius_m, sample_rate_hz)
    firs.setflags(write=False)
    return firs


@dataclass(frozen=True)
class Sphere:
    """A rigid sphere with microphones at `directions` (mic, xyz; unit vectors)."""

    radius_m: float
    directions: ndarray
    sample_rate_hz: int

    def waves(self, sources_m: ndarray) -> Waves:
        """Near waves have a filter each; distant ones share a table over the angle of incidence and
        interpolate between its two nearest filters, whose delays have been removed."""
        distances_m = np.sqrt(np.sum(sources_m**2, axis=0))
        cosines = np.einsum("mx,xw->mw", self.directions, sources_m) / distances_m
        cosines = np.clip(cosines, -1, 1)
        place = np.arccos(cosines) * ((ANGLES - 1) / np.pi)
        lower = np.minimum(place.astype(int), ANGLES - 2)
        choice = np.stack([lower, lower + 1], axis=-1)
        share = np.stack([1 - (place - lower), place - lower], axis=-1)

        near = np.flatnonzero(distances_m < NEAR_M)
        mics = len(self.directions)
        own = _sphere_firs(
            cosines[:, near].ravel(),
            np.tile(distances_m[near], mics),
            self.radius_m,
            self.sample_rate_hz,
        )
        choice[:, near, :] = ANGLES + np.arange(mics * len(near)).reshape(mics, -1, 1)
        share[:, near, 0] = 1
        share[:, near, 1] = 0
        return Waves(
            firs=np.concatenate([_plane_wave_firs(self.radius_m, self.sample_rate_hz), own])[
                :, None
            ],
            lead=FIR_LEAD,
            choice=choice,
            share=share,
            path_m=distances_m + detour_m(cosines, distances_m, self.radius_m),
            gain=np.broadcast_to(1 / distances_m, cosines.shape),
        )


# --------------------------------------------------------------------------- free field and SOFA


@dataclass(frozen=True)
class FreeField:
    """Microphones at `places_m` (mic, xyz) in the free field."""

    places_m: ndarray

    def waves(self, sources_m: ndarray) -> Waves:
        """One filter for all waves, an impulse; only the paths differ."""
        path_m = np.sqrt(np.sum((sources_m - self.places_m[:, :, None]) ** 2, axis=1))
        return Waves(
            firs=np.ones((1, 1, 1)),
            lead=0,
            choice=np.zeros((*path_m.shape, 1), int),
            share=np.ones((*path_m.shape, 1)),
            path_m=path_m,
            gain=1 / path_m,
        )


@dataclass(frozen=True)
class MeasuredHead:
    """A head measured at some `directions` (direction, xyz); a wave takes the nearest filter.

    `firs` (direction, mic, tap) contain the differences in time between microphones and
    directions; their tap `lead` is the time at which the wave would pass the centre of the head.
    """

    directions: ndarray
    firs: ndarray
    lead: int

    def waves(self, sources_m: ndarray) -> Waves:
        """All microphones share the path to the centre and the choice of a direction."""
        distances_m = np.sqrt(np.sum(sources_m**2, axis=0))
        nearest = _nearest(self.directions, (sources_m / distances_m).T)
        return Waves(
            firs=self.firs,
            lead=self.lead,
            choice=nearest[None, :, None],
            share=np.ones((1, len(nearest), 1)),
            path_m=distances_m[None],
            gain=1 / distances_m[None],
        )


def _nearest(directions: ndarray, wanted: ndarray) -> ndarray:
    """Index of the nearest of `directions` (direction, xyz) for each of `wanted` (wave, xyz)."""
    from scipy.spatial import cKDTree

    return cKDTree(directions).query(wanted)[1]


def sofa_head(spec: SofaHead, sample_rate_hz: int) -> MeasuredHead:
    """The head of a SOFA file.

    Raises ValueError where the file cannot be used, or the receivers do not fit it.
    """
    from hasim.acoustics import sofa

    file = sofa.read(spec.path, sample_rate_hz)
    count = file.firs.shape[1]
    if spec.receivers is not None:
        receivers = spec.receivers
    elif count in (2, 4):
        receivers = (0, 0, 1, 1) if count == 2 else (0, 1, 2, 3)
    else:
        raise ValueError(
            f"scene.head.receivers: must be given for a file with {count} receivers "
            f"({spec.path}); it is only known for 2 and for 4"
        )
    if not all(0 <= receiver < count for receiver in receivers):
        raise ValueError(
            f"scene.head.receivers: must lie between 0 and {count - 1}, the receivers of "
            f"{spec.path} (got {list(receivers)})"
        )
    firs = file.firs[:, list(receivers)]
    # A file's common delay depends on how it was cut. The first sound to arrive anywhere on a head
    # has come one radius less far than to its centre.
    radius_m = SphereHead().radius_m
    lead = sofa.first_onset(firs) + round(radius_m / SPEED_OF_SOUND_M_PER_S * sample_rate_hz)
    return MeasuredHead(file.directions, firs, lead)
