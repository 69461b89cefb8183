"""How long to wait for the partner, found by simulating the slowest link."""

from __future__ import annotations

import numpy as np

from hasim.simulation.link.channel import (
    ChannelRealisation,
    nothing_arrives,
    prompt,
    slowest_realisation,
)
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.processor import Processor
from hasim.simulation.radio import Radio
from hasim.simulation.schedule import Schedule, WaitTimes, make_schedule, received


def play(
    schedule: Schedule,
    realisation: ChannelRealisation,
    waits_ns: WaitTimes | None,
    delay_ns: int | None = None,
) -> tuple[tuple[Processor, Processor], Radio]:
    """Simulate one run to its end: both processors and the radio, with their records."""
    from simpy import Environment, Interrupt

    env = Environment()
    radio = Radio(env, schedule.air, schedule.sizes, realisation, schedule.frames)
    for ear, device in enumerate(schedule.devices):
        if device.reboot is not None:
            at_ns = round(device.reboot.at_s * 1e9)
            radio.down[ear] = (at_ns, at_ns + round(device.reboot.takes_ms * 1e6))
    left = Processor(env, schedule, radio, 0, waits_ns, delay_ns, Interrupt)
    right = Processor(env, schedule, radio, 1, waits_ns, delay_ns, Interrupt)
    env.run()
    return (left, right), radio


def playout_ns(schedule: Schedule, playout: PlayoutSpec) -> tuple[WaitTimes, int]:
    """Wait times and playout delay; `auto` is found by trial runs without random losses.

    A link that loses nothing shows how long each ear has to wait for each channel: once with every
    packet prompt, and once as late as jitter and repeats allow. A link that loses everything shows
    how late the frame is that waits longest, which is the delay. Frames queue in all trial runs,
    because a skipped frame has no finishing time.

    Where a core or a medium is asked for more than all of its time, the backlog grows and no finite
    wait is enough: then the first frame's figures are taken, and the later frames miss their
    deadline.
    """
    waits_ns = None if playout.wait_ms == "auto" else schedule.waits(round(playout.wait_ms * 1e6))
    if waits_ns is not None and playout.delay_ms != "auto":
        return waits_ns, round(playout.delay_ms * 1e6)
    realisations = [slowest_realisation(schedule.air)]
    if schedule.air.jitter_ns > 0 or schedule.air.attempts > 1:
        realisations.append(prompt())
    trials = [_trial(schedule, realisation, waits_ns) for realisation in realisations]
    if waits_ns is None:
        waits_ns = np.max([needed_ns for needed_ns, _ in trials], axis=0).tolist()
    if playout.delay_ms != "auto":
        return waits_ns, round(playout.delay_ms * 1e6)
    trials.append(_trial(schedule, nothing_arrives(), waits_ns))
    return waits_ns, max(slowest_ns for _, slowest_ns in trials)


def _trial(
    schedule: Schedule, realisation: ChannelRealisation, waits_ns: WaitTimes | None
) -> tuple[WaitTimes, int]:
    """Wait times and playout delay that the slowest frames of a run without random losses need.

    A short run is enough if it ends in a pattern that repeats, as nearly all do.
    """
    # Frames queue, and nothing fails.
    changes = {"overload": "queue", "reboot": None}
    left, right = (device.model_copy(update=changes) for device in schedule.devices)
    short = 64 + 4 * schedule.period
    for frames in sorted({min(short, schedule.frames), schedule.frames}):
        trial = make_schedule(
            schedule.programs, frames, schedule.hop_ns, (left, right), schedule.link
        )
        ears, radio = play(trial, realisation, waits_ns)
        finished_ns = np.array([ear.finished_ns for ear in ears])
        if np.any(finished_ns < 0):
            raise ValueError(
                "playout.wait_ms: auto finds no time that is enough, because each ear receives "
                "from the other before it sends; send first, or give a number"
            )
        settled = 1 if schedule.overloaded else _settled(trial, ears, radio)
        if settled:
            break
    settled = settled or schedule.frames
    needed_ns = schedule.waits(0)
    for ear, program in enumerate(trial.programs):
        for step in received(program):
            channel = trial.channels.index(step.channel)
            late_ns = np.array(radio.arrived_ns[ear][channel]) - trial.needed_ns(step.lag_frames)
            slowest_ns = late_ns[: settled + max(step.lag_frames, 0)].max()
            needed_ns[ear][channel] = max(0, int(slowest_ns))
    return needed_ns, int((finished_ns - trial.needed_ns())[:, :settled].max())


def _settled(trial: Schedule, ears: tuple[Processor, Processor], radio: Radio) -> int:
    """How many frames show all that a longer run would show; 0 if this run does not prove it.

    The state at a frame's release is what the frames before it have in flight. If the times of the
    last frames (as many as may be in flight, rounded up to the programs' period) equal those of the
    same number before them, the state repeats, and with it everything that follows.
    """
    pieces = max((len(pieces) for ear in trial.air.payloads for pieces in ear), default=1)
    on_air_ns = np.zeros((len(trial.channels), 2, pieces, trial.frames), dtype=np.int64)
    for channel, sender, frame, piece, _, _, end_ns, *_ in radio.records:
        on_air_ns[channel, sender, piece, frame] = end_ns
    times_ns = np.concatenate(
        [on_air_ns.reshape(-1, trial.frames)]
        + [np.array([*ear.began_ns, ear.finished_ns]) for ear in ears]
    )
    times_ns = np.where(times_ns > 0, times_ns - trial.needed_ns(), 0)
    in_flight = int(times_ns.max()) // trial.hop_ns + 2
    span = trial.period * -(-in_flight // trial.period)
    lags = [trial.lag_frames(channel) for channel in range(len(trial.channels))]
    # Later frames may be affected by the end of the run.
    last = trial.frames - in_flight - max([0, *lags])
    if last < 2 * span:
        return 0
    repeats = np.array_equal(
        times_ns[:, last - 2 * span : last - span], times_ns[:, last - span : last]
    )
    return last if repeats else 0
