"""How long to wait for the partner, found by playing time with the slowest link."""

from __future__ import annotations

import numpy as np

from hasim.simulation.link.channel import Fate, nothing_arrives, prompt, slowest
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.processor import Ear
from hasim.simulation.radio import Radio
from hasim.simulation.schedule import Plan, Waits, plan, received


def play(
    plan: Plan, fate: Fate, waits_ns: Waits | None, delay_ns: int | None = None
) -> tuple[tuple[Ear, Ear], Radio]:
    """One run, from silence to silence."""
    from simpy import Environment, Interrupt

    env = Environment()
    radio = Radio(env, plan.air, plan.sizes, fate, plan.frames)
    for ear, device in enumerate(plan.devices):
        if device.reboot is not None:
            at_ns = round(device.reboot.at_s * 1e9)
            radio.down[ear] = (at_ns, at_ns + round(device.reboot.takes_ms * 1e6))
    left = Ear(env, plan, radio, 0, waits_ns, delay_ns, Interrupt)
    right = Ear(env, plan, radio, 1, waits_ns, delay_ns, Interrupt)
    env.run()
    return (left, right), radio


def playout_ns(whole: Plan, playout: PlayoutSpec) -> tuple[Waits, int]:
    """(waits, delay) as configured; `auto` is found by playing without luck.

    A link that loses nothing shows how long each ear has to wait for each channel: once prompt, and
    once as slow as its jitter and attempts allow. A link that loses everything shows the frame that
    waits longest, and with that the delay. Frames queue in all of them, because a skipped frame has
    no time.

    Where a core or a medium has more to do than time, the backlog grows and no finite time is
    enough: then the first frame's own figures are taken, so that the later ones show as missed.
    """
    waits_ns = None if playout.wait_ms == "auto" else whole.waits(round(playout.wait_ms * 1e6))
    if waits_ns is not None and playout.delay_ms != "auto":
        return waits_ns, round(playout.delay_ms * 1e6)
    fates = [slowest(whole.air)]
    if whole.air.jitter_ns > 0 or whole.air.attempts > 1:
        fates.append(prompt())
    rehearsals = [_rehearse(whole, fate, waits_ns) for fate in fates]
    if waits_ns is None:
        waits_ns = np.max([needed_ns for needed_ns, _ in rehearsals], axis=0).tolist()
    if playout.delay_ms != "auto":
        return waits_ns, round(playout.delay_ms * 1e6)
    rehearsals.append(_rehearse(whole, nothing_arrives(), waits_ns))
    return waits_ns, max(slowest_ns for _, slowest_ns in rehearsals)


def _rehearse(whole: Plan, fate: Fate, waits_ns: Waits | None) -> tuple[Waits, int]:
    """(waits, delay) that the slowest frames of a run without luck need.

    A short run is enough if it ends in a pattern that repeats, as nearly all do.
    """
    untroubled = {"overload": "queue", "reboot": None}
    patient = [device.model_copy(update=untroubled) for device in whole.devices]
    short = 64 + 4 * whole.period
    for frames in sorted({min(short, whole.frames), whole.frames}):
        trial = plan(whole.programs, frames, whole.hop_ns, (patient[0], patient[1]), whole.link)
        ears, radio = play(trial, fate, waits_ns)
        finished_ns = np.array([ear.finished_ns for ear in ears])
        if np.any(finished_ns < 0):
            raise ValueError(
                "playout.wait_ms: auto finds no time that is enough, because each ear receives "
                "from the other before it sends; send first, or give a number"
            )
        settled = 1 if whole.overloaded else _settled(trial, ears, radio)
        if settled:
            break
    settled = settled or whole.frames
    needed_ns = whole.waits(0)
    for ear, program in enumerate(trial.programs):
        for step in received(program):
            channel = trial.channels.index(step.channel)
            late_ns = np.array(radio.arrived_ns[ear][channel]) - trial.needed_ns(step.lag_frames)
            slowest_ns = late_ns[: settled + max(step.lag_frames, 0)].max()
            needed_ns[ear][channel] = max(0, int(slowest_ns))
    return needed_ns, int((finished_ns - trial.needed_ns())[:, :settled].max())


def _settled(trial: Plan, ears: tuple[Ear, Ear], radio: Radio) -> int:
    """How many frames show all that a longer run would; 0 if this run does not prove it.

    The state at a frame's release is what the frames before it have in flight. If the times of the
    last frames, as many as may be in flight and a multiple of the programs' period, equal those of
    as many before them, then the state repeats, and with it everything that follows.
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
    last = trial.frames - in_flight - max([0, *lags])  # later ones may feel that the run ends
    if last < 2 * span:
        return 0
    repeats = np.array_equal(
        times_ns[:, last - 2 * span : last - span], times_ns[:, last - span : last]
    )
    return last if repeats else 0
