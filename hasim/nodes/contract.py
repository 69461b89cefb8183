"""What a node algorithm has to fulfil, tested: `check(node)`.

The node runs on random signals, with masks that are functions of what the networks are given, and
through a codec that does not round. Arrays are (ear, mic|stream, bin, frame).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy import ndarray

from hasim.config.contract import Check, Checks, spec_problem
from hasim.config.ears import EARS
from hasim.config.seeds import random_streams
from hasim.dsp.covariance import Utterance
from hasim.dsp.stft import FrontEndSpec, analyse, samples_in_ns
from hasim.nodes.exchange import Exchange
from hasim.nodes.frame_by_frame import FrameByFrame
from hasim.nodes.node import Enhanced, Node
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.memory import REGIONS, Item
from hasim.simulation.link.codecs import CodecSpec, Float32
from hasim.simulation.link.losses import Bernoulli, NoLoss
from hasim.simulation.link.traffic import ConstantRate
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Timeline

FRONT_END = FrontEndSpec(window=128, hop=64)
HOP_NS = samples_in_ns(FRONT_END.hop, 16_000)
FRAMES = 40
TOLERANCE = 1e-9
"""Largest difference, relative to the largest output, of what should be equal."""


def check(node: Node) -> list[Check]:
    """Every point of the contract in `node.py`, in the order in which it is tested."""
    checks = Checks()
    if not checks.run("is a Spec with a kind", lambda: spec_problem(node)):
        return checks.done
    if not checks.run("has a program that can be played", lambda: _program(node)):
        return checks.done
    checks.run("lists what lies in memory", lambda: _memory(node))
    if not checks.run("gives output, stages and masks in their shapes", lambda: _shapes(node)):
        return checks.done
    checks.run("gives the same twice", lambda: _same_twice(node))
    checks.run("leaves its input alone", lambda: _input_kept(node))
    checks.run("uses no later frame", lambda: _causal(node))
    checks.run("hears its partner through the exchange alone", lambda: _apart(node))
    checks.run("sends parts of the sound through its weights", lambda: _through(node))
    if hasattr(node, "start"):
        checks.run("agrees with stepping frame by frame", lambda: _stepped(node))
    return checks.done


@dataclass(frozen=True)
class _Case:
    """One run of a node: a timeline and what the microphones hear."""

    node: Node
    lost: float = 0.2
    """Share of packets that are lost."""
    seed: int = 0

    @cached_property
    def codec(self) -> CodecSpec:
        return Float32(domain="spectrum")

    @cached_property
    def timeline(self) -> Timeline:
        program = self.node.program(FRONT_END, self.codec)
        loss = Bernoulli(probability=self.lost) if self.lost else NoLoss()
        fast = DeviceSpec(mmac_per_s={"fp32": 1e5})
        return simulate(
            (program, program),
            frames=FRAMES,
            hop_ns=HOP_NS,
            devices=(fast, fast),
            link=ConstantRate(rate_kbps=1e5, latency_ms=0.1, codec=self.codec, loss=loss),
            playout=PlayoutSpec(),
            stream=random_streams(self.seed),
        )

    @cached_property
    def samples(self) -> ndarray:
        """(ear, mic, sample): a talker at both ears, and noise."""
        rng = np.random.default_rng(1)
        length = (FRAMES - 1) * FRONT_END.hop
        talker = rng.standard_normal(length) * (1 + np.sin(np.arange(length) / 300))
        return talker + 0.5 * rng.standard_normal((2, 2, length))

    @cached_property
    def mics(self) -> ndarray:
        return analyse(self.samples, FRONT_END)[..., :FRAMES]

    def enhance(self, mics: ndarray | None = None) -> Enhanced:
        """What the node makes of the microphones, or of other spectra in their place."""
        heard = self.mics if mics is None else mics
        exchange = Exchange(self.timeline, self.codec, FRONT_END, self.mics, self.samples)
        return self.node.enhance(heard, exchange, _masks)


def _masks(network: str, *inputs: ndarray) -> ndarray:
    """(ear, bin, frame): a mask of what the network sees, frame by frame and ear by ear."""
    power = sum(np.abs(one) ** 2 for one in inputs)
    return power / (power + 3.0 * FRONT_END.window)


def _program(node: Node) -> str | None:
    program = node.program(FRONT_END, Float32(domain="spectrum"))
    if not isinstance(program, tuple) or not all(
        isinstance(step, (Compute, Send, Receive)) for step in program
    ):
        return "`program` must give a tuple of Compute, Send and Receive"
    for step in program:
        if isinstance(step, Compute) and not (isinstance(step.macs, int) and step.macs >= 0):
            return f"{step.name}: macs must be a whole number, 0 or more (got {step.macs!r})"
        if isinstance(step, Send) and not (isinstance(step.bits, int) and step.bits > 0):
            return f"{step.channel}: bits must be a whole number above 0 (got {step.bits!r})"
    timeline = _Case(node, lost=0.0).timeline
    if not np.all(timeline.computed):
        return "not every frame is computed"
    return None


def _memory(node: Node) -> str | None:
    items = node.memory(FRONT_END, Float32(domain="spectrum"))
    for item in items:
        if not isinstance(item, Item):
            return f"`memory` must give Items (got {type(item).__name__})"
        if item.bytes < 0 or item.region not in REGIONS:
            return f"{item.name}: bytes must be 0 or more, in ram or nvm (got {item})"
    return None if items else "is empty: at least the buffers lie in memory"


def _shapes(node: Node) -> str | None:
    case = _Case(node)
    enhanced = case.enhance()
    want = (2, FRONT_END.bins, FRAMES)
    signals = {"output": enhanced.output, **enhanced.taps, **enhanced.masks}
    for name, signal in signals.items():
        if np.shape(signal) != want:
            return f"{name}: must be (ear, bin, frame) {want} (got {np.shape(signal)})"
        if not np.all(np.isfinite(signal)):
            return f"{name}: has NaN or infinity"
    named = enhanced.output_tap
    if named is not None and not np.array_equal(enhanced.taps.get(named, ()), enhanced.output):
        return f"output_tap: {named!r} is not the tap that is the output"
    for name, mask in enhanced.masks.items():
        if np.iscomplexobj(mask) or mask.min() < 0 or mask.max() > 1:
            return f"mask {name}: must be real and from 0 to 1"
    for channel, gain in enhanced.partner_gains.items():
        if np.ndim(gain) != 3 or gain.shape[0] != 2 or gain.shape[2] != FRONT_END.bins:
            return f"partner_gains {channel}: must be (ear, stream, bin) (got {np.shape(gain)})"
    return None


def _same_twice(node: Node) -> str | None:
    case = _Case(node)
    same = np.array_equal(case.enhance().output, case.enhance().output)
    return None if same else "the second time differs"


def _input_kept(node: Node) -> str | None:
    case = _Case(node)
    before = case.mics.copy()
    case.enhance()
    return None if np.array_equal(case.mics, before) else "`enhance` changes `mics` in place"


def _causal(node: Node) -> str | None:
    """Microphones that share their past give outputs that share it."""
    if isinstance(getattr(node, "covariance", None), Utterance):
        # Covariances of the whole utterance are for reference.
        return None
    case = _Case(node)
    for shared in (FRAMES // 3, FRAMES - 2):
        other = case.mics.copy()
        other[..., shared:] *= -0.3
        difference = _difference(case.enhance().output, case.enhance(other).output, shared)
        if difference > TOLERANCE:
            return f"frames before {shared} change with frames from {shared} on"
    return None


def _difference(one: ndarray, other: ndarray, frames: int | None = None) -> float:
    """Largest difference of (..., frame) in the first `frames`, relative to the largest value."""
    change = np.abs(one - other)[..., :frames].max(initial=0.0)
    return float(change / max(np.abs(one).max(), 1e-30))


def _apart(node: Node) -> str | None:
    """With all packets lost, an ear's output does not change with the other ear's sound."""
    case = _Case(node, lost=1.0)
    for ear, name in enumerate(EARS):
        other = case.mics.copy()
        other[1 - ear] *= -0.3
        outputs = (case.enhance(mics).output[ear] for mics in (case.mics, other))
        if _difference(*outputs) > TOLERANCE:
            return f"the {name} output changes with the other ear though all packets are lost"
    return None


def _through(node: Node) -> str | None:
    """`through` is linear, and gives the output for the microphones."""
    case = _Case(node)
    enhanced = case.enhance()
    if enhanced.through is None:
        return None
    whole = enhanced.through(case.mics)
    if np.shape(whole) != np.shape(enhanced.output):
        return f"must be (ear, bin, frame) {np.shape(enhanced.output)} (got {np.shape(whole)})"
    if _difference(enhanced.output, whole) > 1e-6:
        return "`through` of the microphones is not the output"
    part = np.roll(case.mics, 1, axis=-1)
    both = enhanced.through(2 * case.mics - part)
    if _difference(2 * whole - enhanced.through(part), both) > 1e-6:
        return "`through` is not linear"
    return None


def _stepped(node: Node) -> str | None:
    """`enhance` against the steps that `start` gives, both ears frame by frame."""
    case = _Case(node)
    exchange = Exchange(case.timeline, case.codec, FRONT_END, case.mics, case.samples)
    stepped = FrameByFrame.enhance(node, case.mics, exchange, _masks)  # type: ignore[arg-type]
    difference = _difference(stepped.output, case.enhance().output)
    return None if difference < 1e-9 else f"differs by {difference:.1e} of the largest value"
