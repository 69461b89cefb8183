"""The ears: the rigid sphere, its series, limits and physics; where the microphones sit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy import ndarray

from hasim.acoustics.head import (
    ANGLES,
    FIR_LEAD,
    MICROPHONE_SPACING_M,
    FreeFieldHead,
    MeasuredHead,
    SphereHead,
    microphone_directions,
    prepare,
    unit_vectors,
)
from hasim.acoustics.rigid_sphere import detour_m, sphere_response
from hasim.acoustics.rir_builder import SPEED_OF_SOUND_M_PER_S, Waves

RATE_HZ = 16_000
RADIUS_M = 0.0875


def textbook_response(frequencies_hz: ndarray, cosines: ndarray, distance_m: float) -> ndarray:
    """The series of Duda and Martens (1998) as it stands in the paper, with scipy's functions."""
    from scipy.special import eval_legendre, spherical_jn, spherical_yn

    def hankel(m: int, x: ndarray, derivative: bool = False) -> ndarray:
        return spherical_jn(m, x, derivative) + 1j * spherical_yn(m, x, derivative)

    mu = 2 * np.pi * frequencies_hz * RADIUS_M / SPEED_OF_SOUND_M_PER_S
    rho = distance_m / RADIUS_M
    total = np.zeros((len(cosines), len(mu)), complex)
    for m in range(50):
        ratio = hankel(m, mu * rho) / hankel(m, mu, derivative=True)
        total += (2 * m + 1) * eval_legendre(m, cosines)[:, None] * ratio
    # the paper's time runs as exp(-j omega t)
    return np.conj(-rho / mu * np.exp(-1j * mu * rho) * total)


@pytest.mark.parametrize("distance_m", [0.2, 0.5, 1.0, 5.0])
def test_sphere_is_the_series_of_the_paper(distance_m: float) -> None:
    frequencies_hz = np.linspace(200, 8000, 40)
    cosines = np.cos(np.deg2rad([0, 30, 60, 90, 120, 150, 170, 180]))
    ours = sphere_response(frequencies_hz, cosines, np.full(8, distance_m), RADIUS_M)
    # 50 terms at 0.2 m: (0.0875 / 0.2)^50 = 1e-18; rounding of the recursion remains
    np.testing.assert_allclose(
        ours, textbook_response(frequencies_hz, cosines, distance_m), atol=1e-9
    )


def test_a_far_source_makes_plane_waves() -> None:
    frequencies_hz = np.linspace(0, 8000, 33)
    cosines = np.linspace(-1, 1, 9)
    far = sphere_response(frequencies_hz, cosines, np.full(9, 1e5), RADIUS_M)
    plane = sphere_response(frequencies_hz, cosines, None, RADIUS_M)
    # the next term is 1.5 radius / distance = 1.3e-6, or k radius^2 / distance = 1.1e-5
    np.testing.assert_allclose(far, plane, atol=2e-5)


def test_static_pressure_near_a_source_has_a_closed_form() -> None:
    """At 0 Hz the Hankel functions are powers: sum of (2m + 1) / (m + 1) (a / r)^m P_m."""
    from scipy.special import eval_legendre

    cosines, distance_m = np.cos(np.deg2rad([0, 45, 100, 180])), 0.3
    m = np.arange(60)[:, None]
    expected = np.sum(
        (2 * m + 1) / (m + 1) * (RADIUS_M / distance_m) ** m * eval_legendre(m, cosines), axis=0
    )
    ours = sphere_response(np.zeros(1), cosines, np.full(4, distance_m), RADIUS_M)[:, 0]
    np.testing.assert_allclose(ours.real, expected, rtol=1e-5)


def test_a_source_inside_the_head_is_refused() -> None:
    with pytest.raises(ValueError, match=r"more than its radius 0\.0875 m \(got 0\.08\)"):
        sphere_response(np.ones(1), np.ones(1), np.array([0.08]), RADIUS_M)


def test_the_bright_spot() -> None:
    """Opposite the source all ways around meet in phase: louder than 15 degrees beside it,
    and about as loud as in the open, while the shadow is deep."""
    cosines = np.cos(np.deg2rad([180, 165, 150]))
    for frequency_hz in (3000, 5000, 8000):
        response = sphere_response(np.array([frequency_hz]), cosines, None, RADIUS_M)
        spot_db, *beside_db = 20 * np.log10(np.abs(response[:, 0]))
        assert spot_db > max(beside_db[0], beside_db[1]) + 2
        assert -3 < spot_db < 3


def filtered(waves: Waves, frequencies_hz: ndarray) -> ndarray:
    """What the waves' paths and filters amount to, (path, wave, frequency), for an amplitude of
    1 at the centre's place; time is that of the centre."""
    taps = np.arange(waves.firs.shape[-1]) - waves.lead
    each = waves.firs[:, 0] @ np.exp(-2j * np.pi * np.outer(taps, frequencies_hz) / RATE_HZ)
    mixed = np.einsum("pwk,pwkf->pwf", waves.share, each[waves.choice])
    delays_s = waves.path_m / SPEED_OF_SOUND_M_PER_S
    return mixed * np.exp(-2j * np.pi * delays_s[..., None] * frequencies_hz)


@pytest.mark.parametrize("distance_m", [0.3, 1.0, 4.9, 5.1, 30.0])
def test_sphere_filters_have_the_response_of_the_sphere(distance_m: float) -> None:
    """From every direction: exact filters near the head, a table over the angle farther away."""
    directions = unit_vectors(np.linspace(-180, 180, 100), np.linspace(-80, 80, 100)).T
    head = prepare(SphereHead(), RATE_HZ)
    frequencies_hz = np.linspace(50, 7500, 150)
    waves = head.waves(distance_m * directions)
    got = filtered(waves, frequencies_hz)
    cosines = microphone_directions(SphereHead()) @ directions
    for path in range(4):
        expected = sphere_response(
            frequencies_hz, cosines[path], np.full(100, distance_m), RADIUS_M
        ) * np.exp(-2j * np.pi * distance_m / SPEED_OF_SOUND_M_PER_S * frequencies_hz)
        error = np.sum(np.abs(got[path] - expected) ** 2) / np.sum(np.abs(expected) ** 2)
        # near: the cut at 96 taps; beyond NEAR_M: a plane wave for a spherical one
        assert 10 * np.log10(error) < (-45 if distance_m < 5 else -34 if distance_m < 20 else -43)


def test_interaural_delay_is_woodworths() -> None:
    """Arrivals at two opposite ears differ by radius / c (sin azimuth + azimuth): Woodworth."""
    ears = unit_vectors(np.array([90.0, -90.0]), 0.0)
    azimuths_deg = np.arange(0, 91, 15)
    far = 1e6 * unit_vectors(azimuths_deg, 0.0).T
    cosines = ears @ far / 1e6
    left, right = detour_m(cosines, np.full(7, 1e6), RADIUS_M) / SPEED_OF_SOUND_M_PER_S
    azimuths = np.deg2rad(azimuths_deg)
    woodworth_s = RADIUS_M / SPEED_OF_SOUND_M_PER_S * (np.sin(azimuths) + azimuths)
    np.testing.assert_allclose(right - left, woodworth_s, atol=1e-9)
    assert woodworth_s[-1] == pytest.approx(0.000656, abs=1e-6)


def interaural_db(head: SphereHead, azimuth_deg: float, frequencies_hz: ndarray) -> ndarray:
    source_m = 3.0 * unit_vectors(azimuth_deg, 0.0)[:, None]
    response = filtered(prepare(head, RATE_HZ).waves(source_m), frequencies_hz)[:, 0]
    return 20 * np.log10(np.abs(response[0] / response[2]))


def test_the_wave_itself_arrives_as_woodworth_says() -> None:
    """The phase of the high frequencies, not only the path that we took out of the filters."""
    head = prepare(SphereHead(), RATE_HZ)
    frequencies_hz = np.arange(2000.0, 4000, 10)
    for azimuth_deg in (20, 40, 60):
        response = filtered(
            head.waves(30 * unit_vectors(azimuth_deg, 0.0)[:, None]), frequencies_hz
        )[:, 0]
        phase = np.unwrap(np.angle(response[2] / response[0]))
        delay_s = -np.polyfit(frequencies_hz, phase, 1)[0] / (2 * np.pi)
        places = microphone_directions(SphereHead())
        front = places @ unit_vectors(azimuth_deg, 0.0)
        expected_m = detour_m(front, np.full(4, 30.0), RADIUS_M)
        expected_s = (expected_m[2] - expected_m[0]) / SPEED_OF_SOUND_M_PER_S
        # creeping waves are a little slower than sound: up to 10 % at these frequencies
        assert delay_s == pytest.approx(expected_s, rel=0.12)


def test_level_difference_has_the_sign_of_the_side_and_grows_with_frequency() -> None:
    octaves_hz = np.array([250.0, 500, 1000, 2000, 4000])
    left = interaural_db(SphereHead(), 60, octaves_hz)
    np.testing.assert_allclose(interaural_db(SphereHead(), -60, octaves_hz), -left, atol=1e-9)
    np.testing.assert_allclose(interaural_db(SphereHead(), 0, octaves_hz), 0, atol=1e-9)
    assert np.all(left > 0)
    assert np.all(np.diff(left) > 0)
    assert left[-1] > 10


@pytest.mark.parametrize("preset", list(MICROPHONE_SPACING_M))
def test_microphones_sit_where_the_preset_says(preset: str) -> None:
    places = RADIUS_M * microphone_directions(SphereHead(microphones=preset))
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), RADIUS_M)
    np.testing.assert_allclose(places[2:], places[:2] * [1, -1, 1])
    assert np.all(places[:2, 1] > 0)  # left ear on the left
    assert places[0, 0] > places[1, 0]  # the front one in front
    # a chord is shorter than its arc, here by less than 0.2 %
    spacing_m = np.linalg.norm(places[0] - places[1])
    assert spacing_m == pytest.approx(MICROPHONE_SPACING_M[preset], rel=2e-3)


def test_open_air_is_distance_alone() -> None:
    head = FreeFieldHead()
    source_m = np.array([0.3, 1.0, -0.2])
    waves = prepare(head, RATE_HZ).waves(source_m[:, None])
    places = head.radius_m * microphone_directions(head)
    expected = np.linalg.norm(places - source_m, axis=1)
    np.testing.assert_allclose(waves.path_m[:, 0], expected)
    np.testing.assert_allclose(waves.gain[:, 0], 1 / expected)
    assert waves.firs.tolist() == [[[1.0]]]


def test_a_measured_head_takes_the_nearest_direction() -> None:
    directions = unit_vectors(np.array([0.0, 90.0, 180.0, -90.0]), 0.0)
    head = MeasuredHead(directions, np.arange(4 * 4 * 2.0).reshape(4, 4, 2), 0)
    waves = head.waves(unit_vectors(np.array([10.0, 100, -50, -170]), np.array([5.0, 0, 0, 40])).T)
    assert waves.choice[0, :, 0].tolist() == [0, 1, 3, 2]


def test_the_tables_of_plane_waves_are_fine_enough() -> None:
    """Halfway between two angles of the table, the mix of both is the filter of that angle."""
    head = prepare(SphereHead(), RATE_HZ)
    waves = head.waves(np.array([[100.0], [0.0], [0.0]]))
    assert waves.firs.shape[0] == ANGLES
    angles = np.linspace(0, np.pi, ANGLES)
    between = (angles[1:] + angles[:-1]) / 2
    frequencies_hz = np.linspace(50, 7500, 100)
    taps = np.arange(waves.firs.shape[-1]) - FIR_LEAD
    table = waves.firs[:, 0] @ np.exp(-2j * np.pi * np.outer(taps, frequencies_hz) / RATE_HZ)
    delays_s = detour_m(np.cos(between), np.full(ANGLES - 1, 1e7), RADIUS_M)
    delays_s = delays_s / SPEED_OF_SOUND_M_PER_S
    mixed = (table[1:] + table[:-1]) / 2
    mixed = mixed * np.exp(-2j * np.pi * np.outer(delays_s, frequencies_hz))
    expected = sphere_response(frequencies_hz, np.cos(between), None, RADIUS_M)
    error = np.mean(np.abs(mixed - expected) ** 2) / np.mean(np.abs(expected) ** 2)
    assert 10 * np.log10(error) < -48  # measured: -50.8
