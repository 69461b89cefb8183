"""Shoebox rooms: impulse responses from the image sources to all microphones of a head.

pyroomacoustics finds the image sources; `rir_builder` sums them, once for all microphones.
Responses are (ear, mic, tap); tap 0 is the moment at which the source emits, so the direct sound
from d metres arrives at d / (343 m/s).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Self

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.acoustics.head import Head, unit_vectors
from hasim.acoustics.rir_builder import KERNEL_TAPS, SPEED_OF_SOUND_M_PER_S, sum_waves
from hasim.config.spec import LimitError, Spec

HEAD_ROOM_M = 0.15
"""Smallest distance of the head's centre from the walls: the largest head fits."""

MAX_IMAGES = 10_000_000
"""Image sources of one source: more would take gigabytes and most of a minute."""
SHELL_IMAGES = 2**17
"""Image sources that are summed at a time; bounds the memory."""

EARLY_S = 0.05
"""Sound up to this long after the direct sound counts as early."""


Side = Annotated[float, Field(ge=1.5, le=50)]


class RoomSpec(Spec):
    """A shoebox room by size and reverberation time, and the place of the listener in it."""

    size_m: tuple[Side, Side, Side] = (6.0, 4.5, 2.7)
    """Length (x), width (y), height (z)."""
    t60_s: float = Field(0.3, ge=0, le=2)
    """Reverberation time; 0: no walls at all."""
    listener_m: tuple[float, float, float] | None = None
    """Centre of the head; null: a little off the middle of the room, 1.2 m high."""
    heading_deg: float = Field(0.0, ge=-180, le=180)
    """Direction in which the listener looks, counter-clockwise from the x axis."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.t60_s > 0:
            margin_m = HEAD_ROOM_M
            for axis, at, side in zip("xyz", listener(self), self.size_m, strict=True):
                if not margin_m <= at <= side - margin_m:
                    raise ValueError(
                        f"listener_m: {axis} must be from {margin_m:g} to {side - margin_m:g} "
                        f"in a room of {_by(self.size_m)} m (got {at:g})"
                    )
            _highest_order(self)
        return self


@dataclass(frozen=True)
class Response:
    """From one source to the microphones: three parts of one response, each (ear, mic, tap)."""

    direct: ndarray
    """The straight path."""
    early: ndarray
    """Direct path and what arrives within 50 ms after it."""
    full: ndarray


def response(room: RoomSpec, head: Head, source_m: ndarray, sample_rate_hz: int) -> Response:
    """Response of the room from a source at `source_m` (xyz, room coordinates) to the head.

    With `t60_s` 0 there are no walls: only the direct path, and positions need not be in the room.

    Raises ValueError where the source is not in the room.
    """
    centre_m = np.array(listener(room))
    if room.t60_s == 0:
        images_m, gains = source_m[:, None], np.ones(1)
    else:
        images_m, gains = _images(room, centre_m, source_m)
    seen_m = _turned(images_m - centre_m[:, None], -room.heading_deg)
    distances_m = np.sqrt(np.sum(seen_m**2, axis=0))
    # Nearest first: the source itself, then shells of image sources, which limit the memory.
    order = np.argsort(distances_m, kind="stable")
    farthest_m = distances_m[order[-1]] + HEAD_ROOM_M
    samples = int(np.ceil(farthest_m / SPEED_OF_SOUND_M_PER_S * sample_rate_hz))

    straight = head.waves(seen_m[:, order[:1]])
    taps = samples + straight.firs.shape[-1] + KERNEL_TAPS // 2
    direct = sum_waves(straight, gains[order[:1]], taps, sample_rate_hz)
    early, late = np.zeros_like(direct), np.zeros_like(direct)
    reach_m = straight.path_m + EARLY_S * SPEED_OF_SOUND_M_PER_S
    for start in range(1, len(order), SHELL_IMAGES):
        shell = order[start : start + SHELL_IMAGES]
        waves = head.waves(seen_m[:, shell])
        in_time = waves.path_m <= reach_m
        early += sum_waves(waves, gains[shell] * in_time, taps, sample_rate_hz)
        late += sum_waves(waves, gains[shell] * ~in_time, taps, sample_rate_hz)
    if room.t60_s > 0:
        early = _without_static_pressure(early, sample_rate_hz)
        late = _without_static_pressure(late, sample_rate_hz)
    early += direct
    full = early + late
    return Response(*(part.reshape(2, 2, taps) for part in (direct, early, full)))


def _turned(places_m: ndarray, azimuth_deg: float) -> ndarray:
    """Positions (xyz, ...) rotated about the vertical axis, counter-clockwise from above."""
    angle = np.deg2rad(azimuth_deg)
    x, y, z = places_m
    return np.stack(
        [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, z]
    )


def listener(room: RoomSpec) -> tuple[float, float, float]:
    """Centre of the head in room coordinates."""
    if room.listener_m is not None:
        return room.listener_m
    # Exactly in the middle, pairs of walls would reflect at the same moment.
    length, width, height = room.size_m
    return (0.47 * length, 0.48 * width, min(1.2, 0.6 * height))


def to_the_wall_m(room: RoomSpec, azimuth_deg: float, elevation_deg: float) -> float:
    """Distance from the listener to the wall in a direction; infinite without walls."""
    if room.t60_s == 0:
        return np.inf
    direction = unit_vectors(room.heading_deg + azimuth_deg, elevation_deg)
    at, side = np.array(listener(room)), np.array(room.size_m)
    with np.errstate(divide="ignore"):
        return float(np.min(np.where(direction > 0, side - at, at) / np.abs(direction)))


def _by(size_m: tuple[float, float, float]) -> str:
    return " x ".join(f"{side:g}" for side in size_m)


def place(
    room: RoomSpec, azimuth_deg: float, elevation_deg: float, distance_m: float
) -> tuple[float, float, float]:
    """Room coordinates of a position seen from the listener."""
    direction = unit_vectors(room.heading_deg + azimuth_deg, elevation_deg)
    x, y, z = np.array(listener(room)) + distance_m * direction
    return (float(x), float(y), float(z))


# ----------------------------------------------------------------------------------- image sources


def _images(room: RoomSpec, centre_m: ndarray, source_m: ndarray) -> tuple[ndarray, ndarray]:
    """Image sources within the length of the response: positions (xyz, image) and reflection gains
    (image,)."""
    import pyroomacoustics

    absorption, length_s = walls(room.size_m, room.t60_s)
    reach_m = length_s * SPEED_OF_SOUND_M_PER_S
    order = _highest_order(room)
    shoebox = pyroomacoustics.ShoeBox(
        room.size_m, materials=pyroomacoustics.Material(absorption), max_order=order
    )
    shoebox.add_source(source_m)
    shoebox.add_microphone(centre_m)
    shoebox.image_source_model()
    source = shoebox.sources[0]
    images_m = source.images.astype(float)
    reached = np.sum((images_m - centre_m[:, None]) ** 2, axis=0) <= reach_m**2
    return images_m[:, reached], source.damping[0, reached].astype(float)


def _highest_order(room: RoomSpec) -> int:
    """Largest number of reflections on any path within the length of the response."""
    _, length_s = walls(room.size_m, room.t60_s)
    # A path of d metres in the direction u meets d |u_x| / L_x + ... walls.
    walls_per_m = np.sqrt(np.sum(1 / np.square(room.size_m)))
    order = int(np.ceil(length_s * SPEED_OF_SOUND_M_PER_S * walls_per_m))
    count = 4 * order**3 // 3
    if count > MAX_IMAGES:
        raise LimitError(
            f"t60_s: {room.t60_s:g} in a room of {_by(room.size_m)} m needs "
            f"{count / 1e6:.0f} million image sources, the limit is {MAX_IMAGES / 1e6:.0f}; "
            "shorten it or enlarge the room"
        )
    return order


@cache
def walls(size_m: tuple[float, float, float], t60_s: float) -> tuple[float, float]:
    """Energy absorption of all walls for `t60_s`, and the length of the response in seconds.

    Not Sabine's formula, which does not hold in a shoebox with plain walls, where sound between the
    nearer walls decays faster than sound between the farther ones. The mean over all directions u,
    with n(u) = |u_x| / L_x + |u_y| / L_y + |u_z| / L_z walls per metre, is the energy decay of the
    image sources themselves: energy(d) = mean of (1 - absorption)^(d n(u)) after d metres; after
    E. A. Lehmann and A. M. Johansson, J. Acoust. Soc. Am. 124 (2008) 269-277. Reflections begin
    where the room's own volume ends: a ball of that volume has, on average, one image in it, the
    source. The line is fitted to the backward integral from there, as `reverberation_time_s`
    does it. The response ends where that integral has fallen by 60 dB.

    Raises ValueError where even walls that absorb nearly all reverberate longer.
    """
    # Directions on one eighth of the sphere: equal areas in height and azimuth.
    steps = (np.arange(20) + 0.5) / 20
    height, azimuth = np.meshgrid(steps, steps * np.pi / 2)
    flat = np.sqrt(1 - height**2)
    directions = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height])
    per_m = np.sum(directions / np.reshape(size_m, (3, 1, 1)), axis=0).ravel()
    # -ln(1 - absorption) times the path
    lost = np.linspace(0, 40, 801) / per_m.mean()
    decay_db = 10 * np.log10(np.mean(np.exp(-np.outer(lost, per_m)) / per_m, axis=1))
    nearest_m = (np.prod(size_m) / (4 / 3 * np.pi)) ** (1 / 3)

    def decay_from_first(log_loss: float) -> ndarray:
        return decay_db - np.interp(log_loss * nearest_m, lost, decay_db)

    log_loss = 1.0
    # each iteration gains a digit
    for _ in range(8):
        loss = 60 / -_slope(lost, decay_from_first(log_loss))
        log_loss = loss / (SPEED_OF_SOUND_M_PER_S * t60_s)
    absorption = float(1 - np.exp(-log_loss))
    if absorption > 0.99:
        shortest_s = t60_s * log_loss / -np.log(0.01)
        raise ValueError(
            f"t60_s: must be at least {shortest_s:.2f} in a room of "
            f"{_by(size_m)} m, or 0 for no walls (got {t60_s:g})"
        )
    end = lost[np.argmax(decay_from_first(log_loss) <= -60)]
    return absorption, float(end / (SPEED_OF_SOUND_M_PER_S * log_loss))


def _without_static_pressure(reflections: ndarray, sample_rate_hz: int) -> ndarray:
    """Reflections (..., tap) without frequencies below 20 Hz (Butterworth, second order).

    All images have the same sign, so they add up to a static pressure, which a real room, with its
    leaks, does not hold. It is inaudible but decays more slowly than sound, and a T60 measured with
    it is 15 to 25 % too long.
    """
    from scipy.signal import butter, sosfilt

    return sosfilt(butter(2, 20, "highpass", fs=sample_rate_hz, output="sos"), reflections)


def reverberation_time_s(full: ndarray, direct: ndarray, sample_rate_hz: int) -> float | None:
    """T60 of a response (..., tap) by Schroeder's backward integration; None where nothing decays.

    A line through -5 to -35 dB of what is left when the direct sound is taken out (near a source
    it would hide the beginning of the decay); energies of the microphones are added.
    """
    energy = np.sum((full - direct) ** 2, axis=tuple(range(full.ndim - 1)))
    decay = np.cumsum(energy[::-1])[::-1]
    decay = decay[decay > 0]
    if len(decay) == 0 or decay[-1] > decay[0] * 10**-3.5:
        return None
    decay_db = 10 * np.log10(decay / decay[0])
    return float(-60 / _slope(np.arange(len(decay)) / sample_rate_hz, decay_db))


def _slope(time: ndarray, decay_db: ndarray) -> float:
    """Slope in dB per unit of `time` of the line that fits -5 to -35 dB best."""
    part = (decay_db <= -5) & (decay_db >= -35)
    time = time[part] - time[part].mean()
    return float(np.sum(time * decay_db[part]) / np.sum(time**2))
