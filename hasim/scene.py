"""What every microphone of both ears hears: talker and noises, rendered apart. Axes: ear, mic, sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.head import HeadSpec, SphereHead
from hasim.room import RoomSpec
from hasim.sources import BundledSource, SourceSpec
from hasim.spec import Spec


class PlacedSource(Spec):
    """A source and where it stands, seen from the listener (0 degrees ahead, +90 left)."""

    azimuth_deg: float = Field(0.0, ge=-180, le=180)
    elevation_deg: float = Field(0.0, ge=-90, le=90)
    distance_m: float = Field(1.0, ge=0.2, le=20)
    source: SourceSpec = BundledSource()
    level_db: float = Field(0.0, ge=-40, le=40)
    """Level relative to the other noises (before `snr_db` scales all noises together)."""
    response: Path | None = None
    """Measured responses to the four microphones instead of the room and the head: WAV, FLAC or SOFA with
    channels left front, left rear, right front, right rear."""


class MismatchSpec(Spec):
    """Random differences between the microphones (standard deviations)."""

    gain_db: float = Field(0.0, ge=0, le=6)
    phase_deg: float = Field(0.0, ge=0, le=45)


class SceneSpec(Spec):
    """Room, head, talker, noises, and how loud they are."""

    room: RoomSpec = RoomSpec()
    head: HeadSpec = SphereHead()
    target: PlacedSource = PlacedSource()
    noises: tuple[PlacedSource, ...] = (
        PlacedSource(azimuth_deg=-90.0, source=BundledSource(name="noise_market")),
    )
    snr_db: float = Field(0.0, ge=-40, le=60)
    snr_at: Literal["left", "right", "better_ear", "dry"] = "left"
    """Where `snr_db` holds: at an ear's reference microphone, at the better ear's, or between the dry signals."""
    target_level_db_spl: float = Field(65.0, ge=20, le=110)
    """Level of the talker (full image, active speech) at the left reference microphone."""
    full_scale_db_spl: float = Field(105.0, ge=80, le=140)
    """Sound pressure level of a signal with a root mean square of 1.0."""
    sensor_noise_db_spl: float | None = Field(25.0, ge=-20, le=80)
    """Self-noise of each microphone; null: none."""
    mismatch: MismatchSpec = MismatchSpec()


@dataclass(frozen=True)
class Image:
    """One source at all microphones, each (ear, mic, sample): full = early + late; direct is part of early."""

    full: ndarray
    early: ndarray  # the direct path and everything within 50 ms after it
    direct: ndarray


@dataclass(frozen=True)
class Scene:
    """All signals of a scene at digital level, with target, noises and sensor noise kept apart."""

    sample_rate_hz: int
    dry: ndarray  # (sample): the talker as recorded, at the level of `target`'s direct sound per metre
    target: Image
    noises: tuple[Image, ...]
    sensor_noise: ndarray  # (ear, mic, sample)
    snr_db: tuple[float, float]  # achieved at each ear's reference microphone (target against all noises)
    t60_s: float | None  # measured from the response (Schroeder); None where there is no room
    positions_m: dict[str, tuple[float, float, float]]  # "listener", "target", "noise_1", ... in room coordinates

    @property
    def noise(self) -> ndarray:
        """(ear, mic, sample): everything but the talker."""
        return np.sum([image.full for image in self.noises], axis=0) + self.sensor_noise

    @property
    def mixture(self) -> ndarray:
        """(ear, mic, sample): what the microphones deliver."""
        return self.target.full + self.noise
