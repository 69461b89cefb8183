"""What is kept of a run: the record in memory, the folder on disk, the JSON object on stdout.

A folder is whole or absent: everything is written beside it first and then renamed into place. It
holds no date and no duration, so the same scenario leaves the same bytes. Waveforms are (ear,
sample).
"""

from __future__ import annotations

import base64
import csv
import errno
import html
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.scene import Scene
from hasim.config import presets
from hasim.experiment.scenario import Scenario, dump
from hasim.experiment.summary import table
from hasim.simulation.device.provenance import doubts
from hasim.simulation.feasibility import Verdict
from hasim.simulation.latency import Fitting, Latency, band
from hasim.simulation.timeline import Status, Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RunResult", "figures", "save", "summary", "table"]

EARS = ("left", "right")
FULL_SCALE = 1 - 2.0**-23
"""Largest sample of a 24-bit WAV."""
PLAYER_S = 10.0
"""How much of the sound a notebook gets."""


@dataclass(frozen=True, eq=False, repr=False)
class RunResult:
    """Everything that came of one scenario."""

    scenario: Scenario
    numbers: dict[str, float]  # unit in the name, `_left` and `_right` at the end
    unscored: dict[str, str]  # numbers that could not be had -> why
    stages: dict[str, dict[str, float]]  # tap -> its scores, in the order of the signal's path
    verdict: Verdict
    timeline: Timeline
    audio: dict[str, ndarray]  # noisy, enhanced, target -> (ear, sample), time-aligned
    scene: Scene
    masks: dict[str, ndarray]  # network -> (ear, bin, frame)
    versions: dict[str, str]  # package -> version
    hashes: dict[
        str, str
    ]  # scenario (with hasim's version), scene, timeline, audio -> hexadecimal digest
    latency: Latency | None = None  # the parts of every frame's
    folder: Path | None = None  # where it is kept

    def __repr__(self) -> str:
        said = [self.scenario.name, "fits" if self.verdict.feasible else "does not fit"]
        if (total := self.numbers.get("latency_ms")) is not None:
            said.append(f"{total:.1f} ms")
        for ear in EARS:
            if (gain := self.numbers.get(f"si_sdr_improvement_db_{ear}")) is not None:
                said.append(f"SI-SDR {gain:+.1f} dB {ear}")
        return f"<RunResult {', '.join(said)}>"

    def _repr_html_(self) -> str:
        """The table and the verdict, and players of the sound, all at one common level."""
        from rich.console import Console

        console = Console(record=True, width=100, file=io.StringIO())
        console.print(table(self, stages=bool(self.stages)))
        block = '<pre style="font-family:monospace;line-height:1.2">{code}</pre>'
        page = [console.export_html(inline_styles=True, code_format=block)]
        rate_hz = self.scenario.sample_rate_hz
        heard = {name: x[:, : round(PLAYER_S * rate_hz)] for name, x in self.audio.items()}
        gain = 0.9 / max(_peak(heard.values()), 1e-9)
        for name, waveform in heard.items():
            sound = base64.b64encode(_wav(gain * waveform, rate_hz, "PCM_16")).decode()
            page.append(
                f"<div>{html.escape(name)}<br>"
                f'<audio controls preload="none" src="data:audio/wav;base64,{sound}"></audio></div>'
            )
        return "\n".join(page)


def summary(result: RunResult, folder: Path | None) -> dict[str, Any]:
    """The object that `--json` prints; numbers that could not be had are None, the reason apart."""
    return _outcome(result) | {"folder": None if folder is None else str(folder)}


def save(result: RunResult, parent: str | Path) -> Path:
    """Write the run to `parent/<name>-<12 digits of the scenario's hash>/` and return that folder.

    An earlier result of the same scenario is replaced only when the new one is complete on disk.
    Raises OSError, saying which folder and why, where it cannot be written; nothing is left behind
    then.
    """
    parent = Path(parent)
    folder = parent / f"{result.scenario.name}-{result.hashes['scenario'][:12]}"
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    unfinished = parent / f".{folder.name}.{mark}.new"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        try:
            for name, content in _files(result):
                _write(unfinished / name, content)
            _sync_folder(unfinished)
            _swap_in(unfinished, folder, parent / f".{folder.name}.{mark}.old")
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write the result: {reason}", str(folder)) from error
    return folder


def figures(result: RunResult) -> dict[str, Figure]:
    """File name without ending -> figure."""
    from hasim.reporting import run_figures

    rate_hz, room = result.scenario.sample_rate_hz, result.scenario.scene.room
    named = {"noisy": "noisy", "enhanced": "enhanced", "target": "clean"}
    drawn = {
        "scene": run_figures.scene_from_above(
            result.scene.positions_m,
            None if result.scene.t60_s is None else room.size_m,
            room.heading_deg,
        ),
        "spectrograms": run_figures.spectrograms(
            {named[name]: result.audio[name] for name in named}, rate_hz
        ),
        "first_frames": run_figures.first_frames(result.timeline),
        "load": run_figures.load(result.timeline),
    }
    if result.masks:
        drawn["masks"] = run_figures.masks(result.masks, result.timeline.hop_ns / 1e9, rate_hz)
    if "latency_ms" in result.numbers:
        drawn["comb"] = run_figures.comb(result.numbers["latency_ms"])
    if result.timeline.channels:
        drawn["link_loss"] = run_figures.link_loss(result.timeline)
    return drawn


def _outcome(result: RunResult) -> dict[str, Any]:
    numbers: dict[str, float | None] = {name: _plain(x) for name, x in result.numbers.items()}
    numbers |= dict.fromkeys(result.unscored)
    return {
        "scenario": result.scenario.name,
        "numbers": dict(sorted(numbers.items())),
        "unscored": dict(sorted(result.unscored.items())),
        "verdict": {"feasible": result.verdict.feasible, "reasons": list(result.verdict.reasons)},
        "fittings": _fittings(result),
        "warnings": warnings(result),
    }


def _origins(scenario: Scenario) -> dict[str, Any]:
    """Where the values of devices, their cells and radios, of the link and its losses are from."""
    link, origins = scenario.link, {}
    for ear in EARS:
        device = getattr(scenario.devices, ear)
        origins[ear] = presets.origin(device) | {"battery": presets.origin(device.battery)}
        if device.power is not None and device.power.radio is not None:
            origins[ear]["radio"] = presets.origin(device.power.radio)
    for name, part in (("link", link), ("loss", link.loss)):
        if isinstance(part, presets.FromShelf):
            origins[name] = presets.origin(part)
    return origins


def _fittings(result: RunResult) -> dict[str, str]:
    """What the latency is called in an open and in a closed fitting."""
    fittings: tuple[Fitting, ...] = ("open", "closed")
    known = result.numbers.get("latency_ms")
    return {} if known is None else {fitting: band(known, fitting) for fitting in fittings}


def _files(result: RunResult) -> Iterable[tuple[str, bytes]]:
    from hasim.reporting import run_figures

    rate_hz = result.scenario.sample_rate_hz
    scale = min(1.0, FULL_SCALE / max(_peak(result.audio.values()), FULL_SCALE))
    stages = {tap: {n: _plain(x) for n, x in s.items()} for tap, s in result.stages.items()}
    manifest = {
        "schema_version": 1,
        "scenario": result.scenario.model_dump(mode="json"),
        "seed": result.scenario.seed,
        "versions": result.versions,
        "hashes": result.hashes,
        "audio": {"sample_rate_hz": rate_hz, "bits": 24, "scaled_by": scale},
        "origins": _origins(result.scenario),
    }
    yield "manifest.json", _json(manifest)
    yield "summary.json", _json({"schema_version": 1, **_outcome(result), "stages": stages})
    yield "scenario.yaml", dump(result.scenario).encode()
    yield "frames.csv", _frame_table(result.timeline, result.latency)
    yield "steps.csv", _step_table(result.timeline)
    yield "packets.csv", _packet_table(result.timeline)
    for name, waveform in result.audio.items():
        yield f"{name}.wav", _wav(scale * waveform, rate_hz, "PCM_24")
    for name, figure in figures(result).items():
        yield f"figures/{name}.png", run_figures.png_bytes(figure)


def warnings(result: RunResult) -> list[str]:
    """What the numbers rest on that was not measured, each ear's by name."""
    scenario = result.scenario
    program = scenario.algorithm.program(scenario.front_end, scenario.link.codec)
    return [
        f"{ear}: {doubt}"
        for ear in EARS
        for doubt in doubts(getattr(scenario.devices, ear), program)
    ]


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


def _csv(columns: Mapping[str, Iterable[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _json(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    return (text + "\n").encode()


def _plain(number: float) -> float | int:
    return int(number) if isinstance(number, (int, np.integer)) else float(number)


def _peak(waveforms: Iterable[ndarray]) -> float:
    return max((float(np.max(np.abs(x), initial=0.0)) for x in waveforms), default=0.0)


def _wav(waveform: ndarray, sample_rate_hz: int, subtype: str) -> bytes:
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, waveform.T, sample_rate_hz, format="WAV", subtype=subtype)
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _swap_in(unfinished: Path, folder: Path, aside: Path) -> None:
    """Rename `unfinished` to `folder`; what stood there is kept aside until that has worked."""
    try:
        while True:
            try:
                unfinished.rename(folder)
                break
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
            shutil.rmtree(aside, ignore_errors=True)
            with suppress(FileNotFoundError):  # another run has just replaced it
                folder.rename(aside)
    except OSError:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # folders cannot be opened elsewhere
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
