"""SI-SDR, SI-SIR, SI-SAR, SNR, speech distortion: closed answers, an independent reference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hasim.metrics import Signals, Unscored
from hasim.metrics.scoring import score_run, score_stage
from hasim.metrics.si_sar import si_sar
from hasim.metrics.si_sdr import si_sdr
from hasim.metrics.si_sir import si_sir
from hasim.metrics.snr import noise_reduction_db, snr_improvement_db, speech_distortion_db

SAMPLES = 8000
TIME = np.arange(SAMPLES) / 16000


def tone(frequency_hz: float, power: float = 1.0) -> np.ndarray:
    """Whole periods of a sine: zero-mean, and at right angles to every other such tone."""
    return np.sqrt(2 * power) * np.sin(2 * np.pi * frequency_hz * TIME)


TARGET, NOISE, ARTEFACT = tone(200), tone(300), tone(500)


def signals(**changes: object) -> Signals:
    ears = dict(
        target=np.stack([TARGET, TARGET]),
        noise=np.stack([NOISE, tone(300, 4.0)]),
        estimate=np.stack([TARGET + 0.1 * NOISE + 0.2 * ARTEFACT] * 2),
        target_through=0.5 * np.stack([TARGET, TARGET]),
        noise_through=0.1 * np.stack([NOISE, NOISE]),
    )
    ears["noisy"] = ears["target"] + ears["noise"]
    return Signals(sample_rate_hz=16000, **(ears | changes))


@pytest.mark.parametrize("snr_db", [-20.0, 0.0, 7.3, 60.0])
def test_orthogonal_noise_gives_the_snr_exactly(snr_db):
    noisy = TARGET + 10 ** (-snr_db / 20) * NOISE
    assert si_sdr(TARGET, noisy) == pytest.approx(snr_db, abs=1e-9)
    assert si_sir(TARGET, NOISE, noisy) == pytest.approx(snr_db, abs=1e-9)


@pytest.mark.parametrize(
    ("form", "expected_db"),
    [("bss", 10 * np.log10((1 + 0.04) / 0.01)), ("le_roux", 10 * np.log10(1 / 0.01))],
)
def test_artefact_ratio_has_two_forms(form, expected_db):
    estimate = 3.0 * (TARGET + 0.2 * NOISE + 0.1 * ARTEFACT)
    assert si_sar(TARGET, NOISE, estimate, form) == pytest.approx(expected_db, abs=1e-9)


def test_scale_sign_and_offset_do_not_matter():
    rng = np.random.default_rng(1)
    target, noise, rest = rng.standard_normal((3, SAMPLES))
    estimate = target + 0.3 * noise + 0.2 * rest
    for a, b, c, offset in [(1e-4, 1.0, 1.0, 0.0), (-2.0, 1e3, -0.1, 5.0)]:
        same = [
            si_sdr(b * target, a * estimate + offset) - si_sdr(target, estimate),
            si_sir(b * target, c * noise, a * estimate + offset) - si_sir(target, noise, estimate),
            si_sar(b * target, c * noise, a * estimate + offset) - si_sar(target, noise, estimate),
        ]
        assert same == pytest.approx([0, 0, 0], abs=1e-9)


def test_agrees_with_fast_bss_eval():
    """An independent implementation of the BSS form, on correlated signals, in double precision."""
    fast_bss_eval = pytest.importorskip("fast_bss_eval")
    rng = np.random.default_rng(2)
    for mixing, artefacts in itertools.product([0.0, 0.4], [0.01, 0.5]):
        target, noise, rest = rng.standard_normal((3, SAMPLES)) + 0.1
        noise += mixing * target
        estimate = 0.7 * target + 0.2 * noise + artefacts * rest
        sdr, sir, sar, _ = (
            values[0]
            for values in fast_bss_eval.si_bss_eval_sources(
                np.stack([target, noise]),
                np.stack([estimate, noise + 0.1 * rest]),
                zero_mean=True,
                compute_permutation=True,
            )
        )
        ours = [
            si_sdr(target, estimate),
            si_sir(target, noise, estimate),
            si_sar(target, noise, estimate),
        ]
        assert ours == pytest.approx([sdr, sir, sar], abs=1e-6)
        # Target against artefacts alone follows from the other two, since the parts are orthogonal.
        le_roux = -10 * np.log10(10 ** (-sdr / 10) - 10 ** (-sir / 10))
        assert si_sar(target, noise, estimate, "le_roux") == pytest.approx(le_roux, abs=1e-6)


@pytest.mark.parametrize(
    ("estimate", "reason"),
    [
        (2.0 * TARGET, "no bound"),
        ((2.0 * TARGET).astype(np.float32), "no bound"),
        (np.zeros(SAMPLES), "silent output"),
        (np.full(SAMPLES, 0.5), "silent output"),
        (NOISE, "nothing of the target"),
    ],
)
def test_what_has_no_ratio_has_a_reason(estimate, reason):
    assert reason in si_sdr(TARGET, estimate).reason


def test_si_sir_and_si_sar_reasons():
    assert "nothing of the noise" in si_sir(TARGET, NOISE, TARGET + ARTEFACT).reason
    assert "nothing of the target" in si_sir(TARGET, NOISE, NOISE + ARTEFACT).reason
    assert "no artefacts" in si_sar(TARGET, NOISE, TARGET + NOISE).reason
    assert "nothing but artefacts" in si_sar(TARGET, NOISE, ARTEFACT).reason
    assert "silent reference" in si_sar(0 * TARGET, NOISE, ARTEFACT).reason
    assert "silent noise" in si_sir(TARGET, 0 * NOISE, TARGET).reason
    assert "copy of the target" in si_sir(TARGET, -2 * TARGET, TARGET + ARTEFACT).reason


def test_numbers_are_named_and_subtracted():
    numbers = score_run(["si_sdr", "si_sir", "si_sar"], signals())
    assert list(numbers)[:3] == [
        "si_sdr_noisy_db_left",
        "si_sdr_enhanced_db_left",
        "si_sdr_improvement_db_left",
    ]
    assert numbers["si_sdr_noisy_db_right"] == pytest.approx(-10 * np.log10(4), abs=1e-9)
    assert numbers["si_sdr_enhanced_db_right"] == pytest.approx(-10 * np.log10(0.05), abs=1e-9)
    assert numbers["si_sdr_improvement_db_right"] == pytest.approx(10 * np.log10(80), abs=1e-9)
    assert numbers["si_sir_improvement_db_left"] == pytest.approx(20, abs=1e-9)
    assert "no artefacts" in numbers["si_sar_noisy_db_left"].reason
    assert "noisy: no artefacts" in numbers["si_sar_improvement_db_left"].reason
    le_roux = score_run(["si_sar"], signals(sar="le_roux"))
    assert numbers["si_sar_enhanced_db_left"] == pytest.approx(10 * np.log10(1.01 / 0.04), abs=1e-9)
    assert le_roux["si_sar_enhanced_db_left"] == pytest.approx(10 * np.log10(1 / 0.04), abs=1e-9)


def test_one_more_waveform_scores_like_the_enhanced():
    whole = score_run(["si_sdr", "si_sir", "si_sar"], signals())
    stage = score_stage(["si_sar", "snr", "si_sdr"], signals(), signals().estimate)
    assert sorted(stage) == [
        "si_sar_db_left",
        "si_sar_db_right",
        "si_sdr_db_left",
        "si_sdr_db_right",
    ]
    assert stage["si_sdr_db_left"] == whole["si_sdr_enhanced_db_left"]
    assert stage["si_sar_db_right"] == whole["si_sar_enhanced_db_right"]


def test_snr_by_what_the_filters_let_through():
    numbers = score_run(["snr"], signals())
    assert numbers["snr_improvement_db_left"] == pytest.approx(20 * np.log10(5), abs=1e-9)
    assert numbers["noise_reduction_db_left"] == pytest.approx(20, abs=1e-9)
    assert numbers["noise_reduction_db_right"] == pytest.approx(20 * np.log10(20), abs=1e-9)
    assert numbers["speech_distortion_db_left"] == pytest.approx(20 * np.log10(0.5), abs=1e-9)
    # Against the early part as reference the filters are still judged by the whole talker.
    early = score_run(["snr"], signals(target=0.9 * signals().target))
    assert early["speech_distortion_db_left"] == pytest.approx(20 * np.log10(0.5), abs=1e-9)


def test_snr_reasons():
    silence = 0 * TARGET
    assert "silent talker" in snr_improvement_db(silence, NOISE, silence, NOISE).reason
    assert "nothing of the noise" in snr_improvement_db(TARGET, NOISE, TARGET, silence).reason
    assert "nothing of the talker" in snr_improvement_db(TARGET, NOISE, silence, NOISE).reason
    assert "silent noise" in noise_reduction_db(silence, silence).reason
    assert "no distortion" in speech_distortion_db(TARGET, TARGET).reason
    assert "silent talker" in speech_distortion_db(silence, TARGET).reason
    assert speech_distortion_db(TARGET, silence) == pytest.approx(0.0, abs=1e-12)


def test_an_algorithm_without_filters_to_send_through_has_no_snr_and_no_cues():
    numbers = score_run(["snr", "cues"], signals(target_through=None, noise_through=None))
    assert len(numbers) == 10
    assert all("cannot send" in number.reason for number in numbers.values())


def test_no_metric_lets_nan_or_infinity_out():
    """Every metric but PESQ and STOI (which have their own tests), on every mix of silences."""
    whole = {
        name: getattr(signals(), name)
        for name in ("target", "noise", "noisy", "estimate", "target_through", "noise_through")
    }
    for silent in itertools.product([False, True], repeat=len(whole)):
        changes = {
            name: 0 * signal
            for (name, signal), is_silent in zip(whole.items(), silent, strict=True)
            if is_silent
        }
        names = ["si_sdr", "si_sir", "si_sar", "snr", "cues"]
        for number in score_run(names, signals(**changes)).values():
            assert isinstance(number, Unscored) or np.isfinite(number)


def test_wrong_signals_are_refused_by_name():
    estimate = signals().estimate.copy()
    estimate[1, 3] = np.nan
    with pytest.raises(
        ValueError, match=r"estimate: must be finite \(got nan at ear 1, sample 3\)"
    ):
        score_run(["si_sdr"], signals(estimate=estimate))
    with pytest.raises(ValueError, match=r"target: must be \(2 ears, sample\)"):
        score_run(["si_sdr"], signals(target=TARGET))
    with pytest.raises(ValueError, match=r"must be among si_sdr, .*\(got 'haspi'\)"):
        score_run(["haspi"], signals())
