"""Networks rest in frames that are not computed, and begin anew after a restart."""

from __future__ import annotations

import numpy as np

from hasim.networks.steps import masks_in_steps


def count(spectra: np.ndarray) -> np.ndarray:
    """Masks that say how many frames a network has seen in its run."""
    ears, _, bins, frames = spectra.shape
    return np.broadcast_to(np.arange(1.0, frames + 1), (ears, bins, frames))


def test_all_frames_are_one_run():
    spectra = np.ones((2, 1, 3, 5), dtype=complex)
    np.testing.assert_array_equal(masks_in_steps(count, spectra)[1, 2], [1, 2, 3, 4, 5])
    steps = np.ones((2, 5), dtype=bool)
    np.testing.assert_array_equal(masks_in_steps(count, spectra, steps)[0, 0], [1, 2, 3, 4, 5])


def test_state_and_mask_stay_while_the_network_rests():
    spectra = np.ones((2, 1, 3, 6), dtype=complex)
    steps = np.array([[0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 1]], dtype=bool)
    masks = masks_in_steps(count, spectra, steps)
    np.testing.assert_array_equal(masks[0, 1], [0, 1, 1, 2, 3, 3])
    np.testing.assert_array_equal(masks[1, 1], [1, 1, 1, 1, 1, 2])


def test_a_restart_begins_a_new_run_at_one_ear():
    spectra = np.ones((2, 1, 3, 6), dtype=complex)
    steps = np.array([[1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 1, 1]], dtype=bool)
    restarted = np.zeros((2, 6), dtype=bool)
    restarted[0, 3] = True
    masks = masks_in_steps(count, spectra, steps, restarted)
    np.testing.assert_array_equal(masks[0, 0], [1, 2, 3, 0, 1, 2])
    np.testing.assert_array_equal(masks[1, 0], [1, 2, 3, 4, 5, 6])
