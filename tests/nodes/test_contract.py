"""The contract of node algorithms: hasim's own fulfil it, and each way of breaking it is found."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest

from hasim.dsp.covariance import Utterance
from hasim.nodes import (
    Centralised,
    Enhanced,
    FrameByFrame,
    InvertedDagger,
    InvertedStar,
    Local,
    MnTango,
    Passthrough,
    Tango,
)
from hasim.nodes.contract import check
from hasim.nodes.exchange_policy import Stale, StatsOnly
from hasim.simulation.program import Compute, Receive, Send

SOUND = [
    Passthrough(),
    Local(),
    Centralised(),
    Tango(),
    MnTango(),
    InvertedDagger(),
    InvertedStar(second_exchange=False, first_filter="local"),
    MnTango(covariance=Utterance()),
    MnTango(concealment="predict", exchange=StatsOnly(frames=2)),
    Tango(exchange=Stale(frames=1), concealment="repeat_phase", learn_from="late_too"),
]


def problems(node) -> dict[str, str]:
    return {one.name: one.problem for one in check(node) if one.problem}


@pytest.mark.parametrize("node", SOUND, ids=lambda node: node.kind)
def test_the_nodes_of_hasim_fulfil_the_contract(node):
    assert problems(node) == {}


class Broken(Passthrough):
    """Passes the contract but for what a test puts in place of `enhance`."""

    kind: Literal["broken"] = "broken"
    how: ClassVar[str] = ""
    calls: ClassVar[list[int]] = []

    def enhance(self, mics, exchange, masks):
        front = mics[:, 0]
        if self.how == "future":
            return Enhanced(np.roll(front, -1, axis=-1))
        if self.how == "partner":
            return Enhanced(front + 0.1 * front[::-1])
        if self.how == "in place":
            front *= 0.5
        if self.how == "memory":
            self.calls.append(1)
            return Enhanced(front * len(self.calls))
        if self.how == "shape":
            return Enhanced(front[..., :-1])
        if self.how == "mask":
            return Enhanced(front, masks={"sn_dnn": np.abs(front) + 2})
        if self.how == "through":
            return Enhanced(front, through=lambda signals: np.abs(signals[:, 0]))
        if self.how == "other through":
            return Enhanced(front, through=lambda signals: 0.5 * signals[:, 0])
        return Enhanced(front)


@pytest.mark.parametrize(
    ("how", "name", "said"),
    [
        ("future", "uses no later frame", "frames before 13 change"),
        ("partner", "hears its partner through the exchange alone", "the left output changes"),
        ("in place", "leaves its input alone", "changes `mics` in place"),
        ("memory", "gives the same twice", "differs"),
        ("shape", "gives output, stages and masks in their shapes", "output: must be (ear, bin, "),
        ("mask", "gives output, stages and masks in their shapes", "from 0 to 1"),
        ("through", "sends parts of the sound through its weights", "is not the output"),
        ("other through", "sends parts of the sound through its weights", "is not the output"),
    ],
)
def test_every_way_of_breaking_it_is_found(how, name, said, monkeypatch):
    monkeypatch.setattr(Broken, "how", how)
    assert problems(Broken()).keys() >= {name}
    assert said in problems(Broken())[name]
    monkeypatch.setattr(Broken, "how", "")
    assert problems(Broken()) == {}


def test_programs_that_cannot_be_played():
    class Deaf(Passthrough):
        kind: Literal["deaf"] = "deaf"

        def program(self, front_end, codec):
            return (Receive("nothing"), Compute("work", 10))

    class Fractions(Passthrough):
        kind: Literal["fractions"] = "fractions"

        def program(self, front_end, codec):
            return (Compute("work", 10.5), Send("x", 3))

    name = "has a program that can be played"
    assert "receives 'nothing', but the partner sends" in problems(Deaf())[name]
    assert "work: macs must be a whole number" in problems(Fractions())[name]


def test_a_node_that_steps_agrees_with_its_steps():
    class Stepping(FrameByFrame):
        """Steps with half the level that `enhance` gives."""

        kind: Literal["stepping"] = "stepping"
        exchanges: ClassVar[bool] = False
        level: float = 1.0

        def start(self, ear):
            return self

        def step(self, mics, partner):
            return None, 0.5 * mics[0]

        def enhance(self, mics, exchange, masks):
            return Enhanced(self.level * mics[:, 0])

    assert problems(Stepping(level=0.5)) == {}
    found = problems(Stepping())
    assert found.keys() == {"agrees with stepping frame by frame"}


def test_a_spec_needs_a_kind_and_defaults():
    class Nameless(Passthrough):
        kind: str = "nameless"

    class Demanding(Passthrough):
        kind: Literal["demanding"] = "demanding"
        level: float

    assert "literal kind" in problems(Nameless())["is a Spec with a kind"]
    assert "needs a default" in problems(Demanding(level=2))["is a Spec with a kind"]
    assert "must derive from" in problems(object())["is a Spec with a kind"]
