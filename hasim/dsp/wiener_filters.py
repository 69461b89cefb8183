"""Multichannel Wiener filters from speech and noise covariances, batched over everything in front.

Covariances are Hermitian, (..., channel, channel); weights are (..., channel), and the output of a
filter is w^H y. Channel 0 is the reference. With R_s and R_n the covariances of speech and noise,
e the first unit vector and mu the weight of noise reduction against speech distortion:

    gevd       w = Q diag(l / (l + mu), first `rank`) Q^-1 e, R_s q = l R_n q  (Serizel et al. 2014)
    sdw_mwf    w = (R_s + mu R_n)^-1 R_s e                                     (Doclo et al. 2007)
    rank1_mwf  w = R_n^-1 R_s e / (mu + tr(R_n^-1 R_s))                        (Souden et al. 2010)
    mvdr       rank1_mwf with mu = 0

The noise covariance is loaded with a small multiple of its trace, so silent and single-talker bins
are safe.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy import ndarray

FilterName = Literal["gevd", "sdw_mwf", "rank1_mwf", "mvdr"]

RELATIVE_LOADING = 1e-6
"""Of the mean diagonal entry: far below what two close microphones leave in R_n."""
ABSOLUTE_LOADING = 1e-14
"""Power of a bin far below any sensor's noise: keeps digital silence solvable."""


def weights(
    name: FilterName, speech: ndarray, noise: ndarray, *, mu: float = 1.0, rank: int = 1
) -> ndarray:
    """Weights (..., channel) of the filter `name` for covariances (..., channel, channel).

    `rank` is used by "gevd" alone.
    """
    noise = loaded(noise)
    if name == "gevd":
        if rank == 1 and noise.shape[-1] <= 3:
            return _gevd_rank_1(speech, noise, mu)
        return _gevd(speech, noise, mu, rank)
    if name == "sdw_mwf":
        return np.linalg.solve(speech + mu * noise, speech[..., :1])[..., 0]
    ratio = np.linalg.solve(noise, speech)
    trace = np.trace(ratio, axis1=-2, axis2=-1).real[..., None]
    denominator = trace + (0.0 if name == "mvdr" else mu)
    # Without any speech so far, nothing passes.
    safe = np.where(denominator > 1e-10, denominator, 1.0)
    return np.where(denominator > 1e-10, ratio[..., 0] / safe, 0.0)


def apply(filter_weights: ndarray, channels: ndarray) -> ndarray:
    """w^H y, (ear, bin, frame): weights (ear, frame, bin, channel), of one frame or all, on
    `channels` (ear, channel, bin, frame)."""
    conjugate = np.moveaxis(filter_weights.conj(), (0, 1, 2, 3), (0, 3, 2, 1))
    output = conjugate[:, 0] * channels[:, 0]
    for channel in range(1, channels.shape[1]):
        output += conjugate[:, channel] * channels[:, channel]
    return output


def loaded(noise: ndarray) -> ndarray:
    """The noise covariance (..., channel, channel) with its diagonal loaded."""
    size = noise.shape[-1]
    trace = np.trace(noise, axis1=-2, axis2=-1).real
    loading = RELATIVE_LOADING / size * trace + ABSOLUTE_LOADING
    # "K" keeps the memory layout: channels first where `covariance` made it.
    result = noise.copy(order="K")
    for channel in range(size):
        result[..., channel, channel] += loading
    return result


def filter_macs(name: FilterName, channels: int, bins: int, rank: int = 1) -> int:
    """MACs of computing the weights once in every bin, a complex MAC being four real ones.

    gevd: Cholesky factor C^3 / 6, whitening by two triangular solves C^3, back-substitution C^2 /
    2 complex MACs; the eigenvector in closed form for up to three channels and rank 1 (about 20 C
    complex MACs for characteristic polynomial and adjugate), else 9 C^3 (QR iteration with
    vectors; Golub and Van Loan, Matrix Computations, section 8.3). The others: one linear system,
    C^3 / 3 + C^2 per right-hand side (one for sdw_mwf, C for the two of rank 1). Square roots and
    divisions are counted as 8 MACs each, 2 C.
    """
    c = channels
    if name == "gevd":
        closed_form = rank == 1 and c <= 3
        complex_macs = c**3 / 6 + c**3 + c**2 / 2 + (20 * c if closed_form else 9 * c**3)
    else:
        complex_macs = c**3 / 3 + c**2 * (1 if name == "sdw_mwf" else c)
    return round((4 * complex_macs + 16 * c) * bins)


def apply_macs(channels: int, bins: int) -> int:
    """MACs of w^H y in every bin: one complex MAC per channel."""
    return 4 * channels * bins


def _gevd(speech: ndarray, noise: ndarray, mu: float, rank: int) -> ndarray:
    """Any rank and size, through the whitened eigenvalue problem L^-1 R_s L^-H u = l u, R_n = L
    L^H."""
    lower = np.linalg.cholesky(noise)
    # L^-1 R_s
    half = np.linalg.solve(lower, speech)
    # L^-1 R_s L^-H
    whitened = np.linalg.solve(lower, np.swapaxes(half.conj(), -1, -2))
    values, vectors = np.linalg.eigh((whitened + np.swapaxes(whitened.conj(), -1, -2)) / 2)
    values, vectors = np.maximum(values[..., -rank:], 0.0), vectors[..., -rank:]
    gain = np.divide(values, values + mu, out=np.zeros_like(values), where=values > 0)
    # q = L^-H u, and the matching row of Q^-1 is u^H L^H, of which only the reference's column is
    # needed.
    reference = np.einsum("...cr,...c->...r", vectors.conj(), lower[..., 0, :].conj())
    white = np.einsum("...cr,...r->...c", vectors, gain * reference)
    return np.linalg.solve(np.swapaxes(lower.conj(), -1, -2), white[..., None])[..., 0]


def _gevd_rank_1(speech: ndarray, noise: ndarray, mu: float) -> ndarray:
    """Rank 1 and up to three channels in closed form: w = l / (l + mu) q (q^H R_n e) with q^H R_n
    q = 1.

    Written out over channels, each entry an array over the batch, because small batched
    factorisations spend their time in calls. Every frame of the TANGO family takes this path.
    """
    size = noise.shape[-1]
    r_s = [[speech[..., i, j] for j in range(size)] for i in range(size)]
    r_n = [[noise[..., i, j] for j in range(size)] for i in range(size)]
    lower = _cholesky(r_n)
    whitened = _whiten(lower, r_s)
    value, vector = _principal(whitened)
    gain = np.divide(value, value + mu, out=np.zeros_like(value), where=value > 0)
    # u^H L^H e: the first row of L has only its diagonal entry.
    vector = [entry * (gain * lower[0][0] * vector[0].conj()) for entry in vector]
    solution = [vector[-1] / lower[-1][-1]]
    # L^H w = vector, from the last channel up.
    for i in range(size - 2, -1, -1):
        known = sum(lower[i + 1 + k][i].conj() * x for k, x in enumerate(solution))
        solution.insert(0, (vector[i] - known) / lower[i][i])
    return np.stack(solution, axis=-1)


Entries = list[list[ndarray]]
"""A batch of matrices as rows of arrays: each array has one entry of every matrix."""


def _cholesky(matrix: Entries) -> Entries:
    """Lower triangle L of R = L L^H; the diagonal is real."""
    lower: Entries = [[] for _ in matrix]
    for i, row in enumerate(matrix):
        for j in range(i):
            rest = row[j] - sum(lower[i][k] * lower[j][k].conj() for k in range(j))
            lower[i].append(rest / lower[j][j])
        square = row[i].real - sum(_power(entry) for entry in lower[i])
        lower[i].append(np.sqrt(np.maximum(square, np.finfo(float).tiny)))
    return lower


def _whiten(lower: Entries, matrix: Entries) -> Entries:
    """Lower triangle of L^-1 R L^-H."""
    size = len(matrix)
    # L^-1 R, column by column
    half = [list(row) for row in matrix]
    for column in range(size):
        for i in range(size):
            known = sum(lower[i][k] * half[k][column] for k in range(i))
            half[i][column] = (half[i][column] - known) / lower[i][i]
    result: Entries = [[] for _ in matrix]
    # row i of (L^-1 R) L^-H, entries up to the diagonal
    for i in range(size):
        for j in range(i + 1):
            known = sum(result[i][k] * lower[j][k].conj() for k in range(j))
            result[i].append((half[i][j] - known) / lower[j][j])
        result[i][i] = result[i][i].real
    return result


def _principal(matrix: Entries) -> tuple[ndarray, list[ndarray]]:
    """Largest eigenvalue and unit eigenvector of Hermitian matrices given by their lower
    triangle."""
    size = len(matrix)
    if size == 1:
        return matrix[0][0], [np.ones_like(matrix[0][0], dtype=complex)]
    value, vector, clear = (_principal_2 if size == 2 else _principal_3)(matrix)
    # Where the two largest eigenvalues nearly coincide, LAPACK solves the bin.
    if not clear.all():
        batch = np.empty((int((~clear).sum()), size, size), dtype=complex)
        for i in range(size):
            for j in range(i + 1):
                batch[:, i, j] = matrix[i][j][~clear]
        values, vectors = np.linalg.eigh(batch, UPLO="L")
        value[~clear] = values[:, -1]
        for i in range(size):
            vector[i][~clear] = vectors[:, i, -1]
    return value, vector


def _principal_2(matrix: Entries) -> tuple[ndarray, list[ndarray], ndarray]:
    (a,), (b, d) = matrix
    mean, half = (a + d) / 2, (a - d) / 2
    radius = np.sqrt(half**2 + _power(b))
    value = mean + radius
    # Both (value - d, b) and (conj b, value - a) are eigenvectors; the longer one has lost no
    # digits.
    first = half >= 0
    x = np.where(first, half + radius, b.conj())
    y = np.where(first, b, radius - half)
    length = np.sqrt(_power(x) + _power(y))
    clear = radius > 1e-9 * np.abs(mean)
    safe = np.where(clear, length, 1.0)
    return value, [x / safe, y / safe], clear


def _principal_3(matrix: Entries) -> tuple[ndarray, list[ndarray], ndarray]:
    (a,), (b, d), (c, e, f) = matrix
    mean = (a + d + f) / 3
    # Without its trace the matrix has the eigenvalues 2 p cos(...).
    a, d, f = a - mean, d - mean, f - mean
    bb, cc, ee = _power(b), _power(c), _power(e)
    p = np.sqrt((a * a + d * d + f * f + 2 * (bb + cc + ee)) / 6)
    safe_p = np.where(p > 0, p, 1.0)
    determinant = a * d * f + 2 * (b * c.conj() * e).real - a * ee - d * cc - f * bb
    cosine = np.clip(determinant / (2 * safe_p**3), -1.0, 1.0)
    top = 2 * p * np.cos(np.arccos(cosine) / 3)
    # The adjugate of A - top I is a multiple of u u^H; take its column with the largest diagonal
    # entry. A = [[a, b*, c*], [b, d, e*], [c, e, f]].
    a, d, f = a - top, d - top, f - top
    diagonal = [d * f - ee, a * f - cc, a * d - bb]
    adj_10 = c * e.conj() - b * f
    adj_20 = b * e - c * d
    adj_21 = b.conj() * c - a * e
    first = (diagonal[0] >= diagonal[1]) & (diagonal[0] >= diagonal[2])
    second = ~first & (diagonal[1] >= diagonal[2])
    vector = [
        np.where(first, diagonal[0], np.where(second, adj_10.conj(), adj_20.conj())),
        np.where(first, adj_10, np.where(second, diagonal[1], adj_21.conj())),
        np.where(first, adj_20, np.where(second, adj_21, diagonal[2])),
    ]
    length = np.sqrt(sum(_power(entry) for entry in vector))
    # cosine = -1 is a double largest eigenvalue, where arccos loses half the digits.
    clear = (cosine > -1 + 1e-5) & (p > 1e-9 * np.abs(mean))
    safe = np.where(clear, length, 1.0)
    return mean + top, [entry / safe for entry in vector], clear


def _power(x: ndarray) -> ndarray:
    return x.real**2 + x.imag**2
