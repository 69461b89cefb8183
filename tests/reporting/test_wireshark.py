"""Captures of the link, read by a parser of our own and, where it is installed, by tshark."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hasim.reporting import wireshark
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.losses import Bernoulli
from hasim.simulation.link.traffic import ConstantRate
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Receive, Send
from hasim.simulation.simulate import simulate
from tests.example_run import example_result


@pytest.fixture(scope="module")
def timeline():
    """Losses, copies after lost acknowledgements, and packets that come too late."""
    program = (Send("z", 2000), Receive("z"))
    return simulate(
        (program, program),
        frames=60,
        hop_ns=16_000_000,
        devices=(DeviceSpec(), DeviceSpec()),
        link=ConstantRate(
            rate_kbps=1000, loss=Bernoulli(probability=0.3), attempts=3, ack_loss=0.3, jitter_ms=4
        ),
        playout=PlayoutSpec(wait_ms=6, delay_ms=8),
        stream=lambda name: np.random.default_rng(3),
    )


def blocks(content: bytes) -> list[tuple[int, bytes]]:
    """Type and body of every block; the length at its end must be the one at its beginning."""
    found = []
    while content:
        kind, length = struct.unpack_from("<II", content)
        assert length % 4 == 0
        assert struct.unpack_from("<I", content, length - 4) == (length,)
        found.append((kind, content[8 : length - 4]))
        content = content[length:]
    return found


def options(data: bytes) -> dict[int, bytes]:
    found = {}
    while True:
        code, length = struct.unpack_from("<HH", data)
        if code == 0:
            assert (length, len(data)) == (0, 4)
            return found
        found[code] = data[4 : 4 + length]
        data = data[4 + length + -length % 4 :]


def packets(content: bytes) -> list[dict]:
    found = []
    for kind, body in blocks(content):
        if kind == 6:
            interface, high, low, captured, original = struct.unpack_from("<5I", body)
            data = body[20 : 20 + captured]
            extra = options(body[20 + captured + -captured % 4 :])
            version, sender, piece, attempt, status, frame = wireshark.HEADER.unpack(data)
            assert version == 1
            found.append(
                {
                    "interface": interface,
                    "time_ns": (high << 32) + low,
                    "octets": original,
                    "key": (sender, frame, piece, attempt),
                    "status": status,
                    "comment": extra[1].decode(),
                    "flags": struct.unpack("<I", extra[2])[0],
                }
            )
    return found


def test_the_file_begins_with_a_section_and_its_interfaces(timeline):
    (kind, section), *rest = blocks(wireshark.capture(timeline, lambda *packet: 261))
    assert kind == 0x0A0D0D0A
    assert struct.unpack_from("<IHHq", section) == (0x1A2B3C4D, 1, 0, -1)
    interfaces = [body for kind, body in rest if kind == 1]
    names = [options(body[8:])[2].decode() for body in interfaces]
    assert names == ["left to right: z", "right to left: z"]
    assert all(options(body[8:])[9] == b"\x09" for body in interfaces)
    assert [kind for kind, _ in rest] == [1, 1] + [6] * len(timeline.packets)


def test_every_attempt_is_there_with_its_time_and_length(timeline):
    found = packets(wireshark.capture(timeline, lambda *packet: 261))
    expected = [
        (int(p["start_ns"]), (p["sender"], p["frame"], p["piece"], p["attempt"]))
        for p in timeline.packets
    ]
    assert [(p["time_ns"], p["key"]) for p in found] == sorted(expected, key=lambda e: e[0])
    assert {p["octets"] for p in found} == {261}
    assert all(p["interface"] == p["key"][0] for p in found)


def test_statuses_are_those_of_the_timeline(timeline):
    found = packets(wireshark.capture(timeline, lambda *packet: 261))
    count = [sum(p["status"] == status for p in found) for status in range(4)]
    status = timeline.channels["z"].status
    assert count[wireshark.LOST] == timeline.packets["lost"].sum() > 0
    assert count[wireshark.LATE] == (status == 1).sum() > 0
    assert count[wireshark.ON_TIME] == (status == 0).sum() > 0
    assert sum(count) == len(timeline.packets)
    assert count[wireshark.COPY] > 0
    for packet in found:
        assert (packet["flags"] == wireshark.CHECK_SUM_ERROR) == (
            packet["status"] == wireshark.LOST
        )
        words = ("in time", "after it was given up", "lost on the air", "acknowledgement")
        assert words[packet["status"]] in packet["comment"]


def test_a_run_knows_its_packet_lengths(tmp_path):
    """256 samples of 16 bits and 11 octets of overhead."""
    wireshark.write(example_result(20), tmp_path / "link.pcapng")
    found = packets((tmp_path / "link.pcapng").read_bytes())
    assert len(found) == 40
    assert {p["octets"] for p in found} == {512 + 11}


def test_no_packets_no_interfaces(timeline):
    silent = dataclasses.replace(timeline, channels={}, packets=timeline.packets[:0])
    assert [kind for kind, _ in blocks(wireshark.capture(silent, lambda *packet: 0))] == [
        0x0A0D0D0A
    ]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_same(timeline, tmp_path: Path):
    file = tmp_path / "link.pcapng"
    file.write_bytes(wireshark.capture(timeline, lambda *packet: 261))
    fields = ("frame.time_epoch", "frame.len", "frame.interface_name", "frame.comment")
    command = ["tshark", "-r", str(file), "-T", "fields", "-E", "separator=|"]
    for field in fields:
        command += ["-e", field]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [line.split("|") for line in answer.stdout.splitlines()]
    expected = packets(file.read_bytes())
    assert len(told) == len(expected) > 100
    for (time_s, octets, name, comment), packet in zip(told, expected, strict=True):
        whole, fraction = time_s.split(".")
        assert int(whole) * 10**9 + int(fraction.ljust(9, "0")) == packet["time_ns"]
        assert (int(octets), comment) == (packet["octets"], packet["comment"])
        assert name == ("left to right: z", "right to left: z")[packet["interface"]]
