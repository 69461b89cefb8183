"""SimPy between programs and timeline: two ears and a link, played in integer nanoseconds.

Frame n is complete, and released to both ears' programs, at (n + 1) hops. A program is cut before its
Receives into segments. Every segment is a station of the ear that takes the frames in order, so that
segment k of frame n + 1 never starts before segment k of frame n is over; the stations share the ear's one
core, which is never interrupted and is not held while a frame waits for the partner.

At one nanosecond things happen in this order: computations and transmissions end and packets arrive;
frames are released; then cores and media take on who asks for them, older frames before newer ones and the
left ear before the right one. Nothing depends on the order in which events were entered.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy import ndarray
from pydantic import Field

from hasim.devices import DeviceSpec
from hasim.links import LinkSpec, offered_kbps
from hasim.links.fate import Fate, Stream, drawn, nothing_arrives, slowest
from hasim.program import Program, Receive, Send
from hasim.radio import Radio
from hasim.segments import Segment, core_load, segments
from hasim.server import RELEASE, Environment, Event, Server, schedule
from hasim.spec import Spec
from hasim.timeline import Deliveries, Status, Timeline


class PlayoutSpec(Spec):
    """When output is due, how long a frame waits for the partner, what is heard instead of a late frame."""

    delay_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to its playout; auto: the smallest that the programs and a loss-free link need."""
    wait_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to giving up on the partner's packet; auto: as above."""
    missed: Literal["bypass", "mute"] = "bypass"
    """In place of a frame not ready in time: the reference microphone as it is, or silence."""


def simulate(
    programs: tuple[Program, Program],
    *,
    frames: int,
    hop_ns: int,
    devices: tuple[DeviceSpec, DeviceSpec],
    link: LinkSpec,
    playout: PlayoutSpec,
    stream: Stream,
) -> Timeline:
    """Play the programs of the left and the right ear for so many frames.

    Frame n waits for packet n + `lag_frames` of a channel until `wait` after its own release. A packet that
    arrives at that very nanosecond is on time; a later one is discarded, for later frames too. The receiver
    cannot know that a packet was lost or never sent, and waits its full time. Packets that would carry
    frames beyond the last one do not exist and are not waited for.

    A frame skipped because of `overload` is neither computed nor sent; pieces of a raw microphone that left
    while it was still being captured are wasted.

    Random streams: "loss/<direction>" (one step per attempt), "ack/<direction>" (one per arrived attempt)
    and "jitter/<direction>" (one per packet), with directions "left_to_right" and "right_to_left".

    `auto` playout is found by playing without luck: once with a link that loses nothing but is as slow as its
    jitter and attempts allow, once with a link that loses everything, because a frame whose packet is lost waits
    longest. Where a core or a medium has more to do than time, no finite delay exists; the first
    frame's own figures are taken, so that the later ones show as missed.

    Raises ValueError where a program receives what the partner does not send, or where both wait for each
    other.
    """
    _check(programs, frames, hop_ns)
    plan = _plan(programs, frames, hop_ns, devices, link)
    wait_ns, delay_ns = _playout_ns(plan, playout)
    fate = drawn(link, stream, frames, len(plan.channels))
    return _timeline(plan, _play(plan, fate, wait_ns), wait_ns, delay_ns)


@dataclass(frozen=True)
class _Plan:
    """What is to be played; everything that luck does not change. Channels are numbered as in `channels`."""

    programs: tuple[Program, Program]
    frames: int
    hop_ns: int
    devices: tuple[DeviceSpec, DeviceSpec]
    link: LinkSpec
    channels: list[str]
    airtime_ns: list[list[int]]  # of a piece, by sender and channel
    segments: list[list[Segment]]  # by ear

    def released_ns(self, frame: int) -> int:
        """When the last sample of `frame` has been captured."""
        return (frame + 1) * self.hop_ns


def _plan(
    programs: tuple[Program, Program],
    frames: int,
    hop_ns: int,
    devices: tuple[DeviceSpec, DeviceSpec],
    link: LinkSpec,
) -> _Plan:
    bits = [{step.channel: step.bits for step in _sends(program)} for program in programs]
    channels = sorted(bits[0] | bits[1])
    return _Plan(
        programs,
        frames,
        hop_ns,
        devices,
        link,
        channels,
        [[link.airtime_ns(sent.get(channel, 0)) for channel in channels] for sent in bits],
        [
            segments(program, device, frames)
            for program, device in zip(programs, devices, strict=True)
        ],
    )


@dataclass(frozen=True)
class _Played:
    ears: tuple[_Ear, _Ear]
    radio: Radio


def _play(plan: _Plan, fate: Fate, wait_ns: int | None) -> _Played:
    """One run from silence to silence; without `wait_ns` the ears wait for their packets for ever."""
    from simpy import Environment

    env = Environment()
    radio = Radio(env, plan.link, fate, plan.airtime_ns, plan.frames)
    ears = (_Ear(env, plan, radio, 0, wait_ns), _Ear(env, plan, radio, 1, wait_ns))
    env.run()
    return _Played(ears, radio)


class _Ear:
    """One device: a station per segment, a core that they share, a microphone whose samples may leave early."""

    def __init__(
        self, env: Environment, plan: _Plan, radio: Radio, ear: int, wait_ns: int | None
    ) -> None:
        stations = len(plan.segments[ear])
        self._env = env
        self._plan = plan
        self._radio = radio
        self._ear = ear
        self._wait_ns = wait_ns
        self._number = {channel: number for number, channel in enumerate(plan.channels)}
        self._over = [[env.event() for _ in range(plan.frames)] for _ in range(stations + 1)]
        self.core = Server(env)
        self.skipped = [False] * plan.frames
        self.began_ns = [[-1] * plan.frames for _ in range(stations)]
        self.finished_ns = [-1] * plan.frames
        env.process(self._release())
        for send in _sends(plan.programs[ear]):
            if send.while_capturing and plan.link.packets_per_hop > 1:
                env.process(self._capture(send))
        for station in range(stations):
            env.process(self._station(station))

    def _capture(self, send: Send) -> Generator[Event, Any, None]:
        """Hand over the pieces of a hop that are complete before the hop is."""
        env, plan, pieces = self._env, self._plan, self._plan.link.packets_per_hop
        for frame in range(plan.frames):
            for piece in range(pieces - 1):
                captured_ns = -(-(frame * pieces + piece + 1) * plan.hop_ns // pieces)
                yield env.timeout(captured_ns - env.now)
                self._radio.send(self._ear, self._number[send.channel], frame, piece)

    def _release(self) -> Generator[Event, Any, None]:
        """Release every frame to the first station, unless it is skipped."""
        env, plan = self._env, self._plan
        skips = plan.devices[self._ear].overload == "skip_frame"
        captured = [send for send in _sends(plan.programs[self._ear]) if send.while_capturing]
        for frame in range(plan.frames):
            yield schedule(env.event(), plan.released_ns(frame) - env.now, RELEASE)
            self.skipped[frame] = skips and self.core.busy
            if not self.skipped[frame]:
                for send in captured:
                    self._send(send, frame, plan.link.packets_per_hop - 1)
            self._over[0][frame].succeed()

    def _station(self, station: int) -> Generator[Event, Any, None]:
        """Take the frames in order: wait for the station before, for the partner, for the core; then do it."""
        env, plan = self._env, self._plan
        segment = plan.segments[self._ear][station]
        before, after = self._over[station], self._over[station + 1]
        for frame in range(plan.frames):
            yield before[frame]
            if not self.skipped[frame]:
                for receive in segment.receives:
                    yield from self._receive(receive, frame)
                work_ns = segment.work_ns[frame]
                if work_ns:
                    yield self.core.begin(work_ns, rank=(frame,))
                begin_ns = self.began_ns[station][frame] = env.now
                for send, offsets_ns in segment.sends:
                    if begin_ns + offsets_ns[frame] > env.now:
                        yield env.timeout(begin_ns + offsets_ns[frame] - env.now)
                    for piece in range(plan.link.packets_per_hop):
                        self._send(send, frame, piece)
                if begin_ns + work_ns > env.now:
                    yield env.timeout(begin_ns + work_ns - env.now)
                self.finished_ns[frame] = env.now
            after[frame].succeed()

    def _send(self, send: Send, frame: int, piece: int) -> None:
        channel = self._number[send.channel]
        self._radio.sent_ns[self._ear][channel][frame] = self._env.now
        self._radio.send(self._ear, channel, frame, piece)

    def _receive(self, receive: Receive, frame: int) -> Generator[Event, Any, None]:
        """Wait for the packets that this frame is the first to need."""
        newest = frame + receive.lag_frames
        oldest = newest if frame else 0
        give_up_ns = (
            None if self._wait_ns is None else self._plan.released_ns(frame) + self._wait_ns
        )
        for packet in range(max(oldest, 0), min(newest + 1, self._plan.frames)):
            channel = self._number[receive.channel]
            yield from self._radio.awaited(self._ear, channel, packet, give_up_ns)


# ------------------------------------------------------------------------------- automatic playout


def _playout_ns(plan: _Plan, playout: PlayoutSpec) -> tuple[int, int]:
    """(wait, delay) as configured, or the smallest that loses nothing by itself."""
    wait_ns = None if playout.wait_ms == "auto" else round(playout.wait_ms * 1e6)
    delay_ns = None if playout.delay_ms == "auto" else round(playout.delay_ms * 1e6)
    if wait_ns is not None and delay_ns is not None:
        return wait_ns, delay_ns
    patient = [device.model_copy(update={"overload": "queue"}) for device in plan.devices]
    plan = _plan(plan.programs, plan.frames, plan.hop_ns, (patient[0], patient[1]), plan.link)
    first = slice(0, 1) if _overloaded(plan) else slice(None)
    slow = _play(plan, slowest(plan.link, plan.airtime_ns), wait_ns)
    if wait_ns is None:
        needed_ns = [0]
        for ear, program in enumerate(plan.programs):
            for step in program:
                if isinstance(step, Receive):
                    channel = plan.channels.index(step.channel)
                    arrived_ns = np.array(slow.radio.arrived_ns[ear][channel])
                    due_ns = _due_ns(plan, step.lag_frames)
                    if np.any(arrived_ns < 0):
                        raise ValueError(
                            f"{step.channel}: each ear waits for the other's packet before it sends its own"
                        )
                    needed_ns.append(int(np.max((arrived_ns - due_ns)[first])))
        wait_ns = max(needed_ns)
    if delay_ns is None:
        silent = _play(plan, nothing_arrives(), wait_ns)
        finished_ns = np.array([ear.finished_ns for run in (slow, silent) for ear in run.ears])
        delay_ns = int(np.max((finished_ns - _due_ns(plan, 0))[:, first]))
    return wait_ns, delay_ns


def _overloaded(plan: _Plan) -> bool:
    offered = offered_kbps(plan.programs, plan.link, plan.hop_ns)
    loads = [
        core_load(program, device, plan.hop_ns)
        for program, device in zip(plan.programs, plan.devices, strict=True)
    ]
    return max(offered) > plan.link.rate_kbps or max(loads) > 1


def _due_ns(plan: _Plan, lag_frames: int) -> ndarray:
    """(frame,): release of the first frame that needs packet n of a channel with this lag."""
    frame = np.maximum(np.arange(plan.frames) - lag_frames, 0)
    return (frame + 1) * plan.hop_ns


# ------------------------------------------------------------------------------- timeline


def _timeline(plan: _Plan, played: _Played, wait_ns: int, delay_ns: int) -> Timeline:
    """Arrays of what was played."""
    released_ns = np.tile(_due_ns(plan, 0), (2, 1))
    busy_ns = np.array([ear.core.busy_ns for ear in played.ears])
    queue = {
        f"{name}_{key}": value
        for name, server in _servers(plan, played).items()
        for key, value in server.statistics().items()
    }
    return Timeline(
        hop_ns=plan.hop_ns,
        released_ns=released_ns,
        finished_ns=np.array([ear.finished_ns for ear in played.ears]),
        deadline_ns=released_ns + delay_ns,
        playout_delay_ns=delay_ns,
        wait_ns=wait_ns,
        channels={
            channel: _deliveries(plan, played, number, wait_ns)
            for number, channel in enumerate(plan.channels)
        },
        busy_ns=busy_ns,
        airtime_ns=max(medium.busy_ns for medium in played.radio.media),
        duration_ns=plan.frames * plan.hop_ns,
        steps=_step_records(plan, played),
        packets=_packet_records(plan, played),
        queue=queue,
    )


def _servers(plan: _Plan, played: _Played) -> dict[str, Server]:
    left, right = played.ears
    media = played.radio.media
    names = (
        ("link",) if plan.link.duplex == "half" else ("link_left_to_right", "link_right_to_left")
    )
    return {"core_left": left.core, "core_right": right.core} | dict(
        zip(names, media, strict=False)
    )


def _deliveries(plan: _Plan, played: _Played, channel: int, wait_ns: int) -> Deliveries:
    sent_ns = np.array([ear[channel] for ear in played.radio.sent_ns])
    arrived_ns = np.array([ear[channel] for ear in played.radio.arrived_ns])
    lags = [
        step.lag_frames
        for program in plan.programs
        for step in program
        if isinstance(step, Receive) and step.channel == plan.channels[channel]
    ]
    lag_frames = lags[0] if lags else 0  # a channel that nobody receives is judged as if at once
    status = np.select(
        [sent_ns[::-1] < 0, arrived_ns < 0, arrived_ns > _due_ns(plan, lag_frames) + wait_ns],
        [Status.NOT_SENT, Status.LOST, Status.LATE],
        Status.ON_TIME,
    )
    return Deliveries(sent_ns, arrived_ns, status, lag_frames)


def _step_records(plan: _Plan, played: _Played) -> ndarray:
    """Records of all Computes that had something to do, by their start."""
    columns = []
    names = [step.name for ear in plan.segments for segment in ear for step in segment.computes]
    for ear, player in enumerate(played.ears):
        for segment, began in zip(plan.segments[ear], player.began_ns, strict=True):
            began_ns = np.array(began)
            for number, step in enumerate(segment.computes):
                frame = np.flatnonzero(
                    (began_ns >= 0) & (segment.end_ns[number] > segment.begin_ns[number])
                )
                records = np.empty(len(frame), dtype=_step_dtype(names))
                records["ear"], records["frame"], records["name"] = ear, frame, step.name
                records["start_ns"] = (began_ns + segment.begin_ns[number])[frame]
                records["end_ns"] = (began_ns + segment.end_ns[number])[frame]
                columns.append(records)
    records = np.concatenate([np.empty(0, dtype=_step_dtype(names)), *columns])
    return records[np.lexsort((records["ear"], records["start_ns"]))]


def _step_dtype(names: list[str]) -> np.dtype:
    return np.dtype(
        [
            ("ear", np.int8),
            ("frame", np.int32),
            ("name", f"U{max(map(len, names), default=1)}"),
            ("start_ns", np.int64),
            ("end_ns", np.int64),
        ]
    )


def _packet_records(plan: _Plan, played: _Played) -> ndarray:
    """Records of all attempts, in the order of their start."""
    fields: list[tuple[str, Any]] = [
        ("channel", f"U{max(map(len, plan.channels), default=1)}"),
        ("sender", np.int8),
        ("frame", np.int32),
        ("piece", np.int16),
        ("attempt", np.int16),
        ("start_ns", np.int64),
        ("end_ns", np.int64),
        ("arrived_ns", np.int64),
        ("lost", np.bool_),
    ]
    attempts = played.radio.records
    records = np.empty(len(attempts), dtype=fields)
    if attempts:
        channel, *columns = zip(*attempts, strict=True)
        records["channel"] = np.array(plan.channels)[list(channel)]
        for (name, _), column in zip(fields[1:], columns, strict=True):
            records[name] = column
    return records


def _sends(program: Program) -> list[Send]:
    return [step for step in program if isinstance(step, Send)]


def _check(programs: tuple[Program, Program], frames: int, hop_ns: int) -> None:
    if frames < 1 or hop_ns < 1:
        raise ValueError(f"frames and hop_ns must be at least 1 (got {frames} and {hop_ns})")
    receives = [
        {step.channel: step for step in program if isinstance(step, Receive)}
        for program in programs
    ]
    for ear, program in enumerate(programs):
        name = ("left", "right")[ear]
        for kind in (Send, Receive):
            channels = [step.channel for step in program if isinstance(step, kind)]
            if len(set(channels)) < len(channels):
                raise ValueError(
                    f"{name}: every channel may have one {kind.__name__} (got {channels})"
                )
        sent = sorted(step.channel for step in _sends(programs[1 - ear]))
        for channel, step in receives[ear].items():
            if channel not in sent:
                raise ValueError(
                    f"{name}: receives {channel!r}, but the partner sends {sent or 'nothing'}"
                )
            other = receives[1 - ear].get(channel, step)
            if other.lag_frames != step.lag_frames:
                raise ValueError(
                    f"{channel}: lag_frames must be the same in both ears "
                    f"(got {step.lag_frames} and {other.lag_frames})"
                )
