"""The speech-distortion-weighted multichannel Wiener filter as a differentiable torch function.

The filter that networks are trained through: w = (R_s + mu R_n)^-1 R_s e_ref, one linear system
per bin and no eigenvectors, whose gradients do not exist where eigenvalues meet. Same definitions
and the same loading as `hasim.filters`, so at equal masks it gives equal weights. Spectra are
(..., channel, bin, frame), masks (..., bin, frame), covariances (..., bin, channel, channel);
channel 0 is the reference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hasim.filters import ABSOLUTE_LOADING, RELATIVE_LOADING


def covariances(channels: Tensor, mask: Tensor, mask_power: int = 2) -> tuple[Tensor, Tensor]:
    """Speech and noise covariances, averaged over all frames with weights mask^p, (1 - mask)^p."""
    y = channels.transpose(-3, -2)  # (..., bin, channel, frame)
    weights = torch.stack([mask**mask_power, (1 - mask) ** mask_power], dim=-2)
    # (..., bin, kind, 1, frame) * (..., bin, 1, channel, frame): both kinds in one product
    weighted = (weights[..., None, :] * y[..., None, :, :]).flatten(-3, -2)
    product = weighted @ y.mH / y.shape[-1]  # (..., bin, kind * channel, channel)
    speech, noise = product.unflatten(-2, (2, -1)).unbind(-3)
    return speech, noise


def sdw_mwf(speech: Tensor, noise: Tensor, mu: float = 1.0) -> Tensor:
    """Weights (..., bin, channel); safe where a bin is silent."""
    size = noise.shape[-1]
    trace = noise.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    loading = RELATIVE_LOADING / size * trace + ABSOLUTE_LOADING
    eye = torch.eye(size, dtype=noise.dtype, device=noise.device)
    loaded = noise + loading[..., None, None] * eye
    return torch.linalg.solve(speech + mu * loaded, speech[..., :1])[..., 0]


def apply(weights: Tensor, channels: Tensor) -> Tensor:
    """w^H y of every frame, (..., bin, frame)."""
    return torch.einsum("...bc,...cbn->...bn", weights.conj(), channels)


def enhance(channels: Tensor, mask: Tensor, mu: float = 1.0, mask_power: int = 2) -> Tensor:
    """The channels filtered with the weights that their mask gives, (..., bin, frame)."""
    return apply(sdw_mwf(*covariances(channels, mask, mask_power), mu), channels)
