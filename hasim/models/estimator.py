"""Trained networks as the nodes call them: numpy spectra in, numpy masks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy import ndarray

from hasim.models.weights import MaskNetwork


def estimator(
    networks: Mapping[str, MaskNetwork], window_energy: float = 192.0
) -> Callable[..., ndarray]:
    """A function masks(network, *spectra) -> (ear, bin, frame), for spectra (ear, bin, frame) each.

    The first spectrum is the ear's own, the second (for the MN-DNN) what came from the other ear.
    `window_energy` is the sum of the squared analysis window; the networks were trained with the
    512-sample Hann window's 192, and magnitudes are scaled to what that window would have given.
    Ears are computed together and do not see one another. ValueError for a network not given.
    """
    import torch

    scale = float(np.sqrt(192.0 / window_energy))

    def masks(network: str, *spectra: ndarray) -> ndarray:
        if network not in networks:
            raise ValueError(
                f"no trained network {network}; there are {', '.join(networks) or 'none'}"
            )
        magnitude = scale * np.abs(np.stack(spectra, axis=1))  # (ear, channel, bin, frame)
        features = torch.from_numpy(np.swapaxes(magnitude, -1, -2).astype(np.float32))
        with torch.inference_mode():
            found = networks[network](features)  # (ear, frame, bin)
        return np.swapaxes(found.numpy(), -1, -2).astype(float)

    return masks
