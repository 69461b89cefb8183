"""The training set goes on where it was stopped, and mixtures are what they say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from hasim.cli.app import app
from hasim.dsp import stft
from hasim.networks.training import data
from hasim.networks.training.data import (
    TrainingSet,
    TrainingSetSpec,
    build,
    draw_responses,
    load,
)
from hasim.networks.training.mixing import HOP, Mixer, MixSpec, analyse, magnitude

SMALL = TrainingSetSpec(
    scenes=10, t60_s=(0.2, 0.25), length_m=(3.5, 4.0), width_m=(3.0, 3.5), taps=2048
)


def toy_responses(spec: TrainingSetSpec, scene: int) -> np.ndarray:
    """In place of rooms: the talker comes straight, the noise later and weaker to the left ear."""
    responses = np.zeros((4, 2, 2, spec.taps))
    responses[0, :, :, 50] = 1.0
    responses[1:, 0, :, 60 + scene] = 0.5
    responses[1:, 1, :, 50] = 1.0
    return responses


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    for kind in ("speech", "noise"):
        (tmp_path / kind).mkdir()
        for k in range(3):
            rate = 16000 if k else 8000
            signal = 0.05 * rng.standard_normal(rate * (2 + k))
            soundfile.write(tmp_path / kind / f"{kind}_{k}.wav", signal, rate)
    (tmp_path / "speech" / "notes.txt").write_text("not audio")
    return tmp_path / "speech", tmp_path / "noise"


@pytest.fixture
def training_set(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainingSet:
    monkeypatch.setattr(data, "draw_responses", toy_responses)
    build([folders[0]], [folders[1]], tmp_path / "set", SMALL)
    return load(tmp_path / "set")


def test_files_are_joined_at_16_khz(training_set: TrainingSet) -> None:
    lengths = np.diff(training_set.speech_files, axis=1)[:, 0]
    assert lengths.tolist() == [2 * 16000, 3 * 16000, 4 * 16000]
    assert training_set.speech.shape == (9 * 16000,)
    rms = np.sqrt(np.mean((training_set.speech / 32768.0) ** 2))
    # the resampled file has lost its upper half octave
    assert rms == pytest.approx(0.05, rel=0.1)
    assert training_set.response(9, 1).shape == (2, 2, 2048)


def test_a_killed_build_goes_on_to_the_same_bytes(
    folders: tuple[Path, Path],
    training_set: TrainingSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = {p.name: p.read_bytes() for p in (tmp_path / "set").iterdir()}
    drawn = []

    def dies(spec: TrainingSetSpec, scene: int) -> np.ndarray:
        drawn.append(scene)
        if scene == 9:
            raise KeyboardInterrupt
        return toy_responses(spec, scene)

    out = tmp_path / "again"
    monkeypatch.setattr(data, "draw_responses", dies)
    with pytest.raises(KeyboardInterrupt):
        build([folders[0]], [folders[1]], out, SMALL)
    with pytest.raises(ValueError, match=r"1 files are missing \(first: responses_0001\.npy\)"):
        load(out)
    drawn.clear()
    monkeypatch.setattr(data, "draw_responses", lambda s, k: drawn.append(k) or toy_responses(s, k))
    build([folders[0]], [folders[1]], out, SMALL)
    # the first shard was done
    assert drawn == [8, 9]
    assert {p.name: p.read_bytes() for p in out.iterdir()} == whole


def test_another_set_in_the_same_folder_is_refused(
    folders: tuple[Path, Path], training_set: TrainingSet, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a training set with another spec"):
        build([folders[0]], [folders[1]], tmp_path / "set", TrainingSetSpec(scenes=11))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no audio files for noise"):
        build([folders[0]], [tmp_path / "empty"], tmp_path / "other", SMALL)
    with pytest.raises(ValueError, match="no such file or folder"):
        build([tmp_path / "nowhere"], [folders[1]], tmp_path / "other", SMALL)
    with pytest.raises(ValueError, match="not a training set"):
        load(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        (
            "nan.wav",
            lambda path: _write_nan(path),
            "expected finite numbers, found nan at sample 9",
        ),
        ("cut.wav", lambda path: _write_cut(path), "the file is truncated"),
        ("rare.aiff", lambda path: soundfile.write(path, np.ones(99), 16000), "found AIFF"),
    ],
)
def test_recordings_that_a_scenario_refuses_are_refused_here_as_well(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path], None],
    message: str,
) -> None:
    bad = folders[1] / name
    write(bad)
    out = tmp_path / "set"
    command = ["data", "build", "--out", out, "--scenes", 2, "--jobs", 1, "--quiet"]
    command += ["--speech", folders[0], "--noise", folders[1]]
    answer = CliRunner().invoke(app, list(map(str, command)))
    assert answer.exit_code == 4
    (line,) = answer.stderr.splitlines()
    assert str(bad) in line
    assert message in line
    # Without it, the same folder takes the set.
    bad.unlink()
    monkeypatch.setattr(data, "draw_responses", toy_responses)
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 0
    assert load(out).noise.shape == (9 * 16000,)


def _write_nan(path: Path) -> None:
    signal = np.zeros(100, np.float32)
    signal[9] = np.nan
    soundfile.write(path, signal, 16000, subtype="FLOAT")


def _write_cut(path: Path) -> None:
    soundfile.write(path, np.ones(9999), 16000)
    path.write_bytes(path.read_bytes()[:9999])


def test_recordings_may_be_longer_than_those_of_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.full(601 * 4000, 0.25), 4000, subtype="PCM_16")
    joined = data._join(data._listing("noise", [path]))
    assert joined.shape == (601 * 16000,)
    assert joined[-8000] == pytest.approx(0.25 * 32767, rel=1e-3)


def test_rooms_are_seeded_and_put_the_noise_on_the_right() -> None:
    responses = draw_responses(SMALL, 3)
    np.testing.assert_array_equal(responses, draw_responses(SMALL, 3))
    assert responses.shape == (4, 2, 2, 2048)
    # (source, ear)
    energy = (responses**2).sum(axis=(2, 3))
    talker_db, right_db = (
        10 * np.log10(energy[0, 1] / energy[0, 0]),
        10 * np.log10(energy[2, 1] / energy[2, 0]),
    )
    assert abs(talker_db) < 2
    # head shadow at 90 degrees, less what the room fills in
    assert right_db > 1


@pytest.mark.slow
def test_two_processes_build_the_same_bytes_as_one(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    spec = SMALL.model_copy(update={"scenes": 9})
    contents = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        heard: list[tuple[int, int]] = []
        build(
            [folders[0]], [folders[1]], out, spec, processes, lambda d, n, h=heard: h.append((d, n))
        )
        assert heard == [(0, 2), (1, 2), (2, 2)]
        contents.append({p.name: p.read_bytes() for p in out.iterdir()})
    assert contents[0] == contents[1]


def mixer(training_set: TrainingSet, spec: MixSpec | None = None, side: str = "training") -> Mixer:
    return Mixer(training_set, spec or MixSpec(), 40, side, torch.device("cpu"))  # type: ignore[arg-type]


def test_batches_are_drawn_from_the_generator_alone(training_set: TrainingSet) -> None:
    one, two = (mixer(training_set).batch(np.random.default_rng(5), 3) for _ in range(2))
    assert torch.equal(one.mics, two.mics)
    assert one.mics.shape == (3, 2, 2, 257, 40)
    assert one.target.shape == one.mask.shape == (3, 2, 257, 40)
    other = mixer(training_set).batch(np.random.default_rng(6), 3)
    assert not torch.equal(one.mics, other.mics)


def test_level_and_signal_to_noise_ratio_are_those_asked_for(training_set: TrainingSet) -> None:
    spec = MixSpec(
        snr_db=(6.0, 6.0),
        target_level_dbfs=(-30.0, -30.0),
        real_noise=1.0,
        speech_shaped=0.0,
        babble=0.0,
        noise_colour_db=0.0,
        sensor_noise_dbfs=-160.0,
    )
    batch = Mixer(training_set, spec, 400, "training", torch.device("cpu")).batch(
        np.random.default_rng(1), 6
    )
    noise = batch.mics[:, :, 0] - batch.target
    target_db = 10 * torch.log10(batch.target.abs().square().mean((-2, -1)) / 192)
    snr_db = target_db - 10 * torch.log10(noise.abs().square().mean((-2, -1)) / 192)
    # stationary toy signals: what varies is the excerpt's stretch within the segment, 400 frames
    np.testing.assert_allclose(target_db, -30, atol=0.5)
    # the toy noise is 6 dB weaker at the far ear; mirrored scenes have their ears swapped
    np.testing.assert_allclose(snr_db.amax(1), 6, atol=0.8)
    np.testing.assert_allclose(snr_db.amin(1), 0, atol=0.8)
    left_is_far = snr_db[:, 0] > snr_db[:, 1]
    assert left_is_far.any()
    assert not left_is_far.all()
    np.testing.assert_allclose(batch.level, 10 ** (-30 / 20), rtol=1e-6)


def test_the_mask_is_the_ideal_amplitude_ratio(training_set: TrainingSet) -> None:
    batch = mixer(training_set).batch(np.random.default_rng(2), 2)
    speech, noise = batch.target.abs(), (batch.mics[:, :, 0] - batch.target).abs()
    np.testing.assert_allclose(batch.mask, speech / (speech + noise), atol=1e-6)


def test_validation_has_its_own_files_and_rooms(training_set: TrainingSet) -> None:
    train, valid = mixer(training_set), mixer(training_set, side="validation")
    for name in ("speech", "noise", "rooms"):
        ours, theirs = getattr(train, name).tolist(), getattr(valid, name).tolist()
        assert ours
        assert theirs
        assert not any(item in theirs for item in ours)


def test_frames_are_those_of_the_front_end() -> None:
    waveform = np.random.default_rng(0).standard_normal((2, 12 * HOP))
    ours = analyse(
        torch.tensor(waveform)
        # frame n begins with hop n, and ends with hop n + 1
    ).numpy()
    theirs = stft.analyse(waveform, stft.FrontEndSpec())[..., 1:12]
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("kind", ["real_noise", "speech_shaped", "babble"])
def test_every_kind_of_noise_gives_finite_mixtures(training_set: TrainingSet, kind: str) -> None:
    weights = {"real_noise": 0.0, "speech_shaped": 0.0, "babble": 0.0} | {kind: 1.0}
    batch = mixer(training_set, MixSpec(**weights)).batch(np.random.default_rng(0), 2)  # type: ignore[arg-type]
    assert torch.isfinite(torch.view_as_real(batch.mics)).all()
    assert batch.mask.min() >= 0
    assert batch.mask.max() <= 1


def test_magnitude_is_abs_also_at_zero() -> None:
    spectra = torch.randn(3, 40, dtype=torch.complex64)
    spectra[0, :5] = 0
    spectra.requires_grad_()
    grads = []
    for of in (magnitude, torch.abs):
        spectra.grad = None
        found = of(spectra)
        found.sum().backward()
        grads.append(spectra.grad)
        torch.testing.assert_close(found, spectra.abs(), atol=1e-11, rtol=1e-6)
    torch.testing.assert_close(grads[0], grads[1], atol=0, rtol=1e-5)
