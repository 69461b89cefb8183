"""The computations and packets of a run, as compact data for the page's script and an overview.

Times are whole numbers of 100 ns. Frames whose computations start equally long after their release
share one pattern, so a regular run takes little space.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hasim.config.ears import EARS
from hasim.config.spec import InputError
from hasim.experiment.scenario import Scenario
from hasim.simulation.program import Compute

TICK_NS = 100
STATUSES = ("on_time", "late", "lost", "not_sent")
MAX_FRAMES = 20_000
"""Frames per ear that a page holds; an overview shows all."""
Row = dict[str, str]


def context(folder: Path, scenario: Scenario) -> dict[str, Any]:
    """Data of the frames, and rows of the overview; InputError where a table is missing."""
    frames, steps = _rows(folder / "frames.csv"), _rows(folder / "steps.csv")
    packets = _rows(folder / "packets.csv")
    if not frames:
        raise InputError(f"{folder / 'frames.csv'}: damaged (no frames)")
    by_ear = {ear: [row for row in frames if row["ear"] == ear] for ear in EARS}
    channels = [name.removesuffix("_status") for name in frames[0] if name.endswith("_status")]
    count = min(MAX_FRAMES, *(len(rows) for rows in by_ear.values()))
    released = {
        ear: [int(row["released_ns"]) for row in rows[:count]] for ear, rows in by_ear.items()
    }
    names = list(dict.fromkeys(row["name"] for row in steps))
    lanes = _lanes(scenario)
    step_patterns, of_steps = _patterns(
        (
            (row["ear"], int(row["frame"])),
            (
                names.index(row["name"]),
                int(row["name"] in lanes[row["ear"]]),
                *_span(row, released),
            ),
        )
        for row in steps
        if int(row["frame"]) < count
    )
    packet_patterns, of_packets = _patterns(
        (
            (row["sender"], int(row["frame"])),
            (
                channels.index(row["channel"]),
                int(row["piece"]),
                int(row["attempt"]),
                *_span(row, released, row["sender"]),
                _since(row["arrived_ns"], released[row["sender"]][int(row["frame"])]),
                int(row["lost"] == "true"),
            ),
        )
        for row in packets
        if int(row["frame"]) < count
    )
    data = {
        "names": names,
        "channels": channels,
        "steps": step_patterns,
        "packets": packet_patterns,
        "ears": [
            {
                "released": [time // TICK_NS for time in released[ear]],
                "finished": [
                    _since(row["finished_ns"], time)
                    for row, time in zip(by_ear[ear], released[ear], strict=False)
                ],
                "deadline": [
                    _since(row["deadline_ns"], time)
                    for row, time in zip(by_ear[ear], released[ear], strict=False)
                ],
                "heard": "".join(
                    "1" if row["heard"] == "true" else "0" for row in by_ear[ear][:count]
                ),
                "statuses": [_statuses(by_ear[ear][:count], channel) for channel in channels],
                "steps": [of_steps.get((ear, frame), -1) for frame in range(count)],
                "packets": [of_packets.get((ear, frame), -1) for frame in range(count)],
            }
            for ear in EARS
        ],
        "accelerator": [bool(lanes[ear]) for ear in EARS],
    }
    return {
        "data": data,
        "frames": count,
        "of": min(len(rows) for rows in by_ear.values()),
        "overview": _overview(by_ear, channels),
    }


def _lanes(scenario: Scenario) -> dict[str, frozenset[str]]:
    """The steps of each ear that its accelerator computes."""
    return {
        ear: frozenset(
            step.name
            for step in program
            if isinstance(step, Compute)
            and getattr(scenario.devices, ear).resource(step) == "accelerator"
        )
        for ear, program in zip(EARS, scenario.programs, strict=True)
    }


def _patterns(
    records: Iterable[tuple[tuple[str, int], tuple[int | None, ...]]],
) -> tuple[list[list[int | None]], dict[tuple[str, int], int]]:
    """Records of each frame one after the other, each sequence once; frame -> its number."""
    sequences: dict[tuple[str, int], list[int | None]] = {}
    for key, record in records:
        sequences.setdefault(key, []).extend(record)
    numbers: dict[tuple[int | None, ...], int] = {}
    of = {key: numbers.setdefault(tuple(s), len(numbers)) for key, s in sequences.items()}
    return [list(sequence) for sequence in numbers], of


def _span(row: Row, released: Mapping[str, list[int]], ear: str = "") -> tuple[int, int]:
    """Start after the frame's release, and duration."""
    release_ns = released[ear or row["ear"]][int(row["frame"])]
    start_ns, end_ns = int(row["start_ns"]), int(row["end_ns"])
    start = (start_ns - release_ns) // TICK_NS
    return start, (end_ns - release_ns) // TICK_NS - start


def _since(time_ns: str, release_ns: int) -> int | None:
    return (int(time_ns) - release_ns) // TICK_NS if time_ns else None


def _statuses(rows: list[Row], channel: str) -> str:
    return "".join(str(STATUSES.index(row[f"{channel}_status"])) for row in rows)


def _overview(by_ear: Mapping[str, list[Row]], channels: list[str]) -> list[dict[str, Any]]:
    """One row per channel and receiving ear, and one per ear: what was late or lost, and where."""
    rows = []
    for channel in channels:
        for ear in reversed(EARS):
            statuses = [row[f"{channel}_status"] for row in by_ear[ear]]
            way = f"{EARS[1 - EARS.index(ear)]} → {ear}"
            sent = len(statuses) - statuses.count("not_sent")
            late, lost = statuses.count("late"), statuses.count("lost")
            rows.append(
                {
                    "label": f"{channel}, {way}",
                    "words": f"{lost} lost, {late} late of {sent}",
                    "lost": _ticks(statuses, "lost"),
                    "late": _ticks(statuses, "late"),
                }
            )
    for ear in EARS:
        heard = [row["heard"] for row in by_ear[ear]]
        rows.append(
            {
                "label": f"frames, {ear} ear",
                "words": f"{heard.count('false')} of {len(heard)} not ready in time",
                "lost": _ticks(heard, "false"),
                "late": "",
            }
        )
    return rows


def _ticks(values: list[str], wanted: str) -> str:
    """A path of bars from top to bottom of a box of 1000 x 10, one per frame."""
    wide = 1000 / len(values)
    runs: list[list[int]] = []
    for place in (place for place, value in enumerate(values) if value == wanted):
        if runs and runs[-1][1] == place:
            runs[-1][1] += 1
        else:
            runs.append([place, place + 1])
    bars = [(begin * wide, max((end - begin) * wide, 1.5)) for begin, end in runs]
    return "".join(f"M{start:.1f} 0h{width:.1f}v10h-{width:.1f}z" for start, width in bars)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: not the folder of a run ({reason})") from error
