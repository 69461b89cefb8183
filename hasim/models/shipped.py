"""Weights that come with hasim: which folder of `models/weights` serves which algorithm.

Every folder holds one safetensors file per network, with its card in the header, and is named as
the recipe that it came of. No torch here.
"""

from __future__ import annotations

from pathlib import Path

from hasim.stft import FrontEndSpec

FOLDER = Path(__file__).with_name("weights")
SAMPLE_RATE_HZ = 16000
FRONT_END = FrontEndSpec()
"""What they were trained with: windows of 512 samples every 256."""

SAME_NETWORKS = {"centralised": "mn_tango"}
"""Algorithms whose networks hear just what those of another hear, and so share its weights."""


def folder(algorithm: str, groups: int) -> Path:
    """Where an algorithm's networks are; whether the folder exists is for `missing` to say."""
    name = SAME_NETWORKS.get(algorithm, algorithm)
    return FOLDER / (f"{name}_g{groups}" if groups else name)


def missing(
    algorithm: str, groups: int, front_end: FrontEndSpec = FRONT_END, rate_hz: int = SAMPLE_RATE_HZ
) -> str | None:
    """Why no shipped network serves here, or None: it does."""
    if not folder(algorithm, groups).is_dir():
        there = ", ".join(sorted(path.name for path in FOLDER.iterdir() if path.is_dir()))
        what = f"{algorithm} with groups: {groups}" if groups else algorithm
        return f"no trained networks come with hasim for {what} (there are {there})"
    trained = (FRONT_END.window, FRONT_END.hop, SAMPLE_RATE_HZ)
    given = (front_end.window, front_end.hop, rate_hz)
    if given != trained:
        return (
            f"the trained networks that come with hasim are for {_worded(trained)} "
            f"(got {_worded(given)})"
        )
    return None


def _worded(front_end: tuple[int, int, int]) -> str:
    window, hop, rate_hz = front_end
    return f"{window} samples every {hop} at {rate_hz} Hz"
