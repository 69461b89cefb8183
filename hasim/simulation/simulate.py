"""From programs to timeline: two devices and a link, simulated in integer nanoseconds with SimPy.

Frame n is complete, and released to both ears' programs, at (n + 1) hops. At one nanosecond things
happen in this order: computations and transmissions end and packets arrive; frames are released;
interrupts take the cores; then cores and media admit new requests, the left ear before the right
one and older frames before newer ones. Nothing depends on the order in which events were created.
"""

from __future__ import annotations

from hasim.simulation.automatic_waits import play, playout_ns
from hasim.simulation.collect import timeline
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.oscillator import skew_samples
from hasim.simulation.link.channel import Stream, random_realisation
from hasim.simulation.link.traffic import LinkSpec
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Program
from hasim.simulation.schedule import make_schedule
from hasim.simulation.timeline import Timeline


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
    """Run the programs of the left and the right ear for a number of frames.

    Frame n waits for packet n + `lag_frames` of a channel until `wait` after its own release. A
    packet that arrives at that nanosecond is on time; a later one is discarded, for later frames
    too. The receiver cannot know that a packet was lost or never sent, and waits its full time.
    Packets beyond the last frame do not exist and are not waited for. An automatic wait is separate
    for every ear and channel: a packet lost in a first exchange must not delay a second one.

    A frame skipped because of `overload` is neither computed nor sent; pieces of a raw microphone
    that left while it was still being captured are wasted. A frame that is given up half-way has
    sent what it had sent, and its core time is lost. In the trial runs for automatic waits and
    delays frames queue, and nothing fails.

    Random streams: "loss/<direction>" (one step per attempt), "ack/<direction>" (one per arrived
    attempt) and "jitter/<direction>" (one per packet); directions are "left_to_right" and
    "right_to_left". Those of the sampling clocks are in `oscillator.skew_samples`; clocks shift the
    partner's samples, while all events run on one clock.

    Raises ValueError where a program receives what the partner does not send, or where both wait
    for each other.
    """
    schedule = make_schedule(programs, frames, hop_ns, devices, link)
    waits_ns, delay_ns = playout_ns(schedule, playout)
    ears, radio = play(
        schedule, random_realisation(link, schedule.air, stream, frames), waits_ns, delay_ns
    )
    left, right = devices
    skew = skew_samples((left.oscillator, right.oscillator), frames, hop_ns, stream)
    return timeline(schedule, ears, radio, waits_ns, delay_ns, skew)
