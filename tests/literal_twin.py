"""The slow literal twin: both ears stepped frame by frame inside SimPy events, one bin at a time.

hasim plays time first and then enhances all frames at once. Here a frame's arithmetic happens
inside its events: samples are captured, packets carry numbers, filters see only what has arrived
so far. Nothing of hasim's transforms, covariances, filters, exchange or simulation is used; what
is shared are the Specs, the cost of each step, the codec's rounding of one packet, and the oracle
masks.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg
import simpy
from numpy import ndarray

from hasim.experiment.scenario import Scenario
from hasim.nodes.blocks import MICS
from hasim.nodes.packets import filtered_lag_frames, packet_bits
from hasim.simulation.program import Compute, Receive

RELATIVE_LOADING, ABSOLUTE_LOADING = 1e-6, 1e-14


@dataclass
class Twin:
    """Everything that the two ears share: the clock, the link, the masks."""

    scenario: Scenario
    microphones: ndarray  # (ear, mic, sample)
    masks: ndarray  # (ear, bin, frame)
    frames: int
    waits_ns: dict[str, tuple[int, int]]  # by channel and receiving ear
    delay_ns: int
    env: simpy.Environment = field(default_factory=simpy.Environment)

    def __post_init__(self) -> None:
        front_end = self.scenario.front_end
        self.window, self.hop, self.bins = front_end.window, front_end.hop, front_end.bins
        self.hop_ns = self.hop * 62_500
        hann = np.array(
            [0.5 - 0.5 * np.cos(2 * np.pi * i / self.window) for i in range(self.window)]
        )
        energy = [
            sum(hann[k] ** 2 for k in range(i % self.hop, self.window, self.hop))
            for i in range(self.window)
        ]
        self.analysis, self.synthesis = hann, hann / np.array(energy)
        self.medium = simpy.Resource(self.env)
        self.left_to_right: dict[tuple[str, int], tuple[int, ndarray]] = {}
        self.mailbox: list[dict[tuple[str, int], tuple[int, ndarray]]] = [{}, {}]  # per receiver
        self.arrivals: dict[tuple[int, str, int], simpy.Event] = {}
        loss = self.scenario.link.loss
        self.lost = (
            set(getattr(loss, "left_to_right", ())),
            set(getattr(loss, "right_to_left", ())),
        )

    def run(self) -> ndarray:
        """(ear, sample) as heard."""
        ears = [Ear(self, number) for number in (0, 1)]
        for ear in ears:
            for frame in range(self.frames):
                self.env.process(ear.live(frame))
        self.env.run()
        return np.stack([ear.sound() for ear in ears])

    def arrival(self, receiver: int, channel: str, packet: int) -> simpy.Event:
        """An event that fires when the packet arrives."""
        return self.arrivals.setdefault((receiver, channel, packet), self.env.event())

    def transmit(self, sender: int, channel: str, packet: int, payload: ndarray, bits: int) -> Any:
        """Occupy the medium, then deliver, unless the packet is on the list of the lost."""
        link = self.scenario.link
        with self.medium.request() as turn:
            yield turn
            air = (bits + 8 * link.overhead_octets) / (link.rate_kbps * 1e3) * 1e9
            yield self.env.timeout(int(np.ceil(air)))
        yield self.env.timeout(round(link.latency_ms * 1e6))
        if packet not in self.lost[sender]:
            self.mailbox[1 - sender][channel, packet] = (self.env.now, payload)
            self.arrival(1 - sender, channel, packet).succeed()


class Ear:
    """One ear: its buffers, its covariances, and what it does with a frame."""

    def __init__(self, twin: Twin, number: int) -> None:
        self.twin, self.number = twin, number
        self.node = twin.scenario.algorithm
        self.codec = twin.scenario.link.codec
        self.core = simpy.Resource(twin.env)
        self.covariances: dict[str, tuple[ndarray, ndarray]] = {}
        self.kept: dict[str, ndarray] = {}  # each filter's weights (bin, channel) as last made
        self.held = np.zeros(twin.frames, dtype=bool)
        self.turns: dict[tuple[int, int], simpy.Event] = {}
        self.spectra = np.zeros((twin.bins, twin.frames), dtype=complex)
        self.bypass = np.zeros((twin.bins, twin.frames), dtype=complex)
        self.in_time = np.zeros(twin.frames, dtype=bool)
        self.overlap: ndarray = np.zeros(twin.window)  # of the filter output that is sent
        headroom = 10 ** (getattr(self.codec, "headroom_db", 0.0) / 20)
        self.full_scale = headroom * np.sqrt(np.mean(twin.microphones[number, 0] ** 2))
        device = (twin.scenario.devices.left, twin.scenario.devices.right)[number]
        self.may_hold = device.overload == "hold_filter"
        self.segments = {False: self._durations(), True: self._durations(held=True)}

    def _durations(self, held: bool = False) -> list[int]:
        """Nanoseconds of each part of the program between two receptions."""
        twin, rate = self.twin, (self.twin.scenario.devices.left, self.twin.scenario.devices.right)
        durations = [0]
        for step in self.node.program(twin.scenario.front_end, self.codec):
            if isinstance(step, Receive):
                durations.append(0)
            elif isinstance(step, Compute) and not (held and step.renews):
                per_s = rate[self.number].mmac_per_s.of(step.precision) * 1e6
                durations[-1] += int(np.ceil(step.macs / per_s * 1e9))
        return durations

    def live(self, frame: int) -> Generator[Any, Any, None]:
        """A frame from its release to its end, one segment after the other."""
        twin = self.twin
        release = (frame + 1) * twin.hop_ns
        yield twin.env.timeout(release)
        self.held[frame] = self.may_hold and bool(self.core.count or self.core.queue)
        steps = self.work(frame)
        wanted = next(steps)  # runs to the first ("compute",) or ("receive", ...)
        segment = 0
        answer: Any = None
        while True:
            if frame:
                yield self.turn(frame - 1, segment)
            with self.core.request() as core:
                yield core
                yield twin.env.timeout(self.segments[bool(self.held[frame])][segment])
            try:
                wanted = steps.send(answer)
            except StopIteration:
                self.turn(frame, segment).succeed()
                break
            self.turn(frame, segment).succeed()
            channel, lag = wanted
            until_ns = release + twin.waits_ns[channel][self.number]
            answer = yield from self.receive(channel, frame, lag, until_ns)
            segment += 1
        self.in_time[frame] = twin.env.now <= release + twin.delay_ns

    def turn(self, frame: int, segment: int) -> simpy.Event:
        return self.turns.setdefault((frame, segment), self.twin.env.event())

    def receive(self, channel: str, frame: int, lag: int, until_ns: int) -> Generator:
        """Wait for the packet, at most until `until_ns`; then whatever of the window is in the
        mailbox."""
        twin = self.twin
        age = getattr(getattr(self.node, "exchange", None), "age_frames", 0)
        newest = frame - age  # the partner's frame that this one is filtered with
        packet = min(
            newest + lag, twin.frames - 1
        )  # at the end of the sound there is no later packet
        if packet >= 0 and twin.env.now < until_ns:
            arrival = twin.arrival(self.number, channel, packet)
            yield arrival | twin.env.timeout(until_ns - twin.env.now)
        box = twin.mailbox[self.number]
        hops: list[ndarray | None] = []
        for hop in range(newest - twin.window // twin.hop + 1, newest + 1):
            # A packet is good for its first frame or never.
            due = (hop + age + 1) * twin.hop_ns + twin.waits_ns[channel][self.number]
            if newest < 0:
                hops.append(None)
            elif hop < 0 or hop + lag >= twin.frames:
                hops.append(np.zeros((MICS if channel == "mics" else 1, twin.hop)))
            elif (channel, hop + lag) in box and box[channel, hop + lag][0] <= due:
                hops.append(box[channel, hop + lag][1])
            else:
                hops.append(None)
        return hops

    def send(self, channel: str, frame: int, payload: ndarray) -> None:
        """Round a packet (stream, sample) and hand it to the link."""
        coded = self.codec.encode_decode(payload, self.full_scale)
        bits = packet_bits(self.codec, self.twin.scenario.front_end, len(payload))
        self.twin.env.process(self.twin.transmit(self.number, channel, frame, coded, bits))

    def captured(self, frame: int) -> ndarray:
        """(mic, sample): the window that ends with hop `frame`."""
        end = (frame + 1) * self.twin.hop
        padded = np.concatenate(
            [
                np.zeros((MICS, self.twin.window)),
                self.twin.microphones[self.number],
                np.zeros((MICS, 2 * self.twin.window)),
            ],
            axis=1,
        )
        return padded[:, end : end + self.twin.window]

    def work(self, frame: int) -> Generator[Any, Any, None]:
        """The algorithms, literally; yields (channel, lag) to receive, and once at the start."""
        twin, node, kind = self.twin, self.node, self.node.kind
        samples = self.captured(frame)
        mask = twin.masks[self.number, :, frame]
        raw = {
            "mn_tango": "reference",
            "centralised": "mics",
            "inverted_dagger": "reference",
            "inverted_star": "reference",
        }.get(kind)
        if raw is not None:  # leaves before anything is computed
            streams = samples if raw == "mics" else samples[:1]
            self.send(raw, frame, streams[:, -twin.hop :])
        yield None  # the first segment's computing time passes here
        local = np.array([np.fft.rfft(x * twin.analysis) for x in samples])  # (mic, bin)
        self.bypass[:, frame] = local[0]
        if kind == "passthrough":
            self.spectra[:, frame] = local[0]
            return
        if kind == "local":
            self.spectra[:, frame] = self.filtered(frame, "final", local, mask)
            return
        remote: ndarray | None = None
        here = local
        if raw is not None:
            hops = yield (raw, 0)
            remote, complete = self.reception(hops)
            here = np.concatenate([local, remote])
        if kind in ("mn_tango", "centralised"):
            self.spectra[:, frame] = self.with_partner(frame, "final", here, mask, complete)
            return
        lag = filtered_lag_frames(self.codec, twin.scenario.front_end)
        if kind == "tango":
            z = self.filtered(frame, "first", local, mask)
        elif node.first_filter == "all":
            z = self.with_partner(frame, "first", here, mask, complete)
        else:
            z = self.filtered(frame, "first", local, mask)
        if kind == "tango" or node.second_exchange:
            self.overlap = np.concatenate([self.overlap[twin.hop :], np.zeros(twin.hop)])
            self.overlap = self.overlap + np.fft.irfft(z) * twin.synthesis
            self.send("z", frame, self.overlap[None, : twin.hop].copy())
            hops = yield ("z", lag)
            remote, complete = self.reception(hops)
        here = np.concatenate([local, remote])
        self.spectra[:, frame] = self.with_partner(frame, "final", here, mask, complete)

    def reception(self, hops: list[ndarray | None]) -> tuple[ndarray, bool]:
        """(stream, bin) of the received window, silent where hops are missing, and whether none
        is."""
        twin = self.twin
        streams = next(
            (len(h) for h in hops if h is not None), MICS if self.node.kind == "centralised" else 1
        )
        samples = np.concatenate(
            [np.zeros((streams, twin.hop)) if h is None else h for h in hops], axis=1
        )
        spectra = np.array([np.fft.rfft(x * twin.analysis) for x in samples])
        return spectra, all(h is not None for h in hops)

    def filtered(
        self,
        frame: int,
        label: str,
        channels: ndarray,
        mask: ndarray,
        learn: bool = True,
        predict: bool = False,
    ) -> ndarray:
        """Update this filter's covariances and filter one frame, one bin at a time; or filter it
        with the weights of the last frame."""
        count, bins = channels.shape
        kept = self.kept.setdefault(label, np.zeros((bins, count), dtype=complex))
        if self.held[frame]:
            return np.sum(kept.conj() * channels.T, axis=1)
        tau_s = self.node.covariance.tau_s
        forgetting = np.exp(-self.twin.hop / 16_000 / tau_s)
        zero = np.zeros((bins, count, count), dtype=complex)
        r_s, r_n = self.covariances.get(label, (zero, zero.copy()))
        output = np.zeros(bins, dtype=complex)
        for b in range(bins):
            y = channels[:, b]
            if learn:
                outer = np.outer(y, y.conj())
                r_s[b] = forgetting * r_s[b] + (1 - forgetting) * mask[b] ** 2 * outer
                r_n[b] = forgetting * r_n[b] + (1 - forgetting) * (1 - mask[b]) ** 2 * outer
            loading = RELATIVE_LOADING * np.trace(r_n[b]).real / count + ABSOLUTE_LOADING
            values, vectors = scipy.linalg.eigh(r_s[b], r_n[b] + loading * np.eye(count))
            value, q = max(values[-1], 0.0), vectors[:, -1]
            w = (
                value
                / (value + self.node.mu)
                * q
                * (q.conj() @ (r_n[b] + loading * np.eye(count))[:, 0])
            )
            kept[b] = w
            if predict:  # the best guess of the partner's signal from the local microphones
                r_y = r_s[b] + r_n[b]
                small = RELATIVE_LOADING * np.trace(r_y).real / count + ABSOLUTE_LOADING
                r_y = r_y + small * np.eye(count)
                guess = r_y[MICS:, :MICS] @ np.linalg.inv(r_y[:MICS, :MICS]) @ y[:MICS]
                y = np.concatenate([y[:MICS], guess])
            output[b] = w.conj() @ y
        self.covariances[label] = (r_s, r_n)
        return output

    def with_partner(
        self, frame: int, label: str, channels: ndarray, mask: ndarray, complete: bool
    ) -> ndarray:
        """The filter over local and remote channels, with the configured concealment."""
        if self.node.concealment != "local_only":
            learn = complete or self.node.learn_from == "all"
            predict = self.node.concealment == "predict" and not complete
            return self.filtered(frame, label, channels, mask, learn, predict)
        fallback = self.filtered(frame, f"fallback_{label}", channels[:MICS], mask)
        final = self.filtered(frame, label, channels, mask, learn=complete)
        return final if complete else fallback

    def sound(self) -> ndarray:
        """Overlap-add of what was ready in time, of the bypass where it was not."""
        twin = self.twin
        length = twin.microphones.shape[-1]
        out = np.zeros(twin.window + (twin.frames + 1) * twin.hop)
        for frame in range(twin.frames):
            spectrum = (self.spectra if self.in_time[frame] else self.bypass)[:, frame]
            start = frame * twin.hop
            out[start : start + twin.window] += np.fft.irfft(spectrum) * twin.synthesis
        return out[twin.window - twin.hop :][:length]
