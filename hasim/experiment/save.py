"""A run on disk: one folder, whole or absent.

It holds no date and no duration, so the same scenario leaves the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.audio_file import peak, wav_bytes
from hasim.config import presets
from hasim.config.ears import EARS
from hasim.config.files import csv_text, json_bytes, write_folder
from hasim.config.records import npz_bytes
from hasim.experiment.result import RunResult, outcome, plain
from hasim.experiment.scenario import Scenario, dump
from hasim.simulation.latency import Latency
from hasim.simulation.timeline import Status, Timeline

MANIFEST, SUMMARY, TIMELINE = "manifest.json", "summary.json", "timeline.npz"
AUDIO = ("noisy", "enhanced", "target")
"""Names of the sound files, without `.wav`."""
FULL_SCALE = 1 - 2.0**-23
"""Largest sample of a 24-bit WAV."""


def save(
    result: RunResult, parent: str | Path, complete: Callable[[Path], None] = lambda _: None
) -> Path:
    """Write the run to `parent/<name>-<12 digits of the scenario's hash>/` and return that folder.

    `complete` may add files to the folder before it appears under its name. An earlier result of
    the same scenario is replaced only when the new one is complete on disk.

    Raises OSError, saying which folder and why, where it cannot be written; nothing is left behind
    then.
    """
    folder = Path(parent) / folder_name(result)

    def fill(unfinished: Path) -> None:
        for name, content in _files(result):
            (unfinished / name).write_bytes(content)
        complete(unfinished)

    try:
        write_folder(folder, fill)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write the result: {reason}", str(folder)) from error
    return folder


def folder_name(result: RunResult) -> str:
    """Name and identity of the run."""
    return f"{result.scenario.name}-{result.hashes['scenario'][:12]}"


def _origins(scenario: Scenario) -> dict[str, Any]:
    """Where the values of devices, their cells and radios, of the link and its losses are from."""
    link, origins = scenario.link, {}
    for ear in EARS:
        device = getattr(scenario.devices, ear)
        origins[ear] = presets.origin(device) | {"battery": presets.origin(device.battery)}
        if device.power is not None and device.power.radio is not None:
            origins[ear]["radio"] = presets.origin(device.power.radio)
    for name, part in (("link", link), ("loss", link.loss)):
        if isinstance(part, presets.FromPreset):
            origins[name] = presets.origin(part)
    return origins


def _files(result: RunResult) -> Iterable[tuple[str, bytes]]:
    rate_hz = result.scenario.sample_rate_hz
    scale = min(1.0, FULL_SCALE / max(peak(result.audio.values()), FULL_SCALE))
    stages = {tap: {n: plain(x) for n, x in s.items()} for tap, s in result.stages.items()}
    manifest = {
        "schema_version": 1,
        "scenario": result.scenario.model_dump(mode="json"),
        "seed": result.scenario.seed,
        "versions": result.versions,
        "hashes": result.hashes,
        # In the order of the signal's path, which sorted keys lose.
        "stages": list(result.stages),
        "audio": {"sample_rate_hz": rate_hz, "bits": 24, "scaled_by": scale},
        "origins": _origins(result.scenario),
    }
    yield MANIFEST, json_bytes(manifest)
    yield SUMMARY, json_bytes({"schema_version": 1, **outcome(result), "stages": stages})
    yield "scenario.yaml", dump(result.scenario).encode()
    yield "frames.csv", _frame_table(result.timeline, result.latency)
    yield "steps.csv", _step_table(result.timeline)
    yield "packets.csv", _packet_table(result.timeline)
    yield TIMELINE, npz_bytes({"timeline": result.timeline, "latency": result.latency})
    for name in AUDIO:
        yield f"{name}.wav", wav_bytes(scale * result.audio[name], rate_hz, "PCM_24")


def _frame_table(timeline: Timeline, latency: Latency | None) -> bytes:
    """One row per ear and frame; empty where a thing never happened."""
    ears, frames = timeline.released_ns.shape
    finished, heard = timeline.finished_ns, timeline.heard
    columns: dict[str, Iterable[Any]] = {
        "ear": np.repeat(EARS, frames),
        "frame": np.tile(np.arange(frames), ears),
        "released_ns": timeline.released_ns.ravel(),
        "finished_ns": _or_empty(finished),
        "deadline_ns": timeline.deadline_ns.ravel(),
        "heard": _yes_no(heard),
        "response_ms": _milliseconds(finished - timeline.released_ns, finished >= 0),
        "margin_ms": _milliseconds(timeline.deadline_ns - finished, finished >= 0),
    }
    if latency is not None:
        for part in ("queue", "compute", "link"):
            spans_ns = getattr(latency, f"{part}_ns")
            columns[f"{part}_ms"] = _milliseconds(spans_ns, latency.computed)
    for channel, deliveries in timeline.channels.items():
        columns[f"{channel}_sent_ns"] = _or_empty(deliveries.sent_ns)
        columns[f"{channel}_arrived_ns"] = _or_empty(deliveries.arrived_ns)
        columns[f"{channel}_status"] = [Status(s).name.lower() for s in deliveries.status.ravel()]
    return _csv(columns)


def _step_table(timeline: Timeline) -> bytes:
    """One row per computation, as the timeline has them."""
    return _csv({n: _cells(n, timeline.steps[n]) for n in timeline.steps.dtype.names or ()})


def _packet_table(timeline: Timeline) -> bytes:
    """One row per packet and attempt on the air, as the timeline has them."""
    return _csv({n: _cells(n, timeline.packets[n]) for n in timeline.packets.dtype.names or ()})


def _csv(columns: Mapping[str, Iterable[Any]]) -> bytes:
    """Columns of equal length."""
    return csv_text(columns, zip(*columns.values(), strict=True)).encode()


def _cells(name: str, values: ndarray) -> Iterable[Any]:
    """A column of records as text has it."""
    if name in ("ear", "sender"):
        return [EARS[ear] for ear in values]
    if values.dtype == bool:
        return _yes_no(values)
    return _or_empty(values) if name.endswith("_ns") else values


def _yes_no(flags: ndarray) -> ndarray:
    return np.where(flags.ravel(), "true", "false")


def _or_empty(times_ns: ndarray) -> list[int | str]:
    return ["" if time < 0 else time for time in times_ns.ravel().tolist()]


def _milliseconds(spans_ns: ndarray, known: ndarray) -> list[str]:
    pairs = zip(spans_ns.ravel().tolist(), known.ravel().tolist(), strict=True)
    return [f"{span / 1e6:.6f}" if is_known else "" for span, is_known in pairs]
