"""Scenes: levels, signal-to-noise ratios, parts kept apart, repetition, shadow of the head."""

from __future__ import annotations

import ast
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy import ndarray

from hasim.acoustics import scene as scenes
from hasim.acoustics.head import FreeFieldHead, SofaHead, SphereHead
from hasim.acoustics.room import RoomSpec
from hasim.acoustics.scene import BlockedSpec, MismatchSpec, PlacedSource, Scene, SceneSpec, render
from hasim.acoustics.sources import (
    BundledSource,
    FileSource,
    SourceSpec,
    SpeechShapedNoise,
    WhiteNoise,
    active_level,
)

RATE_HZ = 16_000
SMALL = RoomSpec(size_m=(3.6, 3.0, 2.4), t60_s=0.15)
WHITE = PlacedSource(azimuth_deg=-90.0, source=WhiteNoise())


def streams(seed: int = 0) -> Callable[[str], np.random.Generator]:
    return lambda name: np.random.default_rng([seed, zlib.crc32(name.encode())])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("responses")


def rendered(folder: Path, seed: int = 0, seconds: float = 2.0, **changes: object) -> Scene:
    spec = SceneSpec(**{"room": SMALL, "noises": (WHITE,), **changes})
    return render(
        spec,
        samples=int(seconds * RATE_HZ),
        sample_rate_hz=RATE_HZ,
        stream=streams(seed),
        cache_folder=folder,
    )


def level_db(signal: ndarray) -> ndarray:
    return 10 * np.log10(np.mean(signal**2, axis=-1))


def test_shapes_and_parts(folder: Path) -> None:
    scene = rendered(folder, noises=(WHITE, PlacedSource(azimuth_deg=45.0)))
    assert scene.dry.shape == (2 * RATE_HZ,)
    for image in (scene.target, *scene.noises):
        for part in (image.full, image.early, image.direct):
            assert part.shape == (2, 2, 2 * RATE_HZ)
            assert part.dtype == np.float64
    np.testing.assert_allclose(
        scene.mixture,
        scene.target.full + scene.noises[0].full + scene.noises[1].full + scene.sensor_noise,
    )
    assert list(scene.positions_m) == ["listener", "target", "noise_1", "noise_2"]
    x, y, z = scene.positions_m["listener"]
    np.testing.assert_allclose(scene.positions_m["target"], (x + 1, y, z))
    np.testing.assert_allclose(scene.positions_m["noise_1"], (x, y - 1, z), atol=1e-12)
    assert scene.t60_s == pytest.approx(0.15, rel=0.15)


def test_levels(folder: Path) -> None:
    scene = rendered(folder, target_level_db_spl=70.0, full_scale_db_spl=110.0)
    speech = 20 * np.log10(active_level(scene.target.full[0, 0], RATE_HZ))
    assert speech == pytest.approx(-40, abs=1e-9)
    # 25 dB SPL of self-noise; 128 000 random numbers scatter by 0.02 dB
    assert level_db(scene.sensor_noise.ravel()) == pytest.approx(25 - 110, abs=0.1)
    silent = rendered(folder, sensor_noise_db_spl=None)
    assert not silent.sensor_noise.any()


def test_dry_is_as_loud_as_one_metre_away_in_the_open(folder: Path) -> None:
    scene = rendered(folder, room=RoomSpec(t60_s=0), head=FreeFieldHead(radius_m=0.05))
    direct = scene.target.full[0, 0]
    # the microphone is 6 cm from a point that is 1 m away
    assert level_db(direct) == pytest.approx(level_db(scene.dry), abs=0.6)
    assert scene.t60_s is None
    lag = np.argmax(np.correlate(direct[:4000], scene.dry[:4000], "full")) - 3999
    assert lag == pytest.approx(1.0 / 343 * RATE_HZ, abs=2)


@pytest.mark.parametrize("snr_at", ["left", "right", "better_ear"])
def test_snr_holds_where_it_is_asked_for(folder: Path, snr_at: str) -> None:
    scene = rendered(folder, snr_db=3.5, snr_at=snr_at)
    for ear in (0, 1):
        noise = scene.noises[0].full[ear, 0]
        achieved = level_db(scene.target.full[ear, 0]) - level_db(noise)
        assert scene.snr_db[ear] == pytest.approx(achieved, abs=1e-9)
    held = {"left": scene.snr_db[0], "right": scene.snr_db[1], "better_ear": max(scene.snr_db)}
    assert held[snr_at] == pytest.approx(3.5, abs=1e-9)
    assert scene.snr_db[0] > scene.snr_db[1]  # the noise is on the right


def test_snr_of_the_dry_signals(folder: Path) -> None:
    """In the open, with no head and from one place, dry signals and images have one ratio."""
    noise = PlacedSource(source=WhiteNoise())
    scene = rendered(
        folder,
        room=RoomSpec(t60_s=0),
        head=FreeFieldHead(),
        noises=(noise,),
        snr_db=-2.0,
        snr_at="dry",
    )
    # up to the 3 ms that fall off the end, and the uppermost band
    np.testing.assert_allclose(scene.snr_db, -2.0, atol=0.2)


def test_noises_keep_their_levels_to_each_other(folder: Path) -> None:
    at = {"room": RoomSpec(t60_s=0), "head": FreeFieldHead()}
    noises = tuple(
        PlacedSource(azimuth_deg=0.0, distance_m=1.0, source=WhiteNoise(), level_db=level)
        for level in (0.0, -6.0)
    )
    scene = rendered(folder, noises=noises, **at)
    first, second = (level_db(image.full[0, 0]) for image in scene.noises)
    assert first - second == pytest.approx(6.0, abs=0.1)  # two draws of 32 000 numbers
    assert scene.snr_db[0] == pytest.approx(0, abs=1e-9)


def test_the_talker_has_no_relative_level() -> None:
    with pytest.raises(ValueError, match=r"target\.level_db: must be 0 \(got 3\)"):
        SceneSpec(target=PlacedSource(level_db=3.0))


def test_sources_outside_the_room_are_named() -> None:
    message = (
        r"noises\.0\.distance_m: must be below 1\.44, where at azimuth -90 "
        r"the room of 3\.6 x 3 x 2\.4 m ends \(got 2\)"
    )
    with pytest.raises(ValueError, match=message):
        SceneSpec(room=SMALL, noises=(PlacedSource(azimuth_deg=-90.0, distance_m=2.0),))
    SceneSpec(room=RoomSpec(t60_s=0), noises=(PlacedSource(azimuth_deg=-90.0, distance_m=9.0),))


def test_same_seed_same_bytes_and_streams_by_name(folder: Path, tmp_path: Path) -> None:
    first, cold = rendered(folder), rendered(tmp_path)
    assert first.mixture.tobytes() == cold.mixture.tobytes()
    assert rendered(folder, seed=1).mixture.tobytes() != first.mixture.tobytes()
    other = rendered(folder, noises=(WHITE, WHITE.model_copy(update={"azimuth_deg": 45.0})))
    assert other.target.full.tobytes() == first.target.full.tobytes()
    assert other.sensor_noise.tobytes() == first.sensor_noise.tobytes()


def test_a_stored_response_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered(folder)

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("hasim.acoustics.room.response", never)
    rendered(folder)
    with pytest.raises(AssertionError, match="computed again"):
        rendered(folder, head=SphereHead(microphones="bte_2_wide"))


def test_a_head_is_what_its_file_contains(folder: Path, tmp_path: Path) -> None:
    """The same path with other responses is another head."""
    import sofar

    path = tmp_path / "head.sofa"
    gaps_db = []
    for right in (0.5, 0.25):
        data = sofar.Sofa("SimpleFreeFieldHRIR")
        data.SourcePosition = np.array([[0, 0, 1.0], [90, 0, 1.0], [-90, 0, 1.0]])
        data.Data_IR = np.zeros((3, 2, 8))
        data.Data_IR[:, :, 0] = [1.0, right]
        data.Data_SamplingRate = RATE_HZ
        data.Data_Delay = np.zeros((1, 2))
        sofar.write_sofa(str(path), data)
        scene = rendered(folder, head=SofaHead(path=path))
        left_db, right_db = level_db(scene.target.full[:, 0])
        gaps_db.append(left_db - right_db)
    np.testing.assert_allclose(gaps_db, 20 * np.log10([2, 4]), atol=0.01)


def test_mismatch_turns_target_and_noise_alike(folder: Path) -> None:
    even = rendered(folder)
    uneven = rendered(folder, mismatch=MismatchSpec(gain_db=2.0, phase_deg=20.0))
    frequencies = slice(1000, 12_000)  # of 32 000 / 2: away from both ends
    factors = []
    for before, after in ((even.target, uneven.target), (even.noises[0], uneven.noises[0])):
        for name in ("full", "early", "direct"):
            spectra = [np.fft.rfft(getattr(i, name))[..., frequencies] for i in (before, after)]
            cross = np.sum(spectra[1] * np.conj(spectra[0]), axis=-1)
            factors.append(cross / np.sum(np.abs(spectra[0]) ** 2, axis=-1))
            rest = np.abs(spectra[1] - factors[-1][..., None] * spectra[0]) ** 2
            # one factor says it all, but for what the rotation pushes over the scene's end
            assert np.all(rest.sum(-1) < 1e-3 * np.sum(np.abs(spectra[0]) ** 2, axis=-1))
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], (6, 2, 2)), atol=0.01)
    gains_db, phases_deg = 20 * np.log10(np.abs(factors[0])), np.rad2deg(np.angle(factors[0]))
    assert 0.5 < np.std(gains_db) < 5
    assert 5 < np.std(phases_deg) < 50
    np.testing.assert_array_equal(uneven.sensor_noise, even.sensor_noise)


def test_measured_responses_replace_room_and_head(folder: Path, tmp_path: Path) -> None:
    response = np.zeros((400, 4))
    response[[50, 51, 52, 53], range(4)] = [0.8, 0.6, 0.4, 0.2]
    soundfile.write(tmp_path / "a.wav", response, RATE_HZ, subtype="DOUBLE")
    noise = WHITE.model_copy(update={"response": tmp_path / "a.wav", "distance_m": 9.0})
    scene = rendered(folder, noises=(noise,))
    image = scene.noises[0].full.reshape(4, -1)
    np.testing.assert_allclose(image[1, 1:], 0.75 * image[0, :-1], atol=1e-12)
    np.testing.assert_allclose(image[3, 3:], 0.25 * image[0, :-3], atol=1e-12)
    np.testing.assert_allclose(image[:, :50], 0, atol=1e-12)
    assert scene.snr_db[1] - scene.snr_db[0] == pytest.approx(
        20 * np.log10(0.8 / 0.4) + np.subtract(*level_db(scene.target.full[::-1, 0])), abs=0.1
    )


def test_a_silent_ear_is_an_error(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((400, 4)), RATE_HZ)
    silent = PlacedSource(source=WhiteNoise(), response=tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"scene\.target: makes no sound at the left"):
        rendered(folder, target=silent)
    with pytest.raises(ValueError, match=r"scene\.noises: make no sound"):
        rendered(folder, noises=(silent,))


def test_without_noises(folder: Path) -> None:
    scene = rendered(folder, noises=())
    assert scene.snr_db == (np.inf, np.inf)
    np.testing.assert_array_equal(scene.noise, scene.sensor_noise)


def test_a_source_from_a_file(folder: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, 3 * RATE_HZ), RATE_HZ)
    scene = rendered(folder, target=PlacedSource(source=FileSource(path=tmp_path / "a.wav")))
    assert scene.target.full.any()


# ------------------------------------------------------------------------------ shadow of the head


def gap_db(
    folder: Path, source: SourceSpec, azimuth_deg: float, head: SphereHead | FreeFieldHead
) -> float:
    """By how much the noise, from so far that distances are equal, is louder at the right ear."""
    noise = PlacedSource(azimuth_deg=azimuth_deg, distance_m=20.0, source=source)
    scene = rendered(folder, room=RoomSpec(t60_s=0), head=head, noises=(noise,), seconds=4.0)
    left_db, right_db = level_db(scene.noises[0].full[:, 0])
    return float(right_db - left_db)


@pytest.mark.parametrize("azimuth_deg", [-45.0, -90.0])
def test_gap_between_the_ears_in_the_open(folder: Path, azimuth_deg: float) -> None:
    """Plane waves past a sphere: speech-shaped noise about 1.5 dB, markets and rain 3 to 7 dB,
    white noise 8.4 dB; half a decibel of that hangs on where on the head the microphones sit."""
    gaps = {
        name: gap_db(folder, source, azimuth_deg, SphereHead())
        for name, source in {
            "speech": SpeechShapedNoise(),
            "market": BundledSource(name="noise_market"),
            "rain": BundledSource(name="noise_rain"),
            "white": WhiteNoise(),
        }.items()
    }
    assert 1.0 < gaps["speech"] < 2.0
    assert 2.7 < gaps["market"] < 7.0
    assert 3.0 < gaps["rain"] < 7.0
    assert gaps["white"] == pytest.approx(8.4, abs=1.0)


def test_no_gap_without_a_head(folder: Path) -> None:
    gap = gap_db(folder, SpeechShapedNoise(), -90.0, FreeFieldHead())
    assert gap == pytest.approx(20 * np.log10(20.083 / 19.917), abs=0.03)


def test_the_shadow_survives_the_room(folder: Path) -> None:
    scene = rendered(folder, noises=(PlacedSource(azimuth_deg=-90.0, source=WhiteNoise()),))
    left_db, right_db = level_db(scene.noises[0].full[:, 0])
    assert 4 < right_db - left_db < 9


def test_blocked_microphone_hears_less_from_then_on(folder: Path) -> None:
    """20 dB less after one second, talker and noise alike; its own noise is as it was."""
    blocked = BlockedSpec(ear="right", mic="rear", from_s=1.0, gain_db=-20.0)
    closed, opened = rendered(folder, blocked=(blocked,)), rendered(folder)
    gain = np.ones((2, 2, 2 * RATE_HZ))
    gain[1, 1, RATE_HZ:] = 0.1
    for name in ("full", "early", "direct"):
        expected = getattr(opened.target, name) * gain
        np.testing.assert_allclose(getattr(closed.target, name), expected, rtol=1e-12)
    np.testing.assert_allclose(closed.noises[0].full, opened.noises[0].full * gain, rtol=1e-12)
    np.testing.assert_array_equal(closed.sensor_noise, opened.sensor_noise)
    assert closed.snr_db == opened.snr_db  # at the front


def test_the_key_of_a_response_names_all_code_that_computes_it():
    """Modules of `acoustics` that those modules import, at any depth, are among them."""
    named = {module.__name__ for module in scenes.RESPONSE_MODULES}
    for module in scenes.RESPONSE_MODULES:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "hasim.acoustics":
                assert {f"hasim.acoustics.{alias.name}" for alias in node.names} <= named
            elif isinstance(node, ast.ImportFrom) and (node.module or "")[:15] == "hasim.acoustics":
                assert node.module in named
