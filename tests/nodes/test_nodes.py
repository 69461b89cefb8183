"""Laws that every node algorithm obeys, on small synthetic scenes with hand-made timelines."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pytest

from hasim.dsp import wiener_filters
from hasim.dsp.covariance import Recursive, Utterance
from hasim.dsp.oracle_masks import oracle_mask
from hasim.dsp.stft import FrontEndSpec, analyse, frames_for
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
from hasim.nodes.arrivals import NEVER
from hasim.nodes.exchange import Exchange
from hasim.nodes.exchange_policy import Stale, StatsOnly
from hasim.nodes.filter_weights import Updates
from hasim.nodes.packets import filtered_lag_frames
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
from hasim.simulation.program import Compute, Receive, Send, macs_per_frame
from tests.conftest import hand_made_timeline, two_source_scene

FRONT_END = FrontEndSpec(window=256, hop=128)
SAMPLES = 12_000
FRAMES = frames_for(SAMPLES, FRONT_END)
FAST = Recursive(tau_s=0.3)

SENDS_FILTERED = (Tango, InvertedDagger, InvertedStar)
LINKED = [MnTango, Centralised, Tango, InvertedDagger, InvertedStar]
EVERY = [Passthrough, Local, *LINKED]


class Run:
    """A node on a synthetic scene."""

    def __init__(
        self, node, rng, lost=None, codec=None, computed=None, target=None, noise=None, age=0
    ):
        if target is None:
            target, noise = two_source_scene(rng, SAMPLES)
        self.codec = codec or Float32()
        lags = dict.fromkeys(("reference", "mics"), -age)
        lags["z"] = filtered_lag_frames(self.codec, FRONT_END) - age
        losses = None if lost is None else dict.fromkeys(("reference", "mics", "z", "frame"), lost)
        timeline = hand_made_timeline(FRONT_END, SAMPLES, losses, lags, computed)
        mixture = self.samples = target + noise
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
    last = FRAMES - 1 if kind in SENDS_FILTERED else FRAMES  # z of the last hop is never sent
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
    lag = 1 if kind in SENDS_FILTERED else 0
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
    weights = kind().filter_weights(Updates(kept, mask, np.ones((2, FRAMES - 10), bool)), 0.008)
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
    assert first == (9 if kind in SENDS_FILTERED and first == 9 else 10)


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


def test_inverted_star_with_one_exchange_filters_the_same_channels_twice(rng):
    run = Run(InvertedStar(second_exchange=False), rng)
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


def test_frame_by_frame_refuses_samples_and_copies():
    with pytest.raises(ValueError, match=r"link\.codec\.domain"):
        Echo().program(FrontEndSpec(), Pcm())
    with pytest.raises(ValueError, match=r"link\.codec\.fec_bits"):
        Echo().program(FrontEndSpec(), Pcm(domain="spectrum", fec_bits=4))


@pytest.mark.parametrize("codec", [ErbBands(bits=12, linear_bins=32, bands=16), Allocated(bits=8)])
def test_frame_by_frame_goes_through_any_codec_of_spectra(codec, rng):
    run = Run(Echo(), rng, codec=codec)
    want = codec.linear(np.swapaxes(run.mics[0, 0, :, :-1], 0, 1)).T
    error = np.sum(np.abs(run.output[1, :, 1:] - want) ** 2) / np.sum(np.abs(want) ** 2)
    assert 10 * np.log10(error) < -30
    program = Echo().program(FRONT_END, codec)
    assert {"encode_frame", "decode_frame"} <= {getattr(step, "name", "") for step in program}


CONCEALMENTS = ["zero", "repeat", "repeat_fade", "repeat_phase", "local_only", "predict"]
POLICIES = [{}, {"exchange": {"kind": "stale", "frames": 2}}, {"learn_from": "late_too"}]


def with_policy(kind, **settings):
    return kind.model_validate({"covariance": {"tau_s": 0.3}} | settings)


@pytest.mark.parametrize("kind", [MnTango, Tango])
@pytest.mark.parametrize("concealment", CONCEALMENTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_every_concealment_is_linear_in_the_signals(kind, concealment, policy, rng):
    """Superposition through whatever fills the gaps, copies of packets included."""
    node = with_policy(kind, concealment=concealment, **policy)
    codec = Pcm(bits=16, fec_bits=16, headroom_db=24)
    age = node.exchange.age_frames
    run = Run(node, rng, rng.random((2, FRAMES)) < 0.2, codec=codec, age=age)
    through = run.enhanced.through(run.target) + run.enhanced.through(run.noise)
    # The output is rounded and the parts are not: 16 bits and what the filters amplify of them
    # leave -48 dB; a gap that is filled otherwise leaves -20.
    error = np.sum(np.abs(through - run.output) ** 2) / np.sum(np.abs(run.output) ** 2)
    assert 10 * np.log10(error) < -40


@pytest.mark.parametrize("concealment", CONCEALMENTS)
@pytest.mark.parametrize("policy", POLICIES)
def test_concealment_does_not_look_ahead(concealment, policy, rng):
    target, noise = two_source_scene(rng, SAMPLES)
    changed = target.copy()
    changed[..., 8_000:] = 0.0
    lost = rng.random((2, FRAMES)) < 0.2
    node = with_policy(MnTango, concealment=concealment, **policy)
    settings = {"codec": Float32(), "age": node.exchange.age_frames}
    first, second = (
        Run(node, rng, lost, target=x, noise=noise, **settings) for x in (target, changed)
    )
    frames = 8_000 // FRONT_END.hop
    np.testing.assert_allclose(second.output[..., :frames], first.output[..., :frames], atol=1e-12)


def test_an_erb_coded_partner_is_linear_as_well(rng):
    run = Run(MnTango(covariance=FAST), rng, codec=ErbBands(bits=16, linear_bins=32, bands=16))
    through = run.enhanced.through(run.target) + run.enhanced.through(run.noise)
    error = np.sum(np.abs(through - run.output) ** 2) / np.sum(np.abs(run.output) ** 2)
    assert 10 * np.log10(error) < -50


def test_predicting_the_partner_changes_nothing_for_the_best_linear_filter(rng):
    """With mu = 1 the SDW-MWF estimates the speech best in the mean square, and the best estimate
    from the local signals is the best estimate from local and remote ones with the remote one
    predicted. So `predict` is the local filter of the same covariances; the loading of R_n leaves
    1e-4."""
    node = MnTango(filter="sdw_mwf", concealment="predict", covariance=Utterance())
    lost = np.zeros((2, FRAMES), dtype=bool)
    lost[:, 40:50] = True
    run = Run(node, rng, lost, codec=Float32(domain="spectrum"))
    kept = np.delete(np.arange(FRAMES), np.s_[40:50])
    local = Local(filter="sdw_mwf", covariance=Utterance())
    weights = local.filter_weights(
        Updates(run.mics[..., kept], run.mask[..., kept], np.ones((2, len(kept)), bool)), 0.008
    )
    want = wiener_filters.apply(weights, run.mics)[..., 40:50]
    np.testing.assert_allclose(run.output[..., 40:50], want, atol=1e-4 * np.abs(want).max())


def test_what_two_microphones_determine_is_predicted_exactly(rng):
    """Two sources, two local microphones, no other noise: the partner's signal follows from the
    local ones, so the filter with the prediction does what it would with the signal."""
    steering = rng.standard_normal((2, 5, 3)) + 1j * rng.standard_normal((2, 5, 3))
    speech, noise = (s[:, :, None] * s[:, None].conj() for s in steering)
    noise += 1e-9 * np.eye(3)
    node = MnTango(concealment="predict", mu=0.5)
    both = node._with_prediction(speech, noise)
    sources = rng.standard_normal((2, 5, 1)) + 1j * rng.standard_normal((2, 5, 1))
    heard = np.sum(steering * sources, axis=0)  # (bin, channel)
    with_signal, predicted = (
        np.sum(both[:, part].conj() * heard, axis=-1) for part in (slice(0, 3), slice(3, 6))
    )
    np.testing.assert_allclose(predicted, with_signal, rtol=1e-3)
    assert not both[:, 5].any()


@pytest.mark.parametrize("every", [1, 3])
def test_late_frames_update_the_covariances_when_they_come(every, rng):
    """Against a literal loop: each update uses the frames that have come since, oldest first."""
    channels = rng.standard_normal((2, 3, 4, 30)) + 1j * rng.standard_normal((2, 3, 4, 30))
    mask = rng.random((2, 4, 30))
    available = np.arange(30) + rng.choice([0, 0, 1, 4], (2, 30))
    available[rng.random((2, 30)) < 0.2] = NEVER
    node = MnTango(covariance=Recursive(tau_s=0.3, every=every), filter="sdw_mwf")
    weights = node.filter_weights(Updates(channels, mask, available < NEVER, available), 0.008)
    forgetting = np.exp(-every * 0.008 / 0.3)
    for ear in (0, 1):
        r_s, r_n = np.zeros((2, 4, 3, 3), dtype=complex)
        for frame in range(30):
            new = (
                (available[ear] <= frame) & (available[ear] > frame - every) & (frame % every == 0)
            )
            for late in np.flatnonzero(new & (np.arange(30) % every == 0)):
                y = channels[ear, :, :, late].T
                outer = y[:, :, None] * y[:, None].conj()
                m = mask[ear, :, late][:, None, None]
                r_s = forgetting * r_s + (1 - forgetting) * m**2 * outer
                r_n = forgetting * r_n + (1 - forgetting) * (1 - m) ** 2 * outer
            want = wiener_filters.weights("sdw_mwf", r_s, r_n)
            np.testing.assert_allclose(weights[ear, frame], want, atol=1e-9)


def test_stale_is_the_partner_delayed(rng):
    """Filtering with frames two older is what filtering with a partner delayed by two hops is."""
    node = MnTango(exchange=Stale(frames=2), covariance=FAST)
    run = Run(node, rng, codec=Float32(domain="spectrum"), age=2)
    older = np.roll(run.mics[::-1, :1], 2, axis=-1)
    channels = np.concatenate([run.mics, older], axis=1)
    update = np.ones((2, FRAMES), dtype=bool)
    update[:, :2] = False
    weights = node.filter_weights(Updates(channels, run.mask, update), 0.008)
    want = wiener_filters.apply(weights, channels)
    np.testing.assert_allclose(run.output[..., 2:], want[..., 2:], atol=1e-12)


def test_stats_only_filters_local_signals_with_what_was_learnt_of_both(rng):
    """Each frame's covariances hold the frames up to three before, local and remote of one time."""
    node = MnTango(exchange=StatsOnly(frames=3), concealment="predict", covariance=FAST)
    run = Run(node, rng, codec=Float32(domain="spectrum"), age=3)
    channels = np.concatenate([run.mics, run.mics[::-1, :1]], axis=1)
    learnt = node.filter_weights(
        Updates(channels, run.mask, np.ones((2, FRAMES), bool)), 0.008, node._with_prediction
    )[..., 3:5]
    want = wiener_filters.apply(learnt[:, :-3], run.mics[..., 3:])
    np.testing.assert_allclose(run.output[..., 3:], want, atol=1e-12)
    assert not run.output[..., :3].any()  # nothing has been learnt yet


def test_choices_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"concealment: must be predict.*got local_only"):
        MnTango(exchange=StatsOnly())
    with pytest.raises(ValueError, match=r"learn_from: must be in_time or late_too"):
        MnTango(concealment="predict", learn_from="all")


def lags(program):
    return {step.channel: step.lag_frames for step in program if isinstance(step, Receive)}


def test_older_frames_and_slow_codecs_shift_what_is_waited_for():
    front_end, lc3 = FrontEndSpec(), Lc3.model_construct(frame_us=10_000, octets=40)
    assert lags(MnTango(exchange=Stale(frames=2)).program(front_end, Pcm())) == {"reference": -2}
    assert lags(Tango(exchange=Stale()).program(front_end, Pcm())) == {"z": 0}
    assert lags(MnTango().program(front_end, lc3)) == {"reference": 1}
    assert lags(Tango().program(front_end, lc3)) == {"z": 2}
    dagger = InvertedDagger(exchange=Stale()).program(front_end, Pcm(domain="spectrum"))
    assert lags(dagger) == {"reference": -1, "z": -1}


def test_codecs_that_compute_are_charged_and_send_after_it():
    program = MnTango().program(FrontEndSpec(), Adpcm())
    assert program[0] == Compute("encode_reference", 8 * 256, "int16")
    assert program[1] == Send("reference", 256 * 4 + 40, while_capturing=False)
    assert Compute("decode_reference", 5 * 256, "int16") in program
    with_copy = MnTango().program(FrontEndSpec(), Adpcm(fec_bits=2))
    assert with_copy[0].macs == 2 * 8 * 256


@pytest.mark.parametrize(("concealment", "step"), [("predict", "predict"), ("zero", None)])
def test_concealment_is_charged(concealment, step):
    node = MnTango(concealment=concealment)
    names = [s.name for s in node.program(FrontEndSpec(), Pcm()) if isinstance(s, Compute)]
    assert ("predict" in names) == (step is not None)
    assert "covariance_fallback" not in names
    assert "covariance_fallback" in [
        s.name for s in MnTango().program(FrontEndSpec(), Pcm()) if isinstance(s, Compute)
    ]


def test_late_updates_need_memory():
    def ram(node):
        return sum(item.bytes for item in node.memory(FrontEndSpec(), Pcm()))

    assert ram(MnTango(learn_from="late_too")) - ram(MnTango()) == 4 * 8 * 5 * 257


def test_allocated_bits_follow_the_filter(rng):
    """The first pass's gains reach the codec: at one bit the error of the output is smaller than
    with bits by level alone, over ten scenes by three standard errors."""
    gains = []
    for seed in range(10):
        target, noise = two_source_scene(np.random.default_rng(seed), SAMPLES)
        exact = Run(MnTango(covariance=FAST), rng, target=target, noise=noise).output
        node = MnTango(covariance=FAST)
        aware = Run(node, rng, codec=Allocated(bits=1), target=target, noise=noise)
        masks = lambda network, *inputs, aware=aware: aware.mask  # noqa: E731
        unaware = node._enhance(aware.mics, aware.exchange, masks).output
        errors = [np.sum(np.abs(output - exact) ** 2) for output in (unaware, aware.output)]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert three_standard_errors(gains) > 0


@pytest.mark.slow
@pytest.mark.parametrize("concealment", ["zero", "local_only", "predict"])
def test_case_39_quality_never_rises_with_loss(concealment):
    """Means over 24 scenes; each step up in loss costs SNR and SI-SDR, or at least does not help
    by more than the paired differences' interval of three standard errors."""
    losses = (0.0, 0.05, 0.2, 0.5, 0.8)
    quality = np.zeros((24, len(losses), 2))
    for seed in range(24):
        target, noise = two_source_scene(np.random.default_rng(seed), SAMPLES)
        draw = np.random.default_rng(100 + seed).random((2, FRAMES))
        for i, loss in enumerate(losses):
            node = MnTango(concealment=concealment, covariance=FAST)
            run = Run(node, None, draw < loss, target=target, noise=noise)
            quality[seed, i] = run.snr_db(), run.si_sdr_db()
    steps = np.diff(quality, axis=1)
    for i in range(len(losses) - 1):
        for metric in range(2):
            assert three_standard_errors(steps[:, i, metric]) < 0
    assert quality[:, -1].mean() < quality[:, 0].mean() - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "codecs",
    [
        [Pcm(bits=bits) for bits in (1, 2, 4, 6, 8, 12, 16)],
        [MuLaw(bits=bits) for bits in (1, 2, 4, 6, 8, 12, 16)],
        [BlockFloat(bits=bits) for bits in (1, 2, 4, 6, 8, 12, 16)],
        [Adpcm(bits=bits) for bits in (2, 3, 4, 5)],
        [Allocated(bits=bits) for bits in (1, 2, 3, 4, 6)],
        [ErbBands(bits=bits, linear_bins=32, bands=16) for bits in (1, 2, 4, 6, 8)],
    ],
    ids=lambda codecs: codecs[0].kind,
)
def test_case_39_quality_never_falls_with_bits(codecs):
    """Means over 24 scenes; each step up in bits helps SI-SDR, or at least costs no more than the
    paired differences' interval of three standard errors."""
    quality = np.zeros((24, len(codecs)))
    for seed in range(24):
        target, noise = two_source_scene(np.random.default_rng(seed), SAMPLES)
        for i, codec in enumerate(codecs):
            run = Run(MnTango(covariance=FAST), None, codec=codec, target=target, noise=noise)
            quality[seed, i] = run.si_sdr_db()
    for step in np.diff(quality, axis=1).T:
        assert three_standard_errors(-step) < 0
    assert quality[:, -1].mean() > quality[:, 0].mean()


@pytest.mark.parametrize("node", [Local, MnTango, Centralised])
@pytest.mark.parametrize("every", [1, 5])
def test_after_a_reboot_nothing_is_known_of_before(node, every, rng):
    """From then on the left ear sounds as if it had never learnt before; the right one as ever."""
    node = node(covariance=Recursive(tau_s=0.3, every=every))
    off = np.zeros((2, FRAMES), dtype=bool)
    off[0, 30:41] = True
    run = Run(node, np.random.default_rng(3), computed=~off)
    restarted = np.zeros((2, FRAMES), dtype=np.int8)
    restarted[0, 41] = 1
    timeline = replace(run.exchange.timeline, restarted=restarted)
    exchange = Exchange(timeline, run.codec, FRONT_END, run.mics, run.samples)
    rebooted = node.enhance(run.mics, exchange, lambda *_: run.mask).output
    np.testing.assert_array_equal(rebooted[1], run.output[1])
    np.testing.assert_array_equal(rebooted[0, :, :41], run.output[0, :, :41])
    late = np.arange(FRAMES) >= 41
    fresh = Run(node, np.random.default_rng(3), computed=np.stack([late, ~off[1]]))
    np.testing.assert_array_equal(rebooted[0, :, 41:], fresh.output[0, :, 41:])
    assert np.any(rebooted[0, :, 41:] != run.output[0, :, 41:])


@pytest.mark.parametrize("node", [Local, Tango, MnTango])
def test_networks_may_rest_for_some_frames(node, rng):
    """The last mask stays, and the networks cost a third; a skipped run leaves the one before."""
    computed = np.ones((2, FRAMES), dtype=bool)
    computed[0, 30] = False
    run = Run(node(masks="oracle", mask_every=3), rng, computed=computed)
    number = np.arange(FRAMES)
    for mask in run.enhanced.masks.values():
        np.testing.assert_array_equal(mask[1], run.mask[1][:, number // 3 * 3])
        np.testing.assert_array_equal(mask[0, :, 30:33], run.mask[0][:, [27, 27, 27]])
        np.testing.assert_array_equal(mask[0, :, 33:36], run.mask[0][:, [33, 33, 33]])
    rare = node(masks="oracle", mask_every=3)
    cost = [macs_per_frame(n.program(FRONT_END, Pcm()), "network") for n in (node(), rare)]
    assert cost[1] == pytest.approx(cost[0] / 3)
