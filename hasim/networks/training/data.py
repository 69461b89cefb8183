"""The training set: dry excerpts and binaural room responses in a folder, to be mixed on the fly.

`build` writes, `load` reads: `speech.npy` and `noise.npy` (int16, all recordings one after
another), `responses_NNNN.npy` (float16, (scene, source, ear, mic, tap)) and `manifest.json`.
Source 0 of a scene is the talker in front; then noises at 45 and 90 degrees on the right and one
anywhere on the right. Scenes with noise on the left are the same ones with the ears swapped. Every
scene has a random stream of its own, so a build that is interrupted goes on where it was, on any
number of processes, and ends in the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.acoustics.audio_file import find_audio, read_audio, read_length, resample
from hasim.config.files import whole_file, write_whole
from hasim.config.process_pool import ProcessPool
from hasim.config.spec import InputError, LimitError, Spec
from hasim.dsp.stft import SAMPLE_RATE_HZ

FORMAT_VERSION = 1
SHARD_SCENES = 8
NOISE_AZIMUTHS_DEG = (-45.0, -90.0, None)
"""Means, of one noise each; None: anywhere on the right."""


class TrainingSetSpec(Spec):
    """What the rooms of a training set look like. Pairs are ranges, drawn from uniformly."""

    scenes: int = Field(400, ge=2)
    seed: int = Field(0, ge=0)
    length_m: tuple[float, float] = (3.5, 8.0)
    width_m: tuple[float, float] = (3.0, 6.0)
    height_m: tuple[float, float] = (2.4, 3.2)
    t60_s: tuple[float, float] = (0.15, 0.45)
    target_distance_m: tuple[float, float] = (0.7, 1.8)
    noise_distance_m: tuple[float, float] = (0.7, 2.5)
    target_spread_deg: float = Field(8.0, ge=0, le=90)
    """Standard deviation of the talker's azimuth around straight ahead."""
    noise_spread_deg: float = Field(5.0, ge=0, le=45)
    """Standard deviation of the noises' azimuths around 45 and 90 degrees."""
    taps: int = Field(8192, ge=256)
    """Length of the responses in samples."""


@dataclass(frozen=True)
class TrainingSet:
    """A training set in memory. Recordings are stretches `start, stop` of one long signal."""

    spec: TrainingSetSpec
    speech: ndarray
    """int16 (sample,)"""
    noise: ndarray
    """int16 (sample,)"""
    speech_files: ndarray
    """(file, 2): start and stop in `speech`."""
    noise_files: ndarray
    """(file, 2): start and stop in `noise`."""
    responses: tuple[ndarray, ...]
    """Of `SHARD_SCENES` scenes each, float16 (scene, source, ear, mic, tap)."""

    def response(self, scene: int, source: int) -> ndarray:
        """From one source of a scene to the microphones, float16 (ear, mic, tap)."""
        shard, row = divmod(scene, SHARD_SCENES)
        return np.asarray(self.responses[shard][row, source])


def build(
    speech: Iterable[Path],
    noise: Iterable[Path],
    out: Path,
    spec: TrainingSetSpec | None = None,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill the folder `out` from folders (or files) of speech and of noise; go on where it stopped.

    `progress` is called with the number of files of room responses that are done, and of all.

    Raises:
        InputError: a recording that `read_audio` refuses.
        LimitError: a recording of more than 2**28 samples.
        ValueError: `out` holds another set, or there is no audio.
    """
    spec = spec or TrainingSetSpec()
    out.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "spec": spec.model_dump(mode="json"),
        "speech": _listing("speech", speech),
        "noise": _listing("noise", noise),
    }
    is_new = _claim(out, manifest)
    try:
        for kind in ("speech", "noise"):
            if not (out / f"{kind}.npy").exists():
                _write_npy(out / f"{kind}.npy", _join(manifest[kind]))
    except (InputError, LimitError):
        if is_new:
            # Without the recording that cannot be used it will be another set.
            for name in ("manifest.json", "speech.npy", "noise.npy"):
                (out / name).unlink(missing_ok=True)
        raise

    shards = -(-spec.scenes // SHARD_SCENES)
    missing = [s for s in range(shards) if not (out / _shard_name(s)).exists()]
    progress(shards - len(missing), shards)
    if processes == 1:
        for done, shard in enumerate(missing, start=shards - len(missing) + 1):
            _build_shard(spec, out, shard)
            progress(done, shards)
        return
    with ProcessPool(processes) as pool:
        answers = pool.map(partial(_build_shard, spec, out), missing)
        for done, (_, answer) in enumerate(answers, start=shards - len(missing) + 1):
            if answer is not None:
                raise answer
            progress(done, shards)


def load(folder: Path) -> TrainingSet:
    """The training set of a folder; signals stay on disk until they are read.

    ValueError where it is not one or is not complete.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise ValueError(f"{folder}: not a training set (no manifest.json); build one first")
    manifest = json.loads(path.read_text())
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version must be {FORMAT_VERSION} "
            f"(got {manifest.get('format_version')}); build the set again"
        )
    spec = TrainingSetSpec.model_validate(manifest["spec"])
    names = [_shard_name(s) for s in range(-(-spec.scenes // SHARD_SCENES))]
    missing = [n for n in ("speech.npy", "noise.npy", *names) if not (folder / n).exists()]
    if missing:
        raise ValueError(
            f"{folder}: the training set is not complete, {len(missing)} files are missing "
            f"(first: {missing[0]}); start the same build again to finish it"
        )
    return TrainingSet(
        spec,
        np.load(folder / "speech.npy", mmap_mode="r"),
        np.load(folder / "noise.npy", mmap_mode="r"),
        _stretches(manifest["speech"]),
        _stretches(manifest["noise"]),
        tuple(np.load(folder / name, mmap_mode="r") for name in names),
    )


# ------------------------------------------------------------------------------------------ rooms


def draw_responses(spec: TrainingSetSpec, scene: int) -> ndarray:
    """Responses (source, ear, mic, tap) of one random room, from the scene's own random stream.

    The listener stands where all sources fit into the room; what does not fit, or cannot have its
    reverberation time, is drawn again.
    """
    from hasim.acoustics import head, room

    rng = np.random.default_rng([spec.seed, scene])
    ears = head.prepare(head.SphereHead(), SAMPLE_RATE_HZ)
    while True:
        size_m = tuple(float(rng.uniform(*r)) for r in (spec.length_m, spec.width_m, spec.height_m))
        place = room.RoomSpec(
            size_m=size_m,
            t60_s=float(rng.uniform(*spec.t60_s)),
            listener_m=(
                *(float(s * rng.uniform(0.25, 0.75)) for s in size_m[:2]),
                float(rng.uniform(1.1, 1.7)),
            ),
            heading_deg=float(rng.uniform(-180, 180)),
        )
        places_m = [
            np.array(room.place(place, azimuth, elevation, distance))
            for azimuth, elevation, distance in _draw_directions(spec, rng)
        ]
        if not all(np.all((p >= 0.3) & (p <= np.array(size_m) - 0.3)) for p in places_m):
            continue
        try:
            full = [room.response(place, ears, p, SAMPLE_RATE_HZ).full for p in places_m]
        except ValueError:
            # walls cannot absorb enough for this reverberation time
            continue
        responses = np.zeros((len(full), 2, 2, spec.taps))
        for source, response in enumerate(full):
            taps = min(spec.taps, response.shape[-1])
            responses[source, ..., :taps] = response[..., :taps]
        return responses


def _draw_directions(
    spec: TrainingSetSpec, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Azimuth, elevation, distance of talker and noises."""
    talker = rng.normal(0, spec.target_spread_deg)
    directions = [(talker, rng.normal(0, 5), rng.uniform(*spec.target_distance_m))]
    for azimuth_deg in NOISE_AZIMUTHS_DEG:
        if azimuth_deg is None:
            azimuth = rng.uniform(-170, -15)
        else:
            azimuth = azimuth_deg + rng.normal(0, spec.noise_spread_deg)
        directions.append((azimuth, rng.normal(0, 8), rng.uniform(*spec.noise_distance_m)))
    return [(float(a), float(e), float(d)) for a, e, d in directions]


def _build_shard(spec: TrainingSetSpec, out: Path, shard: int) -> None:
    scenes = range(shard * SHARD_SCENES, min((shard + 1) * SHARD_SCENES, spec.scenes))
    responses = np.stack([draw_responses(spec, scene) for scene in scenes])
    # Half precision rounds each tap to 11 bits of its own size: noise 70 dB below the response.
    _write_npy(out / _shard_name(shard), responses.astype(np.float16))


# ------------------------------------------------------------------------------------------ files


def _shard_name(shard: int) -> str:
    return f"responses_{shard:04d}.npy"


def _listing(kind: str, places: Iterable[Path]) -> list[dict[str, Any]]:
    """Every audio file below the given places, in a fixed order, with its length at 16 kHz."""
    files: list[Path] = []
    for place in places:
        if not place.exists():
            raise ValueError(f"{place}: no such file or folder")
        files += find_audio(place)
    if not files:
        raise ValueError(f"no audio files for {kind}; give at least one folder that has some")
    listing = []
    for file in files:
        frames, rate_hz = read_length(file, max_duration_s=None)
        listing.append({"file": str(file), "samples": -(-frames * SAMPLE_RATE_HZ // rate_hz)})
    return listing


def _join(listing: list[dict[str, Any]]) -> ndarray:
    """All files (first channel) as one int16 signal at 16 kHz."""
    joined = np.zeros(sum(entry["samples"] for entry in listing), np.int16)
    start = 0
    for entry in listing:
        signal, rate_hz = read_audio(Path(entry["file"]), channels=1, max_duration_s=None)
        mono = resample(signal[0], rate_hz, SAMPLE_RATE_HZ)[: entry["samples"]]
        joined[start : start + len(mono)] = np.clip(np.rint(mono * 32767), -32768, 32767)
        start += entry["samples"]
    return joined


def _stretches(listing: list[dict[str, Any]]) -> ndarray:
    """Where each file begins and ends in the joined signal, (file, 2)."""
    ends = np.cumsum([0] + [entry["samples"] for entry in listing])
    return np.stack([ends[:-1], ends[1:]], axis=1)


def _claim(out: Path, manifest: dict[str, Any]) -> bool:
    """Write the manifest, or find that the folder already belongs to the same set; whether it is
    new."""
    path = out / "manifest.json"
    if not path.exists():
        write_whole(path, json.dumps(manifest, indent=1).encode())
        return True
    there = json.loads(path.read_text())
    for key, value in manifest.items():
        if there.get(key) != value:
            raise ValueError(
                f"{out}: holds a training set with another {key}; give an empty folder, or the "
                f"same settings as before to finish it"
            )
    return False


def _write_npy(path: Path, array: ndarray) -> None:
    with whole_file(path) as unfinished:
        np.save(unfinished, array)
