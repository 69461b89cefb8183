"""Recorded losses: a file with one flag for every packet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from numpy.random import Generator

from hasim.config.spec import InputError, Spec
from hasim.simulation.link.losses.process import DIRECTIONS, Direction, LossProcess

FLAGS = {"0": False, "1": True, "false": False, "true": True}
MAX_OCTETS = 100_000_000


class LossTrace(Spec):
    """Attempt i is lost where flag i of the file says so; after its end the trace is repeated."""

    kind: Literal["trace"] = "trace"
    file: Path
    """Flags, 1 or true where a packet was lost, separated by spaces, commas or line ends; or CSV
    with a column `lost`, or a column for each of `left_to_right` and `right_to_left`."""

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """The recorded flags, one for each attempt."""
        flags = _again(read_trace(self.file)[direction])
        return lambda frame, start_ns, bits: next(flags)

    def asked(self, frames: int) -> float:
        """Share of the recorded packets that were lost."""
        trace = read_trace(self.file)
        return sum(sum(trace[way]) / len(trace[way]) for way in DIRECTIONS) / len(DIRECTIONS)


def read_trace(file: Path) -> dict[Direction, list[bool]]:
    """Flags of lost packets for each direction; a file without directions is used for both.

    Raises InputError where the file is missing, too large, empty, or not a trace.
    """
    try:
        if file.stat().st_size > MAX_OCTETS:
            raise InputError(f"{file}: larger than {MAX_OCTETS // 10**6} MB, too long for a trace")
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a trace ({error})") from error
    lines = [line.strip().lower() for line in lines if line.strip()]
    words = [word.strip() for word in lines[0].split(",")] if lines else []
    columns = {way: words.index(way) for way in DIRECTIONS if way in words}
    if "lost" in words:
        columns = dict.fromkeys(DIRECTIONS, words.index("lost"))
    if columns:
        if len(columns) < len(DIRECTIONS):
            raise InputError(f"{file}: needs a column for each of {', '.join(DIRECTIONS)}")
        return {way: list(_column(file, lines[1:], columns[way])) for way in DIRECTIONS}
    flags = list(_flags(file, " ".join(lines).replace(",", " ").split()))
    return dict.fromkeys(DIRECTIONS, flags)


def _column(file: Path, lines: list[str], column: int) -> Iterator[bool]:
    rows = [[word.strip() for word in line.split(",")] for line in lines]
    return _flags(file, [row[column] if column < len(row) else "" for row in rows])


def _flags(file: Path, words: list[str]) -> Iterator[bool]:
    if not words:
        raise InputError(f"{file}: no packets in it")
    for number, word in enumerate(words, start=1):
        if word not in FLAGS:
            raise InputError(f"{file}: packet {number} is {word[:40]!r}, neither 0 nor 1")
        yield FLAGS[word]


def _again(flags: list[bool]) -> Iterator[bool]:
    while True:
        yield from flags
