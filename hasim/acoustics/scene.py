"""The signals at every microphone of both ears: talker and noises, rendered separately.

Axes: ear, mic, sample. Signals are digital: a root mean square of 1.0 is `full_scale_db_spl`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy import ndarray
from pydantic import Field, model_validator

from hasim.acoustics import (
    audio_file,
    head,
    measured_response,
    rigid_sphere,
    rir_builder,
    room,
    sofa,
    sources,
)
from hasim.acoustics.head import HeadSpec, SofaHead, SphereHead
from hasim.acoustics.room import Response, RoomSpec
from hasim.acoustics.sources import BundledSource, SourceSpec
from hasim.config.disk_cache import fetch, file_hash
from hasim.config.ears import EARS
from hasim.config.spec import Spec

RESPONSE_MODULES = (audio_file, head, rigid_sphere, rir_builder, room, sofa)
"""The code that computes a response of a room or of a free field."""


class PlacedSource(Spec):
    """A source and its position, seen from the listener (0 degrees ahead, +90 left)."""

    azimuth_deg: float = Field(0.0, ge=-180, le=180)
    """Direction in the horizontal plane: 0 ahead, +90 left."""
    elevation_deg: float = Field(0.0, ge=-90, le=90)
    """Direction above the horizontal plane."""
    distance_m: float = Field(1.0, ge=0.2, le=20)
    """From the centre of the head."""
    source: SourceSpec = BundledSource()
    level_db: float = Field(0.0, ge=-40, le=40)
    """Level relative to the other noises (before `snr_db` scales all noises together)."""
    response: Path | None = None
    """Measured responses to the four microphones instead of the room and the head: WAV, FLAC or
    SOFA with channels left front, left rear, right front, right rear."""


class MismatchSpec(Spec):
    """Random differences between the microphones, as standard deviations."""

    gain_db: float = Field(0.0, ge=0, le=6)
    """Of the gains."""
    phase_deg: float = Field(0.0, ge=0, le=45)
    """Of the phases, one for all frequencies."""


class BlockedSpec(Spec):
    """A microphone that is blocked, by wax or a finger, from some time on."""

    ear: Literal["left", "right"] = "left"
    """Whose microphone."""
    mic: Literal["front", "rear"] = "front"
    """The front one is the reference."""
    from_s: float = Field(0.0, ge=0, le=600)
    """Time in the run."""
    gain_db: float = Field(-30.0, ge=-120, le=0)
    """Attenuation of the sound; the microphone's own noise stays."""


class SceneSpec(Spec):
    """Room, head, talker, noises, and how loud they are."""

    room: RoomSpec = RoomSpec()
    head: HeadSpec = SphereHead()
    target: PlacedSource = PlacedSource()
    noises: tuple[PlacedSource, ...] = (
        PlacedSource(azimuth_deg=-90.0, source=BundledSource(name="noise_market")),
    )
    snr_db: float = Field(0.0, ge=-40, le=60)
    """Level of the talker relative to all noises together."""
    snr_at: Literal["left", "right", "better_ear", "dry"] = "left"
    """Where `snr_db` is defined: at an ear's reference microphone, at the better ear's, or between
    the dry signals."""
    target_level_db_spl: float = Field(65.0, ge=20, le=110)
    """Level of the talker (full image, active speech) at the left reference microphone."""
    full_scale_db_spl: float = Field(105.0, ge=80, le=140)
    """Sound pressure level of a signal with a root mean square of 1.0."""
    sensor_noise_db_spl: float | None = Field(25.0, ge=-20, le=80)
    """Self-noise of each microphone; null: none."""
    mismatch: MismatchSpec = MismatchSpec()
    blocked: tuple[BlockedSpec, ...] = ()
    """Microphones that are blocked. Outputs are compared with the talker as the front ones hear
    him, blocked or not."""

    @model_validator(mode="after")
    def _everything_has_its_place(self) -> Self:
        mistakes = []
        if self.target.level_db != 0:
            mistakes.append(
                f"target.level_db: must be 0 (got {self.target.level_db:g}); "
                "target_level_db_spl sets the level of the talker"
            )
        placed = {"target": self.target}
        placed |= {f"noises.{number}": noise for number, noise in enumerate(self.noises)}
        for key, source in placed.items():
            wall_m = room.to_the_wall_m(self.room, source.azimuth_deg, source.elevation_deg)
            if source.response is None and source.distance_m >= wall_m:
                sides = " x ".join(f"{side:g}" for side in self.room.size_m)
                mistakes.append(
                    f"{key}.distance_m: must be below {wall_m:.2f}, where at azimuth "
                    f"{source.azimuth_deg:g} the room of {sides} m ends (got {source.distance_m:g})"
                )
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self


@dataclass(frozen=True, repr=False)
class Image:
    """One source at all microphones, each (ear, mic, sample); direct is part of early, early of
    full."""

    full: ndarray
    """The source with all its reflections."""
    early: ndarray
    """The direct path and everything within 50 ms after it."""
    direct: ndarray
    """The direct path alone."""

    def __repr__(self) -> str:
        return f"<Image {' x '.join(map(str, self.full.shape))} (ear, mic, sample)>"


@dataclass(frozen=True, repr=False)
class Scene:
    """All signals of a scene at digital level, with target, noises and sensor noise kept apart."""

    sample_rate_hz: int
    """Of all signals."""
    dry: ndarray
    """(sample,): the talker as recorded, at the level of 1 m distance in the free field."""
    target: Image
    """The talker at the microphones."""
    noises: tuple[Image, ...]
    """The noises at the microphones, each on its own."""
    sensor_noise: ndarray
    """(ear, mic, sample)."""
    snr_db: tuple[float, float]
    """Achieved at each ear's reference microphone, the talker against all noises."""
    t60_s: float | None
    """Measured (Schroeder) in the talker's response; None where nothing decays."""
    positions_m: dict[str, tuple[float, float, float]]
    """In room coordinates: "listener", "target", "noise_1", ..."""

    def __repr__(self) -> str:
        ears, mics, samples = self.target.full.shape
        left_db, right_db = self.snr_db
        return (
            f"<Scene {samples / self.sample_rate_hz:g} s, {ears} ears x {mics} microphones, "
            f"{len(self.noises)} noises, SNR {left_db:z.1f} dB left, {right_db:z.1f} dB right>"
        )

    @property
    def noise(self) -> ndarray:
        """(ear, mic, sample): everything but the talker."""
        return np.sum([image.full for image in self.noises], axis=0) + self.sensor_noise

    @property
    def mixture(self) -> ndarray:
        """(ear, mic, sample): what the microphones deliver."""
        return self.target.full + self.noise


def render(
    spec: SceneSpec,
    *,
    samples: int,
    sample_rate_hz: int,
    stream: Callable[[str], np.random.Generator],
    cache_folder: Path | None = None,
) -> Scene:
    """What the four microphones hear for `samples` samples.

    `stream` gives a fresh random generator for each name: "scene/target", "scene/noise_1", ... for
    the excerpts, "scene/sensor", "scene/mismatch". Responses of rooms are kept in `cache_folder`
    (None: the user's).

    Levels hold in the sound field, before the microphones' mismatch: the talker's full image has
    `target_level_db_spl` at the left reference microphone while he speaks; `snr_db` compares mean
    powers of the whole duration, pauses included; `level_db` compares the noises as sources, 1 m
    away in the open.

    Raises ValueError (also as InputError, LimitError) where a file cannot be used or a source
    makes no sound at the ear at which its level is set.
    """
    placed = _named(spec)
    responses = _responses(spec, placed, sample_rate_hz, cache_folder)
    dry = {
        name: sources.render(source.source, samples, sample_rate_hz, stream(f"scene/{name}"))
        for name, source in placed.items()
    }
    images = {name: _convolved(dry[name], responses[name]) for name in placed}
    gains = _gains(spec, placed, dry, images, sample_rate_hz)
    mismatch = _mismatch(spec.mismatch, stream("scene/mismatch"))
    openings = _openings(spec.blocked, samples, sample_rate_hz)
    target, *noises = (
        _through_microphones(images[name], gains[name], mismatch, openings) for name in placed
    )
    noise_power = sum((image.full[:, 0] for image in noises), np.zeros((2, samples)))
    return Scene(
        sample_rate_hz=sample_rate_hz,
        dry=gains["target"] * dry["target"],
        target=target,
        noises=tuple(noises),
        sensor_noise=_sensor_noise(spec, samples, stream("scene/sensor")),
        snr_db=_snr_db(target.full[:, 0], noise_power),
        t60_s=room.reverberation_time_s(
            responses["target"].full, responses["target"].direct, sample_rate_hz
        ),
        positions_m={
            "listener": room.listener(spec.room),
            **{name: _place(spec.room, source) for name, source in placed.items()},
        },
    )


def _named(spec: SceneSpec) -> dict[str, PlacedSource]:
    """The talker first, then the noises."""
    noises = {f"noise_{number}": noise for number, noise in enumerate(spec.noises, start=1)}
    return {"target": spec.target, **noises}


def _place(room_spec: RoomSpec, source: PlacedSource) -> tuple[float, float, float]:
    return room.place(room_spec, source.azimuth_deg, source.elevation_deg, source.distance_m)


def _responses(
    spec: SceneSpec,
    placed: dict[str, PlacedSource],
    sample_rate_hz: int,
    cache_folder: Path | None,
) -> dict[str, Response]:
    """From every source to the microphones: measured, or computed and kept."""
    prepared = cache(lambda: head.prepare(spec.head, sample_rate_hz))
    head_key = spec.head.model_dump(mode="json")
    if isinstance(spec.head, SofaHead):
        # A file is identified by its content.
        head_key["path"] = file_hash(spec.head.path)

    def response(source: PlacedSource) -> Response:
        if source.response is not None:
            direction = head.unit_vectors(source.azimuth_deg, source.elevation_deg)
            return measured_response.read(source.response, direction, sample_rate_hz)
        source_m = _place(spec.room, source)
        key = {
            "made_by": _made_by(),
            "room": spec.room.model_dump(mode="json"),
            "head": head_key,
            "source_m": source_m,
            "sample_rate_hz": sample_rate_hz,
        }

        def compute() -> dict[str, ndarray]:
            return asdict(room.response(spec.room, prepared(), np.array(source_m), sample_rate_hz))

        return Response(**fetch(key, compute, cache_folder))

    return {name: response(source) for name, source in placed.items()}


@cache
def _made_by() -> list[str]:
    """The code that computes responses, as hashes and versions."""
    libraries = [f"{name} {version(name)}" for name in ("numpy", "scipy", "pyroomacoustics")]
    return libraries + [file_hash(Path(str(module.__file__))) for module in RESPONSE_MODULES]


def _convolved(dry: ndarray, response: Response) -> Image:
    """The source through its response, cut to its own length."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(len(dry) + response.full.shape[-1] - 1, real=True)
    spectrum = rfft(dry, size)
    full, early, direct = (
        irfft(rfft(part, size) * spectrum, size)[..., : len(dry)]
        for part in (response.full, response.early, response.direct)
    )
    return Image(full, early, direct)


def _gains(
    spec: SceneSpec,
    placed: dict[str, PlacedSource],
    dry: dict[str, ndarray],
    images: dict[str, Image],
    sample_rate_hz: int,
) -> dict[str, float]:
    """Gain of each source, which is rendered with an active level of 1."""
    level = sources.active_level(images["target"].full[0, 0], sample_rate_hz)
    if level == 0:
        raise ValueError("scene.target: makes no sound at the left reference microphone")
    gains = {"target": 10 ** ((spec.target_level_db_spl - spec.full_scale_db_spl) / 20) / level}
    relative = {name: 10 ** (placed[name].level_db / 20) for name in placed if name != "target"}
    if not relative:
        return gains
    if spec.snr_at == "dry":
        target = gains["target"] * dry["target"]
        noise = sum(gain * dry[name] for name, gain in relative.items())
    else:
        target = gains["target"] * images["target"].full[:, 0]
        noise = sum(gain * images[name].full[:, 0] for name, gain in relative.items())
    if not np.all(np.any(noise, axis=-1)):
        raise ValueError("scene.noises: make no sound where their level is set")
    snr_db = 10 * np.log10(np.sum(target**2, axis=-1) / np.sum(noise**2, axis=-1))
    at = {"left": 0, "right": 1}.get(spec.snr_at)
    held_db = snr_db.max() if at is None else snr_db[at]
    common = 10 ** ((held_db - spec.snr_db) / 20)
    return gains | {name: common * gain for name, gain in relative.items()}


def _snr_db(target: ndarray, noise: ndarray) -> tuple[float, float]:
    """Ratio of mean powers of (ear, sample) in each ear; infinite where there is no noise."""
    with np.errstate(divide="ignore"):
        left, right = 10 * np.log10(np.sum(target**2, axis=-1) / np.sum(noise**2, axis=-1))
    return (float(left), float(right))


def _mismatch(spec: MismatchSpec, rng: np.random.Generator) -> ndarray:
    """A complex factor for each microphone, (ear, mic)."""
    gain_db, phase_deg = rng.standard_normal((2, 2, 2))
    return 10 ** (spec.gain_db * gain_db / 20) * np.exp(1j * np.deg2rad(spec.phase_deg * phase_deg))


def _openings(blocked: tuple[BlockedSpec, ...], samples: int, sample_rate_hz: int) -> ndarray:
    """Gain of each microphone's sound, (ear, mic, sample), or (ear, mic, 1) if none is blocked."""
    if not blocked:
        return np.ones((2, 2, 1))
    openings = np.ones((2, 2, samples))
    for one in blocked:
        ear, mic = EARS.index(one.ear), ("front", "rear").index(one.mic)
        openings[ear, mic, round(one.from_s * sample_rate_hz) :] *= 10 ** (one.gain_db / 20)
    return openings


def _through_microphones(image: Image, gain: float, mismatch: ndarray, openings: ndarray) -> Image:
    """An image at its level, with the microphones' own gains and phases, blocked where they are.

    A phase turns all frequencies by the same angle: x cos(phase) - hilbert(x) sin(phase).
    """
    return Image(
        *(
            _turned(gain * part, mismatch[..., None]) * openings
            for part in (image.full, image.early, image.direct)
        )
    )


def _turned(signal: ndarray, factor: ndarray) -> ndarray:
    if not factor.imag.any():
        return factor.real * signal
    from scipy.fft import irfft, rfft

    samples = signal.shape[-1]
    # Zeros keep the end from turning into the beginning.
    spectrum = rfft(signal, 2 * samples)
    inner = spectrum[..., 1:-1] * factor
    ends = spectrum[..., [0, -1]] * factor.real
    turned = np.concatenate([ends[..., :1], inner, ends[..., 1:]], axis=-1)
    return irfft(turned, 2 * samples)[..., :samples]


def _sensor_noise(spec: SceneSpec, samples: int, rng: np.random.Generator) -> ndarray:
    if spec.sensor_noise_db_spl is None:
        return np.zeros((2, 2, samples))
    level = 10 ** ((spec.sensor_noise_db_spl - spec.full_scale_db_spl) / 20)
    return level * rng.standard_normal((2, 2, samples))
