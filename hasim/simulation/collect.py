"""From the records of a simulation to the arrays of a Timeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from hasim.config.ears import EARS
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.link.air import NEVER
from hasim.simulation.processor import Processor
from hasim.simulation.queues import WorkLog
from hasim.simulation.radio import Radio
from hasim.simulation.schedule import Schedule, WaitTimes
from hasim.simulation.timeline import Deliveries, Mode, Status, Timeline


def timeline(
    schedule: Schedule,
    ears: tuple[Processor, Processor],
    radio: Radio,
    waits_ns: WaitTimes,
    delay_ns: int,
    skew_samples: ndarray,
) -> Timeline:
    """The timeline of a finished run."""
    released_ns = np.tile(schedule.needed_ns(), (2, 1))
    servers: dict[str, WorkLog] = {
        f"{resource}_{name}": core
        for name, ear in zip(EARS, ears, strict=True)
        for resource, core in ear.cores.items()
    }
    if schedule.air.shared:
        servers["link"] = radio.media[0]
    else:
        servers["link_left_to_right"], servers["link_right_to_left"] = radio.media
    return Timeline(
        hop_ns=schedule.hop_ns,
        released_ns=released_ns,
        finished_ns=np.array([ear.finished_ns for ear in ears]),
        deadline_ns=released_ns + delay_ns,
        playout_delay_ns=delay_ns,
        wait_ns=max((max(ear, default=0) for ear in waits_ns), default=0),
        channels={
            channel: _deliveries(
                schedule, radio, number, (waits_ns[0][number], waits_ns[1][number])
            )
            for number, channel in enumerate(schedule.channels)
        },
        busy_ns=np.array([_busy_ns(ear) for ear in ears]),
        airtime_ns=_airtime_ns(schedule, radio),
        duration_ns=schedule.frames * schedule.hop_ns,
        steps=_steps(schedule, ears),
        packets=_packets(schedule, radio),
        queue={
            f"{name}_{figure}": value
            for name, server in servers.items()
            for figure, value in server.statistics().items()
        },
        mode=np.array([ear.mode for ear in ears], dtype=np.int8),
        restarted=np.array(
            [np.arange(schedule.frames) == ear.restarted for ear in ears], dtype=np.int8
        ),
        skew_samples=skew_samples,
        clock=(_clock(schedule.devices[0]), _clock(schedule.devices[1])),
    )


def _clock(device: DeviceSpec) -> float:
    # `make_schedule` has replaced `auto`.
    assert device.clock != "auto"
    return device.clock


def _busy_ns(ear: Processor) -> int:
    """Time in which the core or the accelerator was busy, interrupts included."""
    began = [began_ns for core in ear.cores.values() for began_ns in core.began_ns]
    work = [work_ns for core in ear.cores.values() for work_ns in core.work_ns]
    busy_ns, until_ns = 0, 0
    for began_ns, work_ns in sorted(zip(began, work, strict=True)):
        end_ns = began_ns + work_ns
        busy_ns += max(0, end_ns - max(began_ns, until_ns))
        until_ns = max(until_ns, end_ns)
    within_ns = sum(takes_ns for pauses in ear.pauses.values() for _, takes_ns in pauses)
    return busy_ns + sum(core.stolen_ns for core in ear.cores.values()) - within_ns


def _airtime_ns(schedule: Schedule, radio: Radio) -> int:
    """Time in which the medium is occupied: slots share one medium, full duplex has two."""
    left, right = (medium.busy_ns for medium in radio.media)
    return left + right if schedule.air.slots else max(left, right)


def _deliveries(
    schedule: Schedule, radio: Radio, channel: int, waits_ns: tuple[int, int]
) -> Deliveries:
    sent_ns = np.array([ear[channel] for ear in radio.sent_ns])
    arrived_ns = np.array([ear[channel] for ear in radio.arrived_ns])
    lag_frames = schedule.lag_frames(channel)
    due_ns = schedule.needed_ns(lag_frames) + np.array(waits_ns)[:, None]
    status = np.select(
        [sent_ns[::-1] < 0, arrived_ns < 0, arrived_ns > due_ns],
        [Status.NOT_SENT, Status.LOST, Status.LATE],
        Status.ON_TIME,
    )
    rung = np.array([ear[channel] for ear in radio.rung], dtype=np.int8)
    return Deliveries(sent_ns, arrived_ns, status, lag_frames, waits_ns, rung)


def _steps(schedule: Schedule, ears: tuple[Processor, Processor]) -> ndarray:
    """Records of all Computes that took time, by start and ear."""
    names = [
        step.name
        for ear in schedule.segments
        for segment in ear[Mode.FULL]
        for step in segment.computes
    ]
    fields: list[tuple[str, Any]] = [
        ("ear", np.int8),
        ("frame", np.int32),
        ("name", _text(names)),
        ("start_ns", np.int64),
        ("end_ns", np.int64),
    ]
    parts = [np.empty(0, dtype=fields)]
    for ear, processor in enumerate(ears):
        modes = np.array(processor.mode)
        for mode, segments in schedule.segments[ear].items():
            for stage, (segment, began) in enumerate(
                zip(segments, processor.began_ns, strict=True)
            ):
                began_ns = np.array(began)
                played = (began_ns >= 0) & (modes == mode)
                for number, step in enumerate(segment.computes):
                    begin_ns, end_ns = segment.begin_ns[number], segment.end_ns[number]
                    frame = np.flatnonzero(played & (end_ns > begin_ns))
                    part = np.empty(len(frame), dtype=fields)
                    part["ear"], part["frame"], part["name"] = ear, frame, step.name
                    part["start_ns"] = (began_ns + begin_ns)[frame]
                    part["end_ns"] = (began_ns + end_ns)[frame]
                    _interrupt(part, begin_ns, end_ns, processor, stage)
                    parts.append(_stop(part, processor, stage))
    records = np.concatenate(parts)
    return records[np.lexsort((records["ear"], records["start_ns"]))]


def _interrupt(
    part: ndarray, begin_ns: ndarray, end_ns: ndarray, processor: Processor, stage: int
) -> None:
    """Add the time of interrupts to the start and the end of a step's records, in place."""
    if not processor.pauses:
        return
    for record in part:
        for done_ns, takes_ns in processor.pauses.get((stage, int(record["frame"])), ()):
            if done_ns <= begin_ns[record["frame"]]:
                record["start_ns"] += takes_ns
            if done_ns < end_ns[record["frame"]]:
                record["end_ns"] += takes_ns


def _stop(part: ndarray, processor: Processor, stage: int) -> ndarray:
    """A step's records, cut off where their frames were given up."""
    if not processor.stopped_ns:
        return part
    frames = part["frame"].tolist()
    stops_ns = [processor.stopped_ns.get((stage, frame), NEVER) for frame in frames]
    part["end_ns"] = np.minimum(part["end_ns"], stops_ns)
    return part[part["end_ns"] > part["start_ns"]]


def _packets(schedule: Schedule, radio: Radio) -> ndarray:
    """Records of all attempts, in the order in which they began."""
    fields: list[tuple[str, Any]] = [
        ("channel", _text(schedule.channels)),
        ("sender", np.int8),
        ("frame", np.int32),
        ("piece", np.int16),
        ("attempt", np.int16),
        ("start_ns", np.int64),
        ("end_ns", np.int64),
        ("arrived_ns", np.int64),
        ("lost", np.bool_),
    ]
    records = np.empty(len(radio.records), dtype=fields)
    if radio.records:
        channel, *columns = zip(*radio.records, strict=True)
        records["channel"] = np.array(schedule.channels)[list(channel)]
        for (name, _), column in zip(fields[1:], columns, strict=True):
            records[name] = column
    return records[np.argsort(records["start_ns"], kind="stable")]


def _text(words: list[str]) -> str:
    """Type of a column of text that is wide enough for every word."""
    return f"U{max(map(len, words), default=1)}"
