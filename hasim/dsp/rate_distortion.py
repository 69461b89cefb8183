"""Rate bound for two jointly Gaussian ears: the largest gain from a link of a given rate.

An ear estimates the speech at its reference microphone from its own microphones (error power D1)
and from what the partner sends (D12 if it sent everything). With u = D1 - D12 per frequency, a
sender that has the receiver's signals as well needs at least (Roy and Vetterli, "Rate-constrained
collaborative noise reduction for wireless hearing aids", IEEE Trans. Signal Processing 57, 2009):

    D(theta) = sum D12 + min(theta, u)          R(theta) = sum max(0, log2(u / theta)) bits

over independent complex components, half the bits over real ones: reverse water-filling on u. This
is remote source coding with side information (Wyner and Ziv 1976), and in the Gaussian case nothing
is lost because the sender does not have them.

It bounds *linear* estimation with *fixed* statistics, coded in infinitely long blocks: a reference,
not a limit for systems that follow the speech in time or that are measured differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray


def distortion_rate(
    local_error: ndarray,
    joint_error: ndarray,
    rates_bits: ndarray | float,
    parts: ndarray | int = 2,
) -> ndarray:
    """Least total error power (rate,) with `rates_bits` for all components together.

    `local_error` and `joint_error` (component,) are D1 and D12; `parts` is 2 for complex components
    and 1 for real ones (the first and last bin of a real signal's spectrum). Infinite rates are
    allowed. ValueError where the partner's signal would make the error larger.

    >>> distortion_rate(np.array([4.0, 1.0]), np.zeros(2), np.array([1.0, 2.0, 3.0])).round(3)
    array([3.   , 2.   , 1.414])
    """
    local_error, joint_error = np.atleast_1d(local_error), np.atleast_1d(joint_error)
    innovation = local_error - joint_error
    if np.any(innovation < -1e-9 * np.abs(local_error)):
        raise ValueError("joint_error: must not be larger than local_error")
    parts = np.broadcast_to(parts, innovation.shape)
    variance = np.maximum(innovation, 0.0) / parts
    levels = [water_level(variance, rate, parts) for rate in np.atleast_1d(rates_bits)]
    return np.array([np.sum(joint_error + parts * np.minimum(level, variance)) for level in levels])


def unaware_distortion_rate(
    speech: ndarray,
    noise: ndarray,
    local: Sequence[int],
    remote: int,
    rates_bits: ndarray | float,
    parts: ndarray | int = 2,
) -> ndarray:
    """As `distortion_rate`, of a sender that ignores the signals of the receiver.

    Reverse water-filling on that microphone's spectrum; the receiver takes what it gets as the
    signal plus independent noise. `speech` and `noise` are covariances (component, channel,
    channel), channel 0 the receiver's reference.
    """
    parts = np.broadcast_to(parts, speech.shape[:1])
    variance = (speech + noise)[:, remote, remote].real / parts
    local_error = mmse(speech, noise, local)
    result = []
    for rate in np.atleast_1d(rates_bits):
        level = water_level(variance, rate, parts)
        coded = variance > level
        # x = x' + e with e of power `level`; scaled to the size of x, x' is x plus this noise
        excess = np.where(coded, variance - level, 1.0)
        noisy = noise.copy()
        noisy[:, remote, remote] += np.where(coded, parts * variance * level / excess, 0.0)
        joint_error = mmse(speech, noisy, [*local, remote])
        result.append(np.sum(np.where(coded, joint_error, local_error)))
    return np.array(result)


def mmse(speech: ndarray, noise: ndarray, channels: Sequence[int]) -> ndarray:
    """Error power (component,) of the best linear estimate of channel 0's speech from `channels`.

    `speech` and `noise` are covariances (component, channel, channel) of signals that are not
    correlated with each other.
    """
    chosen = np.ix_(range(len(speech)), channels, channels)
    cross = speech[:, channels, 0]
    weights = np.linalg.solve((speech + noise)[chosen], cross[..., None])[..., 0]
    explained = np.sum(cross.conj() * weights, axis=-1).real
    return np.maximum(speech[:, 0, 0].real - explained, 0.0)


def water_level(variances: ndarray, rate_bits: float, parts: ndarray | int = 2) -> float:
    """The level theta at which sum parts / 2 max(0, log2(variance / theta)) is `rate_bits`.

    `variances` are those of each real part. Exact: the number of components above the water is
    found by trying them from the largest down.
    """
    parts = np.broadcast_to(parts, variances.shape)
    order = np.argsort(variances)[::-1]
    order = order[variances[order] > 0]
    if not len(order) or rate_bits <= 0:
        return float(variances.max(initial=0.0))
    if np.isinf(rate_bits):
        return 0.0
    logs, halves = np.log2(variances[order]), parts[order] / 2
    # If the first n are above the water: log2(theta) = (sum halves log2(variance) - rate) / sum.
    levels = (np.cumsum(halves * logs) - rate_bits) / np.cumsum(halves)
    # The first component that must not be above.
    below = np.append(logs[1:], -np.inf)
    return float(2.0 ** levels[np.argmax(levels >= below)])


def covariance(spectra: ndarray) -> ndarray:
    """(bin, channel, channel) of spectra (channel, bin, frame), averaged over all frames."""
    return np.einsum("cbn,dbn->bcd", spectra, spectra.conj()) / spectra.shape[-1]


def si_sdr_db(target_power: float, error_power: ndarray) -> ndarray:
    """SI-SDR of a best linear estimate with this error: (target - error) / error.

    Such an estimate is too small by just the part that its error shares with the target.
    """
    return 10 * np.log10((target_power - error_power) / error_power)


def block_kbps(rates_bits: ndarray, window: int, sample_rate_hz: int) -> ndarray:
    """Bits for one block of `window` samples as kbit/s.

    The bound counts degrees of freedom: a signal has as many real ones as samples, and spectra of
    overlapping frames, of which there are more, describe it more than once.
    """
    return np.asarray(rates_bits) * sample_rate_hz / window / 1000
