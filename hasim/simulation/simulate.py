"""SimPy between programs and timeline: two ears and a link, played in integer nanoseconds.

Frame n is complete, and released to both ears' programs, at (n + 1) hops. At one nanosecond things
happen in this order: computations and transmissions end and packets arrive; frames are released;
interrupts take the cores; then cores and media take on who asks for them, the left ear before the
right one and older frames before newer ones. Nothing depends on the order in which events were
entered.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hasim.config.spec import Spec
from hasim.simulation.collect import timeline
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.oscillator import skew_samples
from hasim.simulation.link.channel import Fate, Stream, drawn, nothing_arrives, prompt, slowest
from hasim.simulation.link.traffic import LinkSpec
from hasim.simulation.processor import Ear
from hasim.simulation.program import Program
from hasim.simulation.radio import Radio
from hasim.simulation.schedule import Plan, Waits, plan, received
from hasim.simulation.timeline import Timeline


class PlayoutSpec(Spec):
    """When output is due, how long a frame waits for the partner, what is heard of a late frame."""

    delay_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to its playout; auto: the smallest for a loss-free link."""
    wait_ms: Literal["auto"] | Annotated[float, Field(ge=0, le=1000)] = "auto"
    """From a frame's completion to giving up on a packet; auto: as above, by ear and channel."""
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

    Frame n waits for packet n + `lag_frames` of a channel until `wait` after its own release. A
    packet that arrives at that very nanosecond is on time; a later one is discarded, for later
    frames too. The receiver cannot know that a packet was lost or never sent, and waits its full
    time. Packets that would carry frames beyond the last one do not exist and are not waited for.
    An automatic wait is every ear's and channel's own: a packet lost in a first exchange must not
    hold up a second one.

    A frame skipped because of `overload` is neither computed nor sent; pieces of a raw microphone
    that left while it was still being captured are wasted. A frame that is given up half-way has
    sent what it had sent, and its core time is lost. In the rehearsals for automatic waits and
    delays frames queue, and nothing fails.

    Random streams: "loss/<direction>" (one step per attempt), "ack/<direction>" (one per arrived
    attempt) and "jitter/<direction>" (one per packet); directions are "left_to_right" and
    "right_to_left". Those of the clocks are told in `clocks.skew_samples`; clocks shift the
    partner's samples, while all events are played on one clock.

    Raises ValueError where a program receives what the partner does not send, or where both wait
    for each other.
    """
    whole = plan(programs, frames, hop_ns, devices, link)
    waits_ns, delay_ns = _playout_ns(whole, playout)
    ears, radio = _play(whole, drawn(link, whole.air, stream, frames), waits_ns, delay_ns)
    left, right = devices
    skew = skew_samples((left.oscillator, right.oscillator), frames, hop_ns, stream)
    return timeline(whole, ears, radio, waits_ns, delay_ns, skew)


def _play(
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


# ----------------------------------------------------------------------------- automatic playout


def _playout_ns(whole: Plan, playout: PlayoutSpec) -> tuple[Waits, int]:
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
        ears, radio = _play(trial, fate, waits_ns)
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
