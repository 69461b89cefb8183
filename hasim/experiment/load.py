"""A run read back from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy import ndarray

from hasim.acoustics.audio_file import read_audio
from hasim.config.records import read_npz
from hasim.config.spec import InputError
from hasim.experiment.result import RunResult
from hasim.experiment.save import AUDIO, MANIFEST, SUMMARY, TIMELINE
from hasim.experiment.scenario import from_mapping, with_parts
from hasim.nodes import Node
from hasim.simulation.feasibility import Verdict
from hasim.simulation.latency import Latency
from hasim.simulation.link.codecs import Codec
from hasim.simulation.link.link import Link
from hasim.simulation.timeline import Deliveries, Timeline

RECORDS = {record.__name__: record for record in (Timeline, Deliveries, Latency)}


def load(
    folder: str | Path,
    *,
    algorithm: Node | None = None,
    link: Link | None = None,
    codec: Codec | None = None,
) -> RunResult:
    """The result in a folder that `hasim.run` or `hasim run` left.

    Numbers, verdict, timeline and latency are exactly those of the run; `audio`, (ear, sample), is
    rounded to the 24 bits of the WAV files. `scene` and `masks` are not in the folder: they are
    None. `algorithm`, `link` and `codec` are the objects that `hasim.run` was given, if any.

    Raises:
        InputError: not the folder of a run, one of an older hasim, or a file in it is missing or
            damaged.
        ScenarioError: the scenario is not valid in this hasim: a part of it comes from a package
            that is not installed, or was an object.
    """
    folder = Path(folder)
    manifest, summary = read_json(folder / MANIFEST), read_json(folder / SUMMARY)
    try:
        written = dict(manifest["scenario"])
        if algorithm is not None:
            del written["algorithm"]
        if link is not None:
            del written["link"]
        elif codec is not None:
            written["link"] = {k: v for k, v in written["link"].items() if k != "codec"}
        scenario = with_parts(from_mapping(written), algorithm=algorithm, link=link, codec=codec)
        audio = _audio(folder, manifest["audio"])
        times = read_npz(folder / TIMELINE, RECORDS)
        return RunResult(
            scenario=scenario,
            numbers={name: x for name, x in summary["numbers"].items() if x is not None},
            unscored=dict(summary["unscored"]),
            stages={tap: dict(summary["stages"][tap]) for tap in manifest["stages"]},
            verdict=Verdict(tuple(summary["verdict"]["reasons"])),
            timeline=times["timeline"],
            latency=times["latency"],
            audio=audio,
            scene=None,
            masks=None,
            versions=dict(manifest["versions"]),
            hashes=dict(manifest["hashes"]),
            folder=folder,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}: damaged, or of another version of hasim ({error!r})"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run's folder.

    Raises InputError: no such file, or a damaged one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: not the folder of a run ({reason})") from error
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: damaged (no JSON object)")
    return content


def _audio(folder: Path, written: Mapping[str, Any]) -> dict[str, ndarray]:
    """Name -> (ear, sample) at the level of the run."""
    audio = {}
    for name in AUDIO:
        waveform, rate_hz = read_audio(folder / f"{name}.wav")
        if waveform.shape[0] != 2 or rate_hz != written["sample_rate_hz"]:
            raise InputError(
                f"{folder / name}.wav: expected 2 channels at {written['sample_rate_hz']} Hz, "
                f"found {waveform.shape[0]} at {rate_hz} Hz"
            )
        audio[name] = waveform / written["scaled_by"]
    return audio
