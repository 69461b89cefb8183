"""The link as a capture file that Wireshark opens: every attempt with its time and status.

The format is pcapng (draft-ietf-opsawg-pcapng): one section, one interface per direction and
channel, times in nanoseconds from the start of the run. There is no payload to store; the captured
bytes are a header of our own (link type 147, for private use), and the original length is the
number of octets on the air. A comment says whether the packet arrived in time, and a lost one has
the flag of a check sum error.

    header, big-endian: version 1, sender (0 left), piece, attempt, status (0 on time, 1 late,
    2 lost, 3 copy of one that has arrived), three zero bytes, frame (4 bytes)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hasim.config.ears import EARS
from hasim.config.files import write_whole
from hasim.simulation.link.traffic import payload_bits
from hasim.simulation.timeline import Status, Timeline

if TYPE_CHECKING:
    from hasim.experiment.result import RunResult

Octets = Callable[[str, int, int], int]
"""(channel, sender, piece) -> octets on the air."""
LINKTYPE_USER0 = 147
HEADER = struct.Struct(">BBBBB3xI")
ON_TIME, LATE, LOST, COPY = range(4)
CHECK_SUM_ERROR = 1 << 24
"""Bit of epb_flags."""


def write(result: RunResult, path: str | Path) -> None:
    """Write the packets of a run to a file; OSError where it cannot be written."""
    scenario = result.scenario
    program = scenario.algorithm.program(scenario.front_end, scenario.link.codec)
    channels, bits = payload_bits((program, program))
    payloads = scenario.link.air(bits, result.timeline.hop_ns).payloads

    def octets(channel: str, sender: int, piece: int) -> int:
        return -(-payloads[sender][channels.index(channel)][piece].bits // 8)

    write_whole(Path(path), capture(result.timeline, octets))


def capture(timeline: Timeline, octets: Octets) -> bytes:
    """The packets of a timeline as the bytes of a pcapng file."""
    channels = sorted(timeline.channels)
    blocks = [_section()]
    for channel in channels:
        for sender in (0, 1):
            blocks.append(_interface(f"{EARS[sender]} to {EARS[1 - sender]}: {channel}"))
    arrived: set[tuple[str, int, int, int]] = set()
    for packet in timeline.packets[np.argsort(timeline.packets["start_ns"], kind="stable")]:
        status, comment = _status(timeline, packet, arrived)
        channel, sender = str(packet["channel"]), int(packet["sender"])
        header = HEADER.pack(
            1, sender, int(packet["piece"]), int(packet["attempt"]), status, int(packet["frame"])
        )
        blocks.append(
            _packet(
                2 * channels.index(channel) + sender,
                int(packet["start_ns"]),
                header,
                max(octets(channel, sender, int(packet["piece"])), len(header)),
                comment,
                CHECK_SUM_ERROR if status == LOST else 0,
            )
        )
    return b"".join(blocks)


def _status(
    timeline: Timeline, packet: np.void, arrived: set[tuple[str, int, int, int]]
) -> tuple[int, str]:
    """Status of an attempt as a number and in words; `arrived` is kept up to date."""
    channel, sender, frame = str(packet["channel"]), int(packet["sender"]), int(packet["frame"])
    which = f"frame {frame}, piece {packet['piece']}, attempt {packet['attempt'] + 1}"
    key = (channel, sender, frame, int(packet["piece"]))
    if packet["lost"]:
        return LOST, f"{which}: lost on the air"
    if key in arrived:
        return COPY, f"{which}: had arrived before, its acknowledgement was lost"
    arrived.add(key)
    deliveries = timeline.channels[channel]
    if deliveries.status[1 - sender, frame] == Status.LATE:
        needed = max(frame - deliveries.lag_frames, 0)
        due_ns = timeline.released_ns[1 - sender, needed] + deliveries.waits_ns[1 - sender]
        after_ms = (deliveries.arrived_ns[1 - sender, frame] - due_ns) / 1e6
        return LATE, f"{which}: dropped, came {after_ms:.3f} ms after it was given up"
    return ON_TIME, f"{which}: in time"


def _section() -> bytes:
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options((4, b"hasim"))
    return _block(0x0A0D0D0A, body)


def _interface(name: str) -> bytes:
    # option if_tsresol: 10^-9 s
    resolution = (9, bytes([9]))
    body = struct.pack("<HHI", LINKTYPE_USER0, 0, 0) + _options((2, name.encode()), resolution)
    return _block(1, body)


def _packet(
    interface: int, time_ns: int, data: bytes, octets: int, comment: str, flags: int
) -> bytes:
    fixed = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), octets)
    options = _options((1, comment.encode()), (2, struct.pack("<I", flags)))
    return _block(6, fixed + _padded(data) + options)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _options(*options: tuple[int, bytes]) -> bytes:
    packed = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join([*packed, struct.pack("<HH", 0, 0)])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
