"""Laws that every node algorithm obeys, on small synthetic scenes with hand-made timelines."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest

from hasim.codecs import Float32, Pcm
from hasim.covariance import Recursive, Utterance
from hasim.exchange import Exchange, filtered_lag_frames
from hasim.masks import oracle_mask
from hasim.nodes import (
    Centralised,
    FrameByFrame,
    InvertedDagger,
    InvertedStar,
    Local,
    MnTango,
    Passthrough,
    Tango,
)
from hasim.program import Compute, Receive, Send, macs_per_frame
from hasim.stft import FrontEndSpec, analyse, frames_for
from tests.conftest import hand_made_timeline, two_source_scene

FRONT_END = FrontEndSpec(window=256, hop=128)
SAMPLES = 12_000
FRAMES = frames_for(SAMPLES, FRONT_END)
FAST = Recursive(tau_s=0.3)

LINKED = [MnTango, Centralised, Tango, InvertedDagger, InvertedStar]
EVERY = [Passthrough, Local, *LINKED]


class Run:
    """A node on a synthetic scene."""

    def __init__(self, node, rng, lost=None, codec=None, computed=None, target=None, noise=None):
        if target is None:
            target, noise = two_source_scene(rng, SAMPLES)
        self.codec = codec or Float32()
        lags = {"z": filtered_lag_frames(self.codec, FRONT_END)}
        losses = None if lost is None else dict.fromkeys(("reference", "mics", "z", "frame"), lost)
        timeline = hand_made_timeline(FRONT_END, SAMPLES, losses, lags, computed)
        mixture = target + noise
        self.target, self.noise, self.mics = (
            analyse(x, FRONT_END) for x in (target, noise, mixture)
        )
        self.mask = oracle_mask("irm1", self.target[:, 0], self.noise[:, 0])
        self.exchange = Exchange(timeline, self.codec, FRONT_END, self.mics, mixture)
        self.enhanced = node.enhance(self.mics, self.exchange, lambda network, *inputs: self.mask)
        self.output = self.enhanced.output

    def snr_db(self):
        """Signal-to-noise ratio after the filters, mean over the ears."""
        parts = [self.enhanced.through(x) for x in (self.target, self.noise)]
        powers = [np.sum(np.abs(x) ** 2, axis=(1, 2)) for x in parts]
        return float(np.mean(10 * np.log10(powers[0] / powers[1])))

    def si_sdr_db(self):
        """Scale-invariant signal-to-distortion ratio over all bins, mean over the ears."""
        target = self.target[:, 0]
        cross = np.sum(self.output * target.conj(), axis=(1, 2), keepdims=True)
        wanted = cross / np.sum(np.abs(target) ** 2, axis=(1, 2), keepdims=True) * target
        powers = [np.sum(np.abs(x) ** 2, axis=(1, 2)) for x in (wanted, self.output - wanted)]
        return float(np.mean(10 * np.log10(powers[0] / powers[1])))


def three_standard_errors(differences):
    """Lower end of the interval of three standard errors around the mean."""
    return np.mean(differences) - 3 * np.std(differences, ddof=1) / np.sqrt(len(differences))


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("covariance", [FAST, Recursive(every=3), Utterance()])
def test_output_is_what_went_through_the_filters(kind, covariance, rng):
    """Superposition: target and noise sent through the weights of the run sum to its output."""
    node = kind() if kind is Passthrough else kind(covariance=covariance)
    lost = rng.random((2, FRAMES)) < 0.2
    run = Run(node, rng, lost)
    through = run.enhanced.through(run.target) + run.enhanced.through(run.noise)
    assert run.output.shape == (2, FRONT_END.bins, FRAMES)
    np.testing.assert_allclose(through, run.output, atol=1e-9 * np.abs(run.output).max())


@pytest.mark.parametrize("kind", [MnTango, Centralised, Tango, InvertedStar, InvertedDagger])
@pytest.mark.parametrize("covariance", [FAST, Utterance()])
def test_case_37_with_everything_lost_local_only_is_local_exactly(kind, covariance, rng):
    target, noise = two_source_scene(rng, SAMPLES)
    lost = np.ones((2, FRAMES), dtype=bool)
    alone = Run(Local(covariance=covariance), rng, target=target, noise=noise)
    linked = Run(kind(covariance=covariance), rng, lost, target=target, noise=noise)
    last = (
        FRAMES - 1 if kind in (Tango, InvertedDagger) else FRAMES
    )  # z of the last hop is never sent
    np.testing.assert_array_equal(linked.output[..., :last], alone.output[..., :last])


@pytest.mark.parametrize("kind", LINKED)
def test_the_partner_helps(kind):
    """Over twenty scenes every linked algorithm beats the local one in SNR, by three standard
    errors."""
    gains = []
    for seed in range(20):
        target, noise = two_source_scene(np.random.default_rng(seed), SAMPLES)
        local, linked = (
            Run(node(covariance=Utterance()), None, target=target, noise=noise).snr_db()
            for node in (Local, kind)
        )
        gains.append(linked - local)
    assert three_standard_errors(gains) > 0


@pytest.mark.parametrize("kind", EVERY)
def test_swapping_the_ears_swaps_the_result(kind, rng):
    target, noise = two_source_scene(rng, SAMPLES)
    straight = Run(kind(), rng, target=target, noise=noise)
    swapped = Run(kind(), rng, target=target[::-1], noise=noise[::-1])
    np.testing.assert_array_equal(swapped.output, straight.output[::-1])


@pytest.mark.parametrize("kind", EVERY)
def test_the_future_does_not_change_the_past(kind, rng):
    """With recursive covariances two mixtures that share a past share that part of the output.

    A filter output sent as samples reaches one hop further: its lag.
    """
    target, noise = two_source_scene(rng, SAMPLES)
    changed = target.copy()
    changed[..., 8_000:] = 0.0
    first = Run(kind(), rng, target=target, noise=noise)
    second = Run(kind(), rng, target=changed, noise=noise)
    lag = 1 if kind in (Tango, InvertedDagger) else 0
    frames = 8_000 // FRONT_END.hop - lag
    np.testing.assert_allclose(second.output[..., :frames], first.output[..., :frames], atol=1e-12)
    assert np.abs(second.output - first.output)[..., frames + lag :].max() > 1e-6


@pytest.mark.parametrize("kind", [Local, MnTango])
def test_a_skipped_frame_teaches_nothing(kind, rng):
    """Skipping frames 20 to 29 leaves the later ones as if those had never been captured."""
    # a packet a frame: nothing of a skipped frame overlaps
    codec = Float32(domain="spectrum")
    computed = np.ones((2, FRAMES), dtype=bool)
    computed[:, 20:30] = False
    run = Run(kind(), rng, computed=computed, codec=codec)
    channels = run.mics
    if kind is MnTango:
        channels = np.concatenate([run.mics, run.mics[::-1, :1]], axis=1)
    kept = np.delete(channels, np.s_[20:30], axis=-1)
    mask = np.delete(run.mask, np.s_[20:30], axis=-1)
    weights = kind().filter_weights(kept, mask, np.ones((2, FRAMES - 10), bool), 0.008)
    want = np.einsum("enbc,ecbn->ebn", weights.conj(), kept)
    np.testing.assert_allclose(np.delete(run.output, np.s_[20:30], axis=-1), want, atol=1e-12)


@pytest.mark.parametrize("kind", LINKED)
def test_case_36_a_named_loss_is_heard_from_its_frame_on(kind, rng):
    target, noise = two_source_scene(rng, SAMPLES)
    lost = np.zeros((2, FRAMES), dtype=bool)
    lost[:, [10, 11, 50]] = True
    clean = Run(kind(), rng, target=target, noise=noise)
    broken = Run(kind(), rng, lost, target=target, noise=noise)
    different = np.abs(clean.output - broken.output).max(axis=(0, 1)) > 1e-9
    first = int(np.flatnonzero(different)[0])
    assert first == (9 if kind in (Tango, InvertedDagger) and first == 9 else 10)


def test_concealment_by_the_local_filter_beats_silence():
    """20 % loss over twenty scenes: paired differences of at least three standard errors."""
    ratio = {"zero": [], "repeat": [], "local_only": []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        target, noise = two_source_scene(rng, SAMPLES)
        lost = rng.random((2, FRAMES)) < 0.2
        for name, values in ratio.items():
            node = MnTango(concealment=name, covariance=FAST)
            values.append(Run(node, rng, lost, target=target, noise=noise).si_sdr_db())
    for other in ("zero", "repeat"):
        gains = np.subtract(ratio["local_only"], ratio[other])
        assert three_standard_errors(gains) > 0


def test_inverted_star_with_oracle_masks_filters_the_same_channels_twice(rng):
    run = Run(InvertedStar(), rng)
    np.testing.assert_array_equal(run.enhanced.taps["filter_1"], run.enhanced.taps["filter_2"])


@pytest.mark.parametrize("first_filter", ["all", "local"])
@pytest.mark.parametrize("second_exchange", [True, False])
@pytest.mark.parametrize("kind", [InvertedDagger, InvertedStar])
def test_inverted_wirings(kind, first_filter, second_exchange, rng):
    node = kind(first_filter=first_filter, second_exchange=second_exchange)
    run = Run(node, rng)
    program = node.program(FRONT_END, run.codec)
    assert sum(isinstance(step, Send) for step in program) == 1 + second_exchange
    assert ("received_z" in run.enhanced.taps) == second_exchange
    if first_filter == "local":
        local = Run(Local(), rng, target=None)
        assert local.output.shape == run.output.shape


@pytest.mark.parametrize("kind", LINKED)
def test_sixteen_bits_are_nearly_exact(kind, rng):
    target, noise = two_source_scene(rng, SAMPLES)
    exact = Run(kind(), rng, target=target, noise=noise)
    coded = Run(kind(), rng, codec=Pcm(bits=16, headroom_db=24), target=target, noise=noise)
    error = np.sum(np.abs(coded.output - exact.output) ** 2) / np.sum(np.abs(exact.output) ** 2)
    # rounding is 77 dB down; -50 leaves room for what the filters amplify of it
    assert 10 * np.log10(error) < -50


def test_the_order_of_the_steps_is_the_difference():
    """MN-TANGO sends before it computes anything; TANGO only after its first stage, a hop
    behind."""
    mn_tango = MnTango().program(FrontEndSpec(), Pcm())
    assert mn_tango[0] == Send("reference", 4096, while_capturing=True)
    tango = Tango().program(FrontEndSpec(), Pcm())
    position = next(i for i, step in enumerate(tango) if isinstance(step, Send))
    assert tango[position] == Send("z", 4096)
    before = [step.name for step in tango[:position] if isinstance(step, Compute)]
    assert before == [
        "stft",
        "sn_dnn",
        "covariance_first",
        "weights_first",
        "apply_first",
        "istft_z",
    ]
    assert Receive("z", 1) in tango


def test_network_budgets_are_the_papers():
    """Table II: 65.65 and 30.79 MMAC/s at 62.5 frames a second; G = 8: 4.65."""

    def mmac_per_s(node):
        return macs_per_frame(node.program(FrontEndSpec(), Pcm()), "network") * 62.5 / 1e6

    assert mmac_per_s(Tango()) == pytest.approx(65.656, abs=1e-3)
    assert mmac_per_s(MnTango()) == pytest.approx(30.792, abs=1e-3)
    assert mmac_per_s(MnTango(groups=8)) == pytest.approx(4.648, abs=1e-3)


@pytest.mark.parametrize("kind", EVERY)
def test_memory_is_itemised_and_positive(kind):
    items = kind().memory(FrontEndSpec(), Pcm())
    assert all(item.bytes > 0 for item in items)
    assert len({item.name for item in items}) == len(items)


class Echo(FrameByFrame):
    """Hands the partner its reference and puts out what it got."""

    kind: Literal["echo"] = "echo"
    macs_per_frame: ClassVar[int] = 100

    def start(self, ear):
        return self

    def step(self, mics, partner):
        return mics[0], np.zeros_like(mics[0]) if partner is None else partner


def test_frame_by_frame_gets_the_partners_previous_frame(rng):
    lost = np.zeros((2, FRAMES), dtype=bool)
    lost[0, 7] = True
    run = Run(Echo(), rng, lost, codec=Float32(domain="spectrum"))
    np.testing.assert_array_equal(run.output[1, :, 1:], run.mics[0, 0, :, :-1])
    assert not run.output[0, :, 8].any()
    assert run.output[0, :, 9].any()


def test_frame_by_frame_refuses_samples():
    with pytest.raises(ValueError, match=r"link\.codec\.domain"):
        Echo().program(FrontEndSpec(), Pcm())
