"""The scenes that algorithms are evaluated on: seeded, balanced, and not used in training.

The definition is `evaluation_scenes.yaml`. SNR and noise azimuth alternate, so that any six scenes
in a row hold every combination once; rooms, places and excerpts are drawn from the scene's number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from hasim.acoustics.audio_file import read_audio
from hasim.acoustics.room import RoomSpec
from hasim.acoustics.scene import PlacedSource, SceneSpec
from hasim.acoustics.sources import FileSource, SourceSpec, SpeechShapedNoise
from hasim.config.spec import InputError, Spec
from hasim.config.yaml_reader import read
from hasim.experiment.scenario import Scenario, load

AUDIO = (".wav", ".flac", ".ogg", ".opus")
Range = tuple[float, float]


class SceneSetSpec(Spec):
    """The ranges of a set of scenes. Values are drawn uniformly between the two of a pair."""

    seed: int = Field(ge=0)
    duration_s: float = Field(ge=0.5, le=600)
    snr_db: tuple[float, ...] = Field(min_length=1)
    """At the left reference microphone."""
    noise_azimuth_deg: tuple[float, ...] = Field(min_length=1)
    length_m: Range
    width_m: Range
    height_m: Range
    t60_s: Range
    target_distance_m: Range
    noise_distance_m: Range
    speech: tuple[SourceSpec, ...] = Field(min_length=1)
    noise: tuple[SourceSpec, ...] = Field(min_length=1)


def definition() -> SceneSetSpec:
    """The set of scenes that comes with hasim."""
    text = (resources.files("hasim.studies") / "evaluation_scenes.yaml").read_text(encoding="utf-8")
    root = read(text, "evaluation_scenes.yaml").root
    assert root is not None
    return SceneSetSpec.model_validate_json(json.dumps(root.plain()))


def with_recordings(
    spec: SceneSetSpec, speech: Sequence[Path], noise: Sequence[Path]
) -> SceneSetSpec:
    """The same set with the audio files below these folders in place of the recordings.

    Speech-shaped noise stays among the noises; with other speech its spectrum is that of the
    scene's own talker. InputError for a folder without audio.
    """
    changes: dict[str, tuple[SourceSpec, ...]] = {}
    if speech:
        changes["speech"] = tuple(FileSource(path=path) for path in _audio_below(speech))
    if noise:
        shaped = tuple(one for one in spec.noise if isinstance(one, SpeechShapedNoise))
        changes["noise"] = (*(FileSource(path=path) for path in _audio_below(noise)), *shaped)
    return spec.model_copy(update=changes)


def chosen(
    count: int,
    duration_s: float | None,
    speech: Sequence[Path] | None,
    noise: Sequence[Path] | None,
) -> list[Scenario]:
    """The first `count` scenes of the definition, with another length or other recordings where
    given."""
    spec = with_recordings(definition(), speech or (), noise or ())
    if duration_s is not None:
        spec = spec.model_copy(update={"duration_s": duration_s})
    return scenarios(spec, count)


def scenarios(spec: SceneSetSpec, count: int) -> list[Scenario]:
    """The first `count` scenes, each as a scenario with everything else at its default.

    More scenes leave the earlier ones as they are.
    """
    return [_scenario(spec, number) for number in range(count)]


def from_folder(folder: Path, count: int | None) -> list[Scenario]:
    """The scenarios of a folder of files, in the order of their names; InputError where it has
    none.

    With a larger `count` than there are files the files are used again, with other seeds.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise InputError(f"{folder}: no scenario files (*.yaml) in this folder")
    read_in = [load(file) for file in files]
    found = []
    for number in range(len(files) if count is None else count):
        turn, index = divmod(number, len(files))
        one = read_in[index]
        found.append(one.model_copy(update={"seed": one.seed + turn}))
    return found


def _scenario(spec: SceneSetSpec, number: int) -> Scenario:
    rng = np.random.default_rng([spec.seed, number])
    turn, which = divmod(number, len(spec.snr_db))
    snr_db = spec.snr_db[which]
    azimuth_deg = spec.noise_azimuth_deg[turn % len(spec.noise_azimuth_deg)]
    speech = _balanced(spec.speech, number, spec.seed)
    noise = _balanced(spec.noise, number, spec.seed + 1)
    if isinstance(noise, SpeechShapedNoise) and isinstance(speech, FileSource):
        noise = SpeechShapedNoise(path=speech.path)
    scene = None
    # Drawn again where a source would be in a wall.
    while scene is None:
        scene = _drawn(spec, rng, snr_db, azimuth_deg, speech, noise)
    return Scenario(name=f"test_{number:04d}", seed=number, duration_s=spec.duration_s, scene=scene)


def _drawn(
    spec: SceneSetSpec,
    rng: np.random.Generator,
    snr_db: float,
    azimuth_deg: float,
    speech: SourceSpec,
    noise: SourceSpec,
) -> SceneSpec | None:
    """One draw of room and places; None where a source does not fit into the room."""
    size_m = [float(rng.uniform(*span)) for span in (spec.length_m, spec.width_m, spec.height_m)]
    listener_m = [float(side * rng.uniform(0.25, 0.75)) for side in size_m[:2]]
    listener_m.append(float(rng.uniform(1.1, 1.6)))
    heading_deg, t60_s = float(rng.uniform(-180, 180)), float(rng.uniform(*spec.t60_s))
    near_m, far_m = (
        float(rng.uniform(*span)) for span in (spec.target_distance_m, spec.noise_distance_m)
    )
    try:
        return SceneSpec(
            room=RoomSpec(
                size_m=(size_m[0], size_m[1], size_m[2]),
                t60_s=t60_s,
                listener_m=(listener_m[0], listener_m[1], listener_m[2]),
                heading_deg=heading_deg,
            ),
            target=PlacedSource(azimuth_deg=0.0, distance_m=near_m, source=speech),
            noises=(PlacedSource(azimuth_deg=azimuth_deg, distance_m=far_m, source=noise),),
            snr_db=snr_db,
        )
    except ValidationError:
        return None


def _balanced(sources: Sequence[SourceSpec], number: int, seed: int) -> SourceSpec:
    """The source of a scene: all are used equally often, in a new order in every round."""
    turn, index = divmod(number, len(sources))
    return sources[int(np.random.default_rng([seed, turn]).permutation(len(sources))[index])]


def _audio_below(folders: Sequence[Path]) -> list[Path]:
    """Audio files in a fixed order; InputError where there are none, or where one is damaged."""
    found: list[Path] = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO)
        if not files:
            raise InputError(f"{folder}: no audio files ({', '.join(AUDIO)}) below this folder")
        found += [path.resolve() for path in files]
    for path in found:
        read_audio(path, channels=1)
    return found
