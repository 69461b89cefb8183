"""Rooms: free field, reverberation time, mirror images; pyroomacoustics as the reference."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy import ndarray

from hasim.acoustics.head import FreeFieldHead, Head, MeasuredHead, SphereHead, prepare
from hasim.acoustics.head import microphone_directions as places_of
from hasim.acoustics.rigid_sphere import sphere_response
from hasim.acoustics.rir_builder import SPEED_OF_SOUND_M_PER_S
from hasim.acoustics.room import (
    EARLY_S,
    Response,
    RoomSpec,
    listener,
    place,
    response,
    reverberation_time_s,
    to_the_wall_m,
    walls,
)

RATE_HZ = 16_000
SMALL = RoomSpec(size_m=(3.0, 2.6, 2.3), t60_s=0.15)


def heard(
    room: RoomSpec,
    head: Head,
    azimuth_deg: float,
    distance_m: float = 1.0,
    elevation_deg: float = 0,
) -> Response:
    source_m = np.array(place(room, azimuth_deg, elevation_deg, distance_m))
    return response(room, head, source_m, RATE_HZ)


@pytest.mark.parametrize("distance_m", [1.0, 2.0, 7.3])
def test_free_field_is_one_over_distance_at_the_speed_of_sound(distance_m: float) -> None:
    """No offset from any filter: the pulse stands at d / c, between samples if need be."""
    room, spec = RoomSpec(t60_s=0), FreeFieldHead()
    got = heard(room, prepare(spec, RATE_HZ), 30, distance_m)
    seen_m = np.array(place(room, 30, 0, distance_m)) - listener(room)
    ways_m = np.linalg.norm(spec.radius_m * places_of(spec) - seen_m, axis=1)
    frequencies_hz = np.fft.rfftfreq(got.full.shape[-1], 1 / RATE_HZ)
    low = frequencies_hz < 7000
    spectra = np.fft.rfft(got.full.reshape(4, -1))[:, low]
    delays_s = ways_m[:, None] / SPEED_OF_SOUND_M_PER_S
    expected = np.exp(-2j * np.pi * frequencies_hz[low] * delays_s) / ways_m[:, None]
    # the window of the fractional delay ripples by 0.2 %
    np.testing.assert_allclose(spectra * ways_m[:, None], expected * ways_m[:, None], atol=4e-3)
    np.testing.assert_array_equal(got.full, got.direct)


def test_direct_sound_in_a_room_is_that_of_the_open() -> None:
    head = prepare(SphereHead(), RATE_HZ)
    room = RoomSpec(listener_m=(2.8, 2.2, 1.2))
    closed = heard(room, head, -90).direct
    free = heard(room.model_copy(update={"t60_s": 0.0}), head, -90).direct
    taps = min(free.shape[-1], closed.shape[-1])
    # pyroomacoustics places sources in single precision
    np.testing.assert_allclose(closed[..., :taps], free[..., :taps], atol=1e-4)
    assert not closed[..., taps:].any()


def test_parts_are_stretches_of_one_response() -> None:
    got = heard(RoomSpec(), prepare(FreeFieldHead(), RATE_HZ), 0)
    end = int((1.0 / SPEED_OF_SOUND_M_PER_S + EARLY_S) * RATE_HZ)
    # differences of neighbours: without the slow swing that the 20 Hz high-pass leaves behind
    early, late = (np.diff(part) for part in (got.early - got.direct, got.full - got.early))
    # the microphones are up to 5 taps nearer or farther; 40 more are the fractional delay's
    assert np.abs(late[..., : end - 45]).max() < 1e-6
    assert np.abs(early[..., end + 45 :]).max() < 1e-3
    # its main part is no wider than 10
    assert np.abs(early[..., end + 15 : end + 45]).max() < 0.2 * np.abs(early).max()
    assert np.abs(early[..., end + 15 : end + 45]).max() < 0.01
    assert np.abs(late[..., end : end + 60]).max() > 0.03
    energies = [np.sum(part**2) for part in (got.direct, got.early, got.full)]
    assert energies[0] < energies[1] < energies[2]


@pytest.mark.parametrize(
    ("size_m", "t60_s"),
    [
        ((6.0, 4.5, 2.7), 0.2),
        ((6.0, 4.5, 2.7), 0.3),
        ((6.0, 4.5, 2.7), 0.6),
        ((4.0, 3.2, 2.5), 0.3),
        ((9.0, 7.0, 3.2), 0.5),
    ],
)
def test_measured_reverberation_time_is_the_one_asked_for(
    size_m: tuple[float, float, float], t60_s: float
) -> None:
    """Within 15 %; found within 5 % in these rooms."""
    room = RoomSpec(size_m=size_m, t60_s=t60_s)
    got = heard(room, prepare(SphereHead(), RATE_HZ), 30)
    assert reverberation_time_s(got.full, got.direct, RATE_HZ) == pytest.approx(t60_s, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("size_m", [(6.0, 4.5, 2.7), (4.0, 3.2, 2.5), (6.9, 4.5, 2.5), (10, 7, 3)])
@pytest.mark.parametrize("t60_s", [0.2, 0.3, 0.6])
@pytest.mark.parametrize("azimuth_deg", [0, 45, -90, 180])
def test_reverberation_time_anywhere(
    size_m: tuple[float, float, float], t60_s: float, azimuth_deg: float
) -> None:
    for head in (SphereHead(), FreeFieldHead()):
        room = RoomSpec(size_m=size_m, t60_s=t60_s)
        got = heard(room, prepare(head, RATE_HZ), azimuth_deg)
        measured_s = reverberation_time_s(got.full, got.direct, RATE_HZ)
        assert measured_s == pytest.approx(t60_s, rel=0.15)


def test_schroeder_reads_an_exponential_decay(rng: np.random.Generator) -> None:
    times_s = np.arange(RATE_HZ) / RATE_HZ
    noise = rng.standard_normal((2, 2, RATE_HZ)) * 10 ** (-3 * times_s / 0.4)
    direct = np.zeros_like(noise)
    # the fit over 30 dB of four noises scatters by about 1 %
    assert reverberation_time_s(noise, direct, RATE_HZ) == pytest.approx(0.4, rel=0.03)
    # a loud direct sound does not count
    direct[..., 0] = 100.0
    assert reverberation_time_s(noise + direct, direct, RATE_HZ) == pytest.approx(0.4, rel=0.03)
    assert reverberation_time_s(direct, direct, RATE_HZ) is None
    assert reverberation_time_s(np.ones((4, 100)), np.zeros((4, 100)), RATE_HZ) is None


def test_energy_of_the_reverberation_is_that_of_a_diffuse_field() -> None:
    """Reverberant energy of a source whose direct energy is 1 / r^2: 16 pi (1 - a) / (a S)."""
    room = RoomSpec(size_m=(6.0, 5.0, 4.0), t60_s=0.4)
    length, width, height = room.size_m
    surface_m2 = 2 * (length * width + length * height + width * height)
    absorption, _ = walls(room.size_m, room.t60_s)
    expected = 16 * np.pi * (1 - absorption) / (absorption * surface_m2)
    head = prepare(FreeFieldHead(), RATE_HZ)
    energies = []
    for azimuth_deg in (20, 140, -100):
        got = heard(room, head, azimuth_deg, 1.5)
        energies.append(np.sum((got.full - got.direct) ** 2, axis=-1).mean())
    # a statistical formula for a room of even walls: 1.5 dB
    assert 10 * np.log10(np.mean(energies) / expected) == pytest.approx(0, abs=1.5)


def test_mirrored_scene_is_the_same_with_ears_exchanged() -> None:
    room = RoomSpec(size_m=(5.0, 4.0, 2.6), t60_s=0.25, listener_m=(2.1, 2.0, 1.3))
    head = prepare(SphereHead(), RATE_HZ)
    for azimuth_deg, elevation_deg in ((90, 0), (40, 20)):
        left = heard(room, head, azimuth_deg, 1.2, elevation_deg)
        right = heard(room, head, -azimuth_deg, 1.2, elevation_deg)
        # pyroomacoustics places sources in single precision: 1e-7 of 100 m are 5e-4 samples
        error = np.linalg.norm(left.full - right.full[::-1]) / np.linalg.norm(left.full)
        assert error < 1e-3


def test_turning_head_and_source_together_changes_nothing_in_the_open() -> None:
    head = prepare(SphereHead(), RATE_HZ)
    straight = heard(RoomSpec(t60_s=0), head, 60)
    turned = heard(RoomSpec(t60_s=0, heading_deg=77.0), head, 60)
    np.testing.assert_allclose(straight.full, turned.full, atol=1e-9)


def test_image_sources_are_those_of_the_closed_form() -> None:
    """The lattice, written down: (2 n L + s) and (2 n L - s) along each axis."""
    from hasim.acoustics.room import _images

    source_m, centre_m = np.array([1.0, 2.0, 0.9]), np.array(listener(SMALL))
    images_m, gains = _images(SMALL, centre_m, source_m)
    absorption, length_s = walls(SMALL.size_m, SMALL.t60_s)
    number = np.arange(-30, 31)
    axes = [
        np.where(number % 2, (number + 1) * side - at, number * side + at)
        for side, at in zip(SMALL.size_m, source_m, strict=True)
    ]
    lattice_m = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    order = sum(np.meshgrid(*3 * [np.abs(number)], indexing="ij")).ravel()
    distances_m = np.linalg.norm(lattice_m - centre_m[:, None], axis=0)
    reached = distances_m <= length_s * SPEED_OF_SOUND_M_PER_S
    assert images_m.shape[1] == reached.sum()
    ours = np.lexsort(np.round(images_m, 3))
    theirs = np.lexsort(np.round(lattice_m[:, reached], 3))
    np.testing.assert_allclose(images_m[:, ours], lattice_m[:, reached][:, theirs], atol=1e-4)
    np.testing.assert_allclose(
        gains[ours], (1 - absorption) ** (order[reached][theirs] / 2), rtol=1e-4
    )


def test_a_head_in_the_wall_is_refused() -> None:
    message = (
        r"listener_m: x must be from 0\.15 to 5\.85 in a room of 6 x 4\.5 x 2\.7 m \(got 6\.1\)"
    )
    with pytest.raises(ValueError, match=message):
        RoomSpec(listener_m=(6.1, 2.0, 1.2))
    RoomSpec(t60_s=0, listener_m=(6.1, 2.0, 1.2))


def test_the_way_to_the_wall() -> None:
    room = RoomSpec(size_m=(6.0, 4.0, 3.0), listener_m=(2.0, 1.0, 1.5), heading_deg=90.0)
    ways_m = [to_the_wall_m(room, azimuth_deg, 0) for azimuth_deg in (0, 90, 180, -90)]
    np.testing.assert_allclose(ways_m, [3, 2, 1, 4])
    assert to_the_wall_m(room, 13, 90) == pytest.approx(1.5)
    assert to_the_wall_m(room, -45, 0) == pytest.approx(3 * np.sqrt(2))
    assert to_the_wall_m(RoomSpec(t60_s=0), 0, 0) == np.inf
    for azimuth_deg in (17, 130, -77):
        way_m = to_the_wall_m(room, azimuth_deg, 20)
        inside, outside = (np.array(place(room, azimuth_deg, 20, way_m + d)) for d in (-0.01, 0.01))
        assert np.all((inside > 0) & (inside < room.size_m))
        assert not np.all((outside > 0) & (outside < room.size_m))


def test_sources_outside_the_room_are_refused() -> None:
    with pytest.raises(ValueError, match="inside the room"):
        heard(SMALL, prepare(FreeFieldHead(), RATE_HZ), 0, 5.0)


def test_times_that_no_walls_give_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"t60_s: must be at least 0\.\d\d in a room of 8 x 6 x 3 m"
    ):
        RoomSpec(size_m=(8.0, 6.0, 3.0), t60_s=0.02)
    with pytest.raises(ValueError, match="million image sources, the limit is 10;"):
        RoomSpec(size_m=(2.0, 2.0, 2.0), t60_s=2.0)


# ----------------------------------------------------------------- pyroomacoustics as the reference


def sphere_on_a_grid(directions: int) -> tuple[ndarray, ndarray]:
    """Directions on a Fibonacci spiral, (direction, xyz), and the sphere's responses from there
    with their delays, (direction, mic, tap), time zero at tap 32."""
    number = np.arange(directions) + 0.5
    height = 1 - 2 * number / directions
    angle = np.pi * (1 + 5**0.5) * number
    flat = np.sqrt(1 - height**2)
    grid = np.stack([flat * np.cos(angle), flat * np.sin(angle), height], axis=1)
    cosines = grid @ places_of(SphereHead()).T  # (direction, mic)
    frequencies_hz = np.fft.rfftfreq(512, 1 / RATE_HZ)
    response = sphere_response(frequencies_hz, cosines.ravel(), None, SphereHead().radius_m)
    response *= np.exp(-2j * np.pi * frequencies_hz * 32 / RATE_HZ)
    return grid, np.fft.irfft(response, 512)[:, :128].reshape(directions, 4, 128)


def by_pyroomacoustics(
    room: RoomSpec, grid: ndarray, firs: ndarray, azimuths_deg: tuple[float, ...], order: int
) -> list[ndarray]:
    """Its own path for measured directivities: (mic, tap) for every source, offsets taken off."""
    import pyroomacoustics
    from pyroomacoustics.directivities import MeasuredDirectivity, Rotation3D
    from pyroomacoustics.doa import GridSphere

    constants = pyroomacoustics.constants
    before = {name: constants.get(name) for name in ("rir_hpf_enable", "num_threads")}
    constants.set("rir_hpf_enable", False)
    constants.set("num_threads", 1)
    try:
        directivities = [
            MeasuredDirectivity(
                Rotation3D([0, 0], "yz"),
                GridSphere(cartesian_points=grid.T),
                firs[:, mic].astype(np.float32),
                RATE_HZ,
            )
            for mic in range(4)
        ]
        absorption, _ = walls(room.size_m, room.t60_s)
        shoebox = pyroomacoustics.ShoeBox(
            room.size_m,
            fs=RATE_HZ,
            materials=pyroomacoustics.Material(absorption),
            max_order=order,
        )
        for azimuth_deg in azimuths_deg:
            shoebox.add_source(place(room, azimuth_deg, 0, 1.0))
        centre_m = np.tile(np.array(listener(room))[:, None], 4)
        shoebox.add_microphone_array(
            pyroomacoustics.MicrophoneArray(centre_m, RATE_HZ, directivity=directivities)
        )
        shoebox.compute_rir()
        offset = 40 + 32  # half its fractional delay, and our own time zero
        count = len(azimuths_deg)
        taps = min(len(rir) for by_mic in shoebox.rir for rir in by_mic) - offset
        return [
            np.stack([by_mic[source][offset:][:taps] for by_mic in shoebox.rir])
            for source in range(count)
        ]
    finally:
        for name, value in before.items():
            constants.set(name, value)


def differ_db(ours: Response, theirs: ndarray) -> float:
    """Ours against theirs, of which what lies below 20 Hz in the reflections is taken off too."""
    from scipy.signal import butter, sosfilt

    full, direct = (part.reshape(4, -1) for part in (ours.full, ours.direct))
    taps = min(full.shape[1], theirs.shape[1])
    highpass = butter(2, 20, "highpass", fs=RATE_HZ, output="sos")
    expected = direct[:, :taps] + sosfilt(highpass, theirs[:, :taps] - direct[:, :taps])
    return float(
        20 * np.log10(np.linalg.norm(full[:, :taps] - expected) / np.linalg.norm(expected))
    )


def test_agrees_with_pyroomacoustics_measured_directivities() -> None:
    """The same sampled responses, the same images: below -40 dB, found at -48. What remains are
    its table of 20 sincs per sample and its window, which does not move with the pulse."""
    grid, firs = sphere_on_a_grid(200)
    head = MeasuredHead(grid, firs, 32)
    _, length_s = walls(SMALL.size_m, SMALL.t60_s)
    # as many orders as it takes to contain all of our images
    order = int(length_s * SPEED_OF_SOUND_M_PER_S * np.sqrt(np.sum(1 / np.square(SMALL.size_m))))
    theirs = by_pyroomacoustics(SMALL, grid, firs, (40.0,), order + 1)
    assert differ_db(heard(SMALL, head, 40), theirs[0]) < -45


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_a_bit() -> None:
    """Of numpy's libraries; read when they are loaded, so each number needs its own process."""
    program = """
import hashlib
import numpy as np
from hasim.acoustics.head import SphereHead, prepare
from hasim.acoustics.room import RoomSpec, place, response
room = RoomSpec()
head = prepare(SphereHead(), 16000)
got = response(room, head, np.array(place(room, 30, 0, 1.0)), 16000)
print(hashlib.sha256(got.full.tobytes()).hexdigest())
"""
    hashes = set()
    for threads in ("1", "2", "4"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(done.stdout)
    assert len(hashes) == 1


@pytest.mark.benchmark
def test_ten_times_faster_than_pyroomacoustics_measured_directivities() -> None:
    """Two sources, four microphones, 6.9 x 4.5 x 2.5 m, T60 0.3 s at its full order, one thread."""
    import pyroomacoustics

    room = RoomSpec(size_m=(6.9, 4.5, 2.5), t60_s=0.3)
    grid, firs = sphere_on_a_grid(1000)
    _, order = pyroomacoustics.inverse_sabine(room.t60_s, room.size_m)
    azimuths_deg = (0.0, -90.0)
    heard(SMALL, prepare(SphereHead(), RATE_HZ), 0)  # imports
    times_s = {}
    for name, head in (
        ("sphere", prepare(SphereHead(), RATE_HZ)),
        ("same measured responses", MeasuredHead(grid, firs, 32)),
    ):
        started = time.perf_counter()
        ours = [heard(room, head, azimuth_deg) for azimuth_deg in azimuths_deg]
        times_s[name] = time.perf_counter() - started
    started = time.perf_counter()
    theirs = by_pyroomacoustics(room, grid, firs, azimuths_deg, order)
    reference_s = time.perf_counter() - started
    errors_db = [differ_db(mine, its) for mine, its in zip(ours, theirs, strict=True)]
    print(f"\npyroomacoustics, order {order}: {reference_s:.1f} s")
    for name, took_s in times_s.items():
        print(f"{name}: {took_s:.2f} s, {reference_s / took_s:.0f} times faster")
    print(f"difference: {errors_db[0]:.1f} and {errors_db[1]:.1f} dB")
    assert all(reference_s > 10 * took_s for took_s in times_s.values())
    assert max(errors_db) < -40
