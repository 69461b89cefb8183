"""Sound around a rigid sphere: pressure at its surface, and the path of the first arrival.

Arrays are (wave) and (wave, frequency). After R. O. Duda and W. L. Martens, "Range dependence of
the response of a spherical head model", J. Acoust. Soc. Am. 104 (1998) 3048-3058.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from hasim.acoustics.rir_builder import SPEED_OF_SOUND_M_PER_S


def sphere_response(
    frequencies_hz: ndarray,
    cosines: ndarray,
    distances_m: ndarray | None,
    radius_m: float,
) -> ndarray:
    """Sound pressure on a rigid sphere relative to that at its centre without the sphere.

    `cosines` (wave) are of the angle between the directions of the microphone and of the source as
    seen from the centre; `distances_m` (wave) from the centre to the source, None: plane waves.
    Returns (wave, frequency), complex, in the convention exp(+j omega t); 1 at 0 Hz for a plane
    wave.

    The series of Duda and Martens (1998). Its spherical Hankel functions overflow long
    before the series ends, so the recursion runs over the ratios of neighbours, q_m = h_m /
    h_(m-1), which stay of the order of m / x: q_(m+1) = (2 m + 1) / x - 1 / q_m is stable upwards
    because the Hankel function is the growing solution.
    """
    # 0 Hz is a limit of the series; a thousandth of a radian around the sphere is close enough.
    mu = np.maximum(2 * np.pi * frequencies_hz * radius_m / SPEED_OF_SOUND_M_PER_S, 1e-3)
    if distances_m is None:
        last = int(np.ceil(1.1 * mu.max() + 25))
        far = np.full(len(cosines), np.inf)
    else:
        if np.any(distances_m <= radius_m):
            raise ValueError(
                f"distance of a source from the head's centre: must be more than its radius "
                f"{radius_m} m (got {distances_m.min():.4g})"
            )
        far = distances_m / radius_m
        # Terms fall at least like (radius / distance)^m: continue until they are below 1e-9.
        slow = 21.0 / np.log(far.min(initial=np.inf))
        last = int(np.ceil(1.1 * mu.max() + np.clip(slow, 25, 600)))
    plane = distances_m is None
    # The argument at the source, (wave, frequency).
    rho_mu = mu if plane else far[:, None] * mu

    # m = 0: h_0(x) = -j exp(jx) / x (first kind, exp(-j omega t)), q_1 = 1/x - j
    # inner: q_m at the surface, outer: q_m at the source
    inner = 1 / mu - 1j
    outer = 1 / rho_mu - 1j
    if plane:
        # the source's h_m(rho mu) is (-j)^(m+1) exp(j rho mu) / (rho mu), its size and phase
        # divided out; what remains is -j / h_0(mu)
        size = mu * np.exp(-1j * mu)
    else:
        size = np.broadcast_to(np.exp(-1j * mu), rho_mu.shape).copy() / far[:, None]
    # legendre: P_m, before: P_(m-1)
    legendre, before = np.ones_like(cosines), np.zeros_like(cosines)
    # h'_0 / h_0 = -h_1 / h_0
    total = legendre[:, None] * (size / -inner)
    for m in range(1, last + 1):
        legendre, before = ((2 * m - 1) * cosines * legendre - (m - 1) * before) / m, legendre
        size = size * (-1j if plane else outer) / inner
        # h'_m / h_m at the surface
        slope = 1 / inner - (m + 1) / mu
        total = total + (2 * m + 1) * legendre[:, None] * (size / slope)
        inner = (2 * m + 1) / mu - 1 / inner
        if not plane:
            outer = (2 * m + 1) / rho_mu - 1 / outer
    scale = -1 / mu**2 if plane else -far[:, None] / mu
    return np.conj(scale * total)


def detour_m(cosines: ndarray, distances_m: ndarray, radius_m: float) -> ndarray:
    """How much longer the path to a point on the sphere is than to its centre, (wave); negative:
    shorter.

    Straight where the point is visible from the source, else along the tangent and then the
    surface: the path of the first arrival.
    """
    angle = np.arccos(np.clip(cosines, -1, 1))
    seen = cosines >= radius_m / distances_m
    straight = np.sqrt(distances_m**2 + radius_m**2 - 2 * distances_m * radius_m * cosines)
    tangent = np.sqrt(distances_m**2 - radius_m**2)
    creeping = tangent + radius_m * (angle - np.arccos(radius_m / distances_m))
    return np.where(seen, straight, creeping) - distances_m
