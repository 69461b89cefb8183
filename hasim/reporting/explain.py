"""Why a run does not fit, or why one frame was not heard, step by step from the files it left.

Reads manifest, summary, and the tables of frames, steps and packets in a run's folder; nothing is
run again. Budgets are itemised from the scenario in the manifest.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hasim.config.ears import EARS
from hasim.config.spec import InputError
from hasim.experiment.scenario import Scenario, from_mapping
from hasim.simulation.device.device import DeviceSpec, Resource
from hasim.simulation.device.memory import MemoryLedger, Region
from hasim.simulation.feasibility import Verdict
from hasim.simulation.fitting import BANDS
from hasim.simulation.link.traffic import payload_bits
from hasim.simulation.program import Compute, Program, Receive

Row = dict[str, str]


def explain(folder: str | Path, scenario: Scenario | None = None) -> list[str]:
    """The verdict's reasons one by one, each with the arithmetic or the frame behind it.

    `scenario` None: the one in the folder. Raises InputError where the folder is not that of a run.
    """
    run = _Run(Path(folder), scenario)
    verdict = run.summary["verdict"]
    lines = [f"{run.summary['scenario']}: {Verdict(tuple(verdict['reasons'])).text}"]
    for number, reason in enumerate(verdict["reasons"], start=1):
        lines += ["", f"{number}. {reason}", *_indented(_behind(run, reason))]
    if verdict["feasible"]:
        lines += _indented(_unlucky(run))
    return [*lines, "", *_latency(run)]


def frame(folder: str | Path, ear: str, number: int) -> list[str]:
    """What happened to one frame of one ear; InputError where there is no such frame."""
    return list(_story(_Run(Path(folder)), ear, number))


@dataclass(frozen=True)
class _Run:
    """The files of a run."""

    folder: Path
    known_scenario: Scenario | None = None

    @cached_property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads(self._text("summary.json")))

    @cached_property
    def scenario(self) -> Scenario:
        if self.known_scenario is not None:
            return self.known_scenario
        return from_mapping(json.loads(self._text("manifest.json"))["scenario"])

    @property
    def program(self) -> Program:
        return self.scenario.programs[0]

    @property
    def hop_ns(self) -> int:
        return self.scenario.hop_ns

    @cached_property
    def frames(self) -> dict[tuple[str, int], Row]:
        return {(row["ear"], int(row["frame"])): row for row in self._rows("frames.csv")}

    @cached_property
    def steps(self) -> dict[str, list[Row]]:
        """By ear, in the order in which they began."""
        rows = sorted(self._rows("steps.csv"), key=lambda row: int(row["start_ns"]))
        return {ear: [row for row in rows if row["ear"] == ear] for ear in EARS}

    @cached_property
    def packets(self) -> list[Row]:
        return self._rows("packets.csv")

    def device(self, ear: str) -> DeviceSpec:
        return self.scenario.devices.left if ear == "left" else self.scenario.devices.right

    def _rows(self, name: str) -> list[Row]:
        return list(csv.DictReader(self._text(name).splitlines()))

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{self.folder / name}: not the folder of a run ({reason})") from error


def _behind(run: _Run, reason: str) -> Iterator[str]:
    """The arithmetic, or the first frame, behind a reason of the verdict."""
    ear, colon, fact = reason.partition(": ")
    if ear == "too late":
        yield from _over_the_limit(run)
    elif not colon or ear not in EARS:
        yield from _link(run)
    elif fact.startswith("RAM") or fact.startswith("NVM"):
        yield from _memory(run, ear, "ram" if fact.startswith("RAM") else "nvm")
    elif fact.startswith("utilisation"):
        yield from _load(run, ear, "accelerator" if "accelerator" in fact else "core")
    elif "skipped" in fact:
        yield from _first(run, ear, "skipped", lambda row: row["finished_ns"] == "")
    elif "frames late" in fact:
        late = "late without having lost a packet"
        yield from _first(run, ear, late, lambda row: row["heard"] == "false")
    elif "packets of" in fact:
        channel = fact.split("'")[1]
        status = f"{channel}_status"
        for row in _of_ear(run, ear):
            if row[status] == "late":
                yield f"for example the packet of frame {row['frame']}:"
                yield from _indented(_packet(run, ear, channel, int(row["frame"]), 0))
                return


def _over_the_limit(run: _Run) -> Iterator[str]:
    """What the latency consists of, and what the limit leaves for it."""
    numbers, limit = run.summary["numbers"], run.scenario.fitting.limit or 0.0
    window, total = numbers["latency_window_ms"], numbers["latency_ms"]
    yield f"{window:8.2f} ms  synthesis window"
    yield f"{total - window:8.2f} ms  computing, link and waiting for the other ear (playout)"
    yield f"{total:8.2f} ms  in all; the limit is {limit:g}"
    if window > limit:
        samples = int(limit * run.scenario.sample_rate_hz / 1000)
        yield f"          a synthesis window of at most {samples} samples is within the limit"


def _memory(run: _Run, ear: str, region: Region) -> Iterator[str]:
    device, s = run.device(ear), run.scenario
    items = s.algorithm.memory(s.front_end, s.link.codec)
    ledger = device.placed(MemoryLedger(items, device.ram_kb, device.nvm_kb))
    for item in sorted(ledger.items, key=lambda item: -item.bytes):
        if item.region == region:
            yield f"{item.bytes / 1024:9.1f} kB  {item.name}"
    needs_kb, has_kb = ledger.needed_bytes(region) / 1024, ledger.room_bytes(region) / 1024
    yield f"{needs_kb:9.1f} kB  in all; the device has {has_kb:g}"


def _load(run: _Run, ear: str, resource: Resource) -> Iterator[str]:
    device, total_ns = run.device(ear).running(run.program, run.hop_ns), 0.0
    for step in run.program:
        if isinstance(step, Compute) and device.resource(step) == resource:
            each_ns = device.compute_ns(step)
            total_ns += each_ns / step.every
            often = f", every {step.every} frames" if step.every > 1 else ""
            read = f" and {step.weight_bytes} bytes of weights" if step.weight_bytes else ""
            yield (
                f"{each_ns / step.every / 1e6:8.3f} ms  {step.name}: {step.macs} MAC in "
                f"{step.precision}{read}, {step.macs * 1e3 / each_ns:.4g} MMAC/s{often}"
            )
    stolen = device.interrupts.share if resource == "core" else 0.0
    if stolen:
        yield f"          interrupts take {100 * stolen:.1f} % of the core besides"
    yield f"{total_ns / 1e6:8.3f} ms  in all, every {run.hop_ns / 1e6:g} ms"


def _link(run: _Run) -> Iterator[str]:
    channels, bits = payload_bits((run.program, run.program))
    air = run.scenario.link.air(bits, run.hop_ns)
    for number, channel in enumerate(channels):
        for ear, name in enumerate(EARS):
            pieces = air.payloads[ear][number]
            on_air = sum(piece.bits for piece in pieces)
            yield (
                f"{name} sends {channel} every {run.hop_ns / 1e6:g} ms: {bits[ear][number]} bits "
                f"of payload, {on_air} on the air (packets: {len(pieces)})"
            )
    for needs, has in zip(air.offered_kbps, air.rate_kbps, strict=True):
        yield f"needs {needs:.1f} kbit/s, can carry {has:.1f}"


def _unlucky(run: _Run) -> Iterator[str]:
    """Frames that were not heard although everything fits: their packets were lost."""
    for ear in EARS:
        missed = [row for row in _of_ear(run, ear) if row["heard"] == "false"]
        if missed:
            yield f"{ear}: {len(missed)} frames not heard, though everything fits; the first:"
            yield from _indented(_story(run, ear, int(missed[0]["frame"])))


def _first(run: _Run, ear: str, what: str, wanted: Any) -> Iterator[str]:
    lost = [step.channel for step in run.program if isinstance(step, Receive)]
    rows = [row for row in _of_ear(run, ear) if wanted(row)]
    plain = [row for row in rows if all(row[f"{channel}_status"] != "lost" for channel in lost)]
    for row in (plain or rows)[:1]:
        yield f"the first {what}:"
        yield from _indented(_story(run, ear, int(row["frame"])))


def _latency(run: _Run) -> Iterator[str]:
    numbers = run.summary["numbers"]
    total, window = numbers.get("latency_ms"), numbers.get("latency_window_ms")
    if total is None or window is None:
        return
    playout = numbers["latency_playout_ms"]
    yield f"latency {total:.2f} ms = {window:.2f} window + {playout:.2f} playout"
    for fitting, bands in BANDS.items():
        limit = bands[-1][0]
        name = run.summary["fittings"].get(fitting, "")
        if name == "not kept":
            yield f"  {fitting} fitting: not kept; most frames are played unprocessed"
        elif name != "too long":
            yield f"  {fitting} fitting: {name}"
        elif window > limit:
            yield f"  {fitting} fitting: too long; the window alone is over {limit:g} ms"
        else:
            yield f"  {fitting} fitting: too long; the playout delay takes it over {limit:g} ms"


def _story(run: _Run, ear: str, number: int) -> Iterator[str]:
    """One frame from its release to its deadline; times count from its release."""
    row = run.frames.get((ear, number))
    if row is None:
        last = len(run.frames) // len(EARS) - 1
        raise InputError(f"{run.folder}: no frame {number} of the {ear} ear; 0 to {last}")
    released = int(row["released_ns"])
    deadline_ms = (int(row["deadline_ns"]) - released) / 1e6
    yield f"frame {number} of the {ear} ear is complete at {released / 1e6:.3f} ms"
    if row["finished_ns"] == "":
        yield from _skipped(run, ear, released)
    else:
        yield from _computed(run, ear, number, released, int(row["finished_ns"]))
        ready_ms = (int(row["finished_ns"]) - released) / 1e6
        if row["heard"] == "true":
            early_ms = deadline_ms - ready_ms
            yield f"due at +{deadline_ms:.3f} ms, ready {early_ms:.3f} ms before: heard"
            return
        yield f"due at +{deadline_ms:.3f} ms, ready {ready_ms - deadline_ms:.3f} ms too late"
    replaced = {"bypass": "the reference microphone as it is", "mute": "silence"}
    yield f"heard in its place: {replaced[run.scenario.playout.missed]}"


def _skipped(run: _Run, ear: str, released: int) -> Iterator[str]:
    busy = [row for row in run.steps[ear] if int(row["start_ns"]) < released < int(row["end_ns"])]
    for row in busy:
        until_ms = (int(row["end_ns"]) - released) / 1e6
        yield f"  the core is still at {row['name']} of frame {row['frame']}, to +{until_ms:.3f} ms"
    device = run.device(ear)
    reboots = f", and the device reboots at {device.reboot.at_s:g} s" if device.reboot else ""
    yield f"  not computed to its end: overload is {device.overload}{reboots}"


def _computed(run: _Run, ear: str, number: int, released: int, finished: int) -> Iterator[str]:
    """Steps and the waits between them, the cause of each wait behind it."""
    own = [row for row in run.steps[ear] if int(row["frame"]) == number]
    receives = _receives_before(run.program)
    all_received = sum(isinstance(step, Receive) for step in run.program)
    done, now = 0, released
    for row in [*own, None]:
        start = finished if row is None else int(row["start_ns"])
        behind = all_received if row is None else receives.get(row["name"], done)
        if start > now:
            span = f"+{(now - released) / 1e6:.3f} to +{(start - released) / 1e6:.3f} ms"
            yield f"  {span}: waits {(start - now) / 1e6:.3f} ms"
            yield from _indented(_causes(run, ear, number, now, start, done, behind), 4)
        if row is not None:
            now = int(row["end_ns"])
            span = f"+{(start - released) / 1e6:.3f} to +{(now - released) / 1e6:.3f} ms"
            yield f"  {span}: {row['name']}"
            done = behind


def _causes(
    run: _Run, ear: str, number: int, start: int, end: int, done: int, behind: int
) -> Iterator[str]:
    """What a frame waited for from `start` to `end`: packets of the Receives passed, the core."""
    received = [step for step in run.program if isinstance(step, Receive)][done:behind]
    for step in received:
        lines = list(_packet(run, ear, step.channel, number + step.lag_frames, start))
        yield from lines
        row = run.frames.get((ear, number + step.lag_frames))
        if lines and row is not None:
            arrived = row[f"{step.channel}_arrived_ns"]
            if not arrived or int(arrived) > end:
                yield "  given up when the wait ends"
    others: dict[str, list[Row]] = {}
    for row in run.steps[ear]:
        if int(row["start_ns"]) < end and int(row["end_ns"]) > start:
            others.setdefault(row["frame"], []).append(row)
    for of, rows in others.items():
        names = " to ".join(dict.fromkeys((rows[0]["name"], rows[-1]["name"])))
        until_ms = (min(end, int(rows[-1]["end_ns"])) - start) / 1e6
        yield f"the core is at frame {of} ({names}), until {until_ms:.3f} ms into the wait"


def _packet(run: _Run, ear: str, channel: str, number: int, since: int) -> Iterator[str]:
    """The life of a packet to `ear`; times of attempts count from the release of its frame."""
    row = run.frames.get((ear, number))
    sender = EARS[1 - EARS.index(ear)]
    if row is None:
        return
    arrived = row[f"{channel}_arrived_ns"]
    if arrived and int(arrived) <= since:
        return
    status = row[f"{channel}_status"].replace("_", " ")
    released = int(row["released_ns"])
    yield f"{channel} of frame {number} from the {sender} ear: {status}"
    sent = run.frames[sender, number][f"{channel}_sent_ns"]
    if sent:
        yield f"  handed to the link at {(int(sent) - released) / 1e6:+.3f} ms"
    for packet in run.packets:
        key = (packet["channel"], packet["sender"], int(packet["frame"]))
        if key == (channel, sender, number):
            start_ms = (int(packet["start_ns"]) - released) / 1e6
            end_ms = (int(packet["end_ns"]) - released) / 1e6
            delivery = "lost"
            if packet["arrived_ns"]:
                delivery = f"arrives at {(int(packet['arrived_ns']) - released) / 1e6:+.3f} ms"
            yield (
                f"  piece {packet['piece']}, attempt {int(packet['attempt']) + 1}: on the air "
                f"{start_ms:+.3f} to {end_ms:+.3f} ms, {delivery}"
            )


def _receives_before(program: Program) -> dict[str, int]:
    """Step -> how many Receives stand before it."""
    passed, receives = 0, {}
    for step in program:
        passed += isinstance(step, Receive)
        if isinstance(step, Compute):
            receives[step.name] = passed
    return receives


def _of_ear(run: _Run, ear: str) -> Iterator[Row]:
    return (row for (of, _), row in run.frames.items() if of == ear)


def _indented(lines: Iterator[str], by: int = 3) -> list[str]:
    return [" " * by + line for line in lines]
