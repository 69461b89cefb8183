"""The contracts of links and codecs: hasim's own fulfil them, each way of breaking is found."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import ClassVar, Literal

import numpy as np
import pytest

from hasim.simulation.link import contract as of_links
from hasim.simulation.link.air import Air, Piece
from hasim.simulation.link.codecs import (
    Adpcm,
    Allocated,
    BlockFloat,
    ErbBands,
    Float32,
    Lc3,
    MuLaw,
    Pcm,
)
from hasim.simulation.link.codecs import contract as of_codecs
from hasim.simulation.link.traffic import Acl, Cis, ConstantRate, IdealLink, Nfmi, Tdma

CODECS = [
    Pcm(),
    Pcm(bits=4, domain="spectrum"),
    Pcm(fewer_bits=(8, 4)),
    Pcm(fec_bits=3),
    MuLaw(bits=6),
    BlockFloat(),
    Adpcm(),
    ErbBands(),
    Allocated(),
    Float32(),
    *([Lc3()] if find_spec("lc3") else []),
]
LINKS = [
    ConstantRate(),
    ConstantRate(rate_kbps=50),
    ConstantRate(duplex="full", packets_per_hop=3, jitter_ms=5),
    ConstantRate(duplex="unscheduled"),
    Tdma(),
    Nfmi(),
    Cis(),
    Cis(framing="framed"),
    Acl(),
    IdealLink(),
]


def problems(contract, part) -> dict[str, str]:
    return {one.name: one.problem for one in contract.check(part) if one.problem}


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.kind)
def test_the_codecs_of_hasim_fulfil_the_contract(codec):
    assert problems(of_codecs, codec) == {}


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.kind)
def test_the_links_of_hasim_fulfil_the_contract(link):
    assert problems(of_links, link) == {}


class BrokenCodec(Pcm):
    """PCM of 4 bits but for what a test breaks."""

    kind: Literal["broken"] = "broken"
    bits: int = 4
    how: ClassVar[str] = ""
    calls: ClassVar[list[int]] = []

    def encode_decode(self, values, full_scale):
        decoded = super().encode_decode(values, full_scale)
        if self.how == "shape":
            return decoded[..., 1:]
        if self.how == "finite":
            return decoded / np.max(full_scale)
        if self.how == "memory":
            self.calls.append(1)
            return decoded * len(self.calls)
        if self.how == "in place":
            values *= 0.5
        if self.how == "future" and decoded.shape[-2] > 1:
            return np.roll(decoded, -1, axis=-2) + 0.1 * decoded
        if self.how == "levels":
            return decoded + 0.01 * values
        if self.how == "silent":
            return 0 * decoded
        return decoded

    def bits_for(self, numbers, parts=1):
        bits = super().bits_for(numbers, parts)
        return bits / 3 if self.how == "bits" else bits

    def linear(self, values):
        return np.abs(values) if self.how == "linear" else values

    def noise_power(self, values, full_scale):
        return np.ones(3) if self.how == "noise" else None


@pytest.mark.parametrize(
    ("how", "name", "said"),
    [
        ("shape", "decodes to the shape that was coded", "got shape"),
        ("finite", "survives silence and full scale 0", "NaN"),
        ("memory", "decodes the same twice", "differs"),
        ("in place", "leaves its input alone", "in place"),
        ("future", "needs no later packet than its delay", "packets differ"),
        ("levels", "has no more values than its bits can tell apart", "values from 4 bits"),
        ("silent", "decodes something of the signal", "is silent"),
        ("bits", "declares domain, bits, work and delay", "whole number above 0"),
        ("linear", "keeps a linear map without rounding", "not linear"),
        ("noise", "gives a noise power of the right shape, or None", "got shape (3,)"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_way_of_breaking_a_codec_is_found(how, name, said, monkeypatch):
    monkeypatch.setattr(BrokenCodec, "how", how)
    assert said in problems(of_codecs, BrokenCodec())[name]
    monkeypatch.setattr(BrokenCodec, "how", "")
    assert problems(of_codecs, BrokenCodec()) == {}


class BrokenLink(ConstantRate):
    """A constant rate but for what a test breaks."""

    kind: Literal["broken"] = "broken"
    how: ClassVar[str] = ""
    calls: ClassVar[list[int]] = []

    def air(self, bits, hop_ns):
        air = super().air(bits, hop_ns)
        if self.how == "no packets":
            return replace(air, payloads=[[() for _ in ear] for ear in air.payloads])
        if self.how == "short":
            return self._with(air, lambda piece: piece._replace(bits=3))
        if self.how == "airtime":
            return self._with(air, lambda piece: piece._replace(occupied_ns=0))
        if self.how == "free":
            return replace(air, offered_kbps=(1.0,))
        if self.how == "media":
            return replace(air, rate_kbps=(1.0, 1.0, 1.0))
        if self.how == "slow":
            return self._with(air, lambda piece: Piece(hop_ns, hop_ns, piece.bits))
        if self.how == "memory":
            self.calls.append(1)
            return replace(air, latency_ns=len(self.calls))
        return air

    def _with(self, air, change) -> Air:
        pieces = [[tuple(map(change, own)) for own in ear] for ear in air.payloads]
        return replace(air, payloads=pieces)


@pytest.mark.parametrize(
    ("how", "name", "said"),
    [
        ("no packets", "lays payloads out on the air", "travels in no packet"),
        ("short", "lays payloads out on the air", "have fewer bits"),
        ("airtime", "lays payloads out on the air", "at least airtime_ns"),
        ("media", "lays payloads out on the air", "must have 1 numbers"),
        ("free", "offers more for more bits, and nothing for none", "does not rise"),
        ("slow", "keeps up with what it says it can carry", "take longer and longer"),
        ("memory", "plays the same twice", "differs"),
    ],
)
def test_every_way_of_breaking_a_link_is_found(how, name, said, monkeypatch):
    monkeypatch.setattr(BrokenLink, "how", how)
    assert said in problems(of_links, BrokenLink())[name]
    monkeypatch.setattr(BrokenLink, "how", "")
    assert problems(of_links, BrokenLink()) == {}
