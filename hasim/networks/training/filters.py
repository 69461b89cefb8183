"""The spatial filters of `dsp.wiener_filters` as differentiable torch functions, to train through.

The SDW-MWF w = (R_s + mu R_n)^-1 R_s e_ref is one linear system per bin. The rank-1 GEVD filter
that nodes use needs the principal eigenvector of R_n^-1 R_s; automatic differentiation of an
eigen-decomposition fails where other eigenvalues meet, so it is found by power iterations, whose
gradient needs solved systems alone. Definitions and loading are the same as there, so equal masks
give equal weights. Spectra are (..., channel, bin, frame), masks (..., bin,
frame), covariances (..., bin, channel, channel); channel 0 is the reference.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hasim.dsp.wiener_filters import ABSOLUTE_LOADING, RELATIVE_LOADING

TrainingFilter = Literal["sdw_mwf", "gevd"]

SQUARINGS = 4
"""Squarings of R_n^-1 R_s: 2^SQUARINGS steps of power iteration."""
SHIFT = 1e-9
"""Added to all eigenvalues: without any speech, the eigenvector is the reference channel."""


def enhance(
    channels: Tensor,
    mask: Tensor,
    mu: float = 1.0,
    mask_power: int = 2,
    name: TrainingFilter = "sdw_mwf",
) -> Tensor:
    """Output (..., bin, frame) of the filter that the mask gives, for the whole segment."""
    weights = sdw_mwf if name == "sdw_mwf" else gevd
    return apply(weights(*covariances(channels, mask, mask_power), mu), channels)


def sdw_mwf(speech: Tensor, noise: Tensor, mu: float = 1.0) -> Tensor:
    """Weights (..., bin, channel); finite where a bin is silent."""
    return torch.linalg.solve(speech + mu * _loaded(noise), speech[..., :1])[..., 0]


def gevd(speech: Tensor, noise: Tensor, mu: float = 1.0) -> Tensor:
    """Weights (..., bin, channel) l / (l + mu) q (q^H R_n e) with R_s q = l R_n q, q^H R_n q = 1.

    The error is about (second / first eigenvalue)^16. In double precision inside, because two close
    microphones leave R_n nearly singular.
    """
    speech, noise = speech.to(torch.complex128), _loaded(noise.to(torch.complex128))
    # R_n^-1 R_s
    ratio = torch.linalg.solve(noise, speech)
    power = ratio + SHIFT * torch.eye(ratio.shape[-1], dtype=ratio.dtype, device=ratio.device)
    for _ in range(SQUARINGS):
        power = power @ power
        power = power / power.norm(dim=(-2, -1), keepdim=True)
    # (..., bin, channel, 1)
    q = power[..., :1]
    towards = noise @ q
    # (..., bin, 1)
    noise_power = (q.conj() * towards).real.sum(-2)
    speech_power = (q.conj() * (speech @ q)).real.sum(-2)
    # l / (l + mu) / (q^H R_n q), with l the ratio of the two powers
    gain = speech_power / (noise_power * (speech_power + mu * noise_power))
    return gain * q[..., 0] * towards[..., 0, :].conj()


def _loaded(noise: Tensor) -> Tensor:
    size = noise.shape[-1]
    trace = noise.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    loading = RELATIVE_LOADING / size * trace + ABSOLUTE_LOADING
    eye = torch.eye(size, dtype=noise.dtype, device=noise.device)
    return noise + loading[..., None, None] * eye


def apply(weights: Tensor, channels: Tensor) -> Tensor:
    """w^H y of every frame, (..., bin, frame)."""
    weights = weights.conj().to(torch.promote_types(channels.dtype, torch.complex64))
    # Channel by channel: a matrix product would first copy everything.
    filtered = (weights[..., c, None] * channels[..., c, :, :] for c in range(weights.shape[-1]))
    return sum(filtered, start=torch.zeros((), dtype=weights.dtype, device=weights.device))


def covariances(channels: Tensor, mask: Tensor, mask_power: int = 2) -> tuple[Tensor, Tensor]:
    """Speech and noise covariances, averaged over all frames with weights mask^p, (1 - mask)^p."""
    weights = torch.stack([mask**mask_power, (1 - mask) ** mask_power], dim=-2)
    leading = mask.shape[:-2]
    # 8 bits of mantissa are enough for networks, not for covariances.
    with torch.autocast(mask.device.type, enabled=False):
        both = _WeightedCovariances.apply(
            channels.to(torch.promote_types(channels.dtype, torch.complex64)).flatten(0, -4),
            weights.flatten(0, -4),
        )
    speech, noise = both.unflatten(0, leading).unbind(-3)
    return speech, noise


class _WeightedCovariances(torch.autograd.Function):
    """R_k = mean over frames of w_k y y^H, (item, bin, kind, channel, channel).

    Takes y (item, channel, bin, frame), complex, and w (item, bin, kind, frame), real.

    A Hermitian matrix is channel^2 real numbers, so R is a real product of w and what y y^H has of
    them in every frame, and so is the gradient of w. That of y is 2 w_k H y with H the Hermitian
    part of the gradient of R_k, over the number of frames. Computed item by item, because the
    intermediate arrays are many times larger than input and output.
    """

    @staticmethod
    def forward(ctx: Any, channels: Tensor, weights: Tensor) -> Tensor:
        items, size, bins, frames = channels.shape
        outer = weights.new_empty(items, bins, size**2, frames)
        for y, products in zip(channels, outer, strict=True):
            _outer_products(y.real.contiguous(), y.imag.contiguous(), products)
        sums = (weights @ outer.mT / frames).unflatten(-1, (size, size))
        ctx.save_for_backward(channels, weights, outer)
        lower = sums.tril(-1)
        real = lower + lower.mT + torch.diag_embed(sums.diagonal(dim1=-2, dim2=-1))
        upper = sums.triu(1)
        return torch.complex(real, upper.mT - upper)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        channels, weights, outer = ctx.saved_tensors
        frames = channels.shape[-1]
        # With respect to the real numbers of R: those below and on the diagonal are its real parts,
        # those above it the imaginary ones below.
        real, imag = gradient.real + gradient.real.mT, gradient.imag - gradient.imag.mT
        to_sums = (real.tril(-1) + imag.mT.triu(1)) / frames
        to_sums += torch.diag_embed(gradient.real.diagonal(dim1=-2, dim2=-1)) / frames
        # (item, bin, kind, frame)
        to_weights = to_sums.flatten(-2) @ outer
        if not ctx.needs_input_grad[0]:
            return None, to_weights
        to_channels = torch.empty_like(channels)
        for item, g in enumerate((gradient + gradient.mH) / frames):
            # (bin, channel, frame)
            y = channels[item].movedim(1, 0).contiguous()
            # (bin, kind, channel, frame)
            filtered = g @ y[:, None]
            sums = (weights[item][:, :, None] * filtered).sum(1)
            to_channels[item] = sums.movedim(1, 0)
        return to_channels, to_weights


def _outer_products(real: Tensor, imag: Tensor, products: Tensor) -> None:
    """Into (bin, channel^2, frame): |y_i|^2 at (i, i), of y_i y_j^* with i > j the real part at
    (i, j) and the imaginary part at (j, i)."""
    size = len(real)
    for i in range(size):
        for j in range(i + 1):
            into = products[:, i * size + j]
            torch.mul(real[i], real[j], out=into).addcmul_(imag[i], imag[j])
            if j < i:
                into = products[:, j * size + i]
                torch.mul(imag[i], real[j], out=into).addcmul_(real[i], imag[j], value=-1)
