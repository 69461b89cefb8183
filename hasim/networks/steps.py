"""A network runs in the frames that its device computes, and rests in the others."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy import ndarray


def masks_in_steps(
    run: Callable[[ndarray], ndarray],
    spectra: ndarray,
    stepped: ndarray | None = None,
    restarted: ndarray | None = None,
) -> ndarray:
    """Masks (ear, bin, frame) of spectra (ear, channel, bin, frame); `run` makes the one of the
    other.

    In frames that are not `stepped` (ear, frame) the network rests: its state and its mask stay,
    the mask being 0 before the first step. In frames that are `restarted` (ear, frame) it begins
    anew.
    """
    anew = restarted is not None and bool(restarted.any())
    if stepped is None or (stepped.all() and not anew):
        return run(spectra)
    masks = np.zeros((spectra.shape[0], *spectra.shape[2:]))
    for ear, steps in enumerate(stepped):
        starts = {0, *np.flatnonzero(restarted[ear]).tolist()} if restarted is not None else {0}
        edges = [*sorted(starts), len(steps)]
        for start, end in pairwise(edges):
            run_in = start + np.flatnonzero(steps[start:end])
            if run_in.size:
                found = run(spectra[ear : ear + 1, ..., run_in])[0]
                # (frame): the number of the last step made, -1 before the first
                last = np.cumsum(steps[start:end]) - 1
                held = found[:, np.maximum(last, 0)]
                masks[ear, :, start:end] = np.where(last >= 0, held, 0.0)
    return masks
