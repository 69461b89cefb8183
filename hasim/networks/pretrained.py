"""Weights that come with hasim: which folder of `networks/weights` belongs to which algorithm.

Every folder holds one safetensors file per network, with its card in the header, and has the name
of the recipe that trained it. In a scenario `hasim:NAME` asks for one of them. No torch here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from hasim.config.spec import InputError
from hasim.dsp.stft import SAMPLE_RATE_HZ, FrontEndSpec
from hasim.networks.front_end import FRONT_END
from hasim.networks.variants import VARIANTS

FOLDER = Path(__file__).with_name("weights")
PREFIX = "hasim:"
ShippedName = Annotated[str, StringConstraints(pattern=rf"^{PREFIX}[a-z0-9_]+$")]


def folder(algorithm: str, groups: int, name: ShippedName | None = None) -> Path:
    """Folder of the networks called `name`, or of an algorithm's networks in floating point.

    The folder may not exist; `missing` says so.
    """
    if name is not None:
        return FOLDER / name.removeprefix(PREFIX)
    known = f"{algorithm}_g{groups}" if groups else algorithm
    return FOLDER / (VARIANTS[known].weights if known in VARIANTS else known)


def files(place: Path) -> list[Path]:
    """Weights files at `place`: a file, a folder, `hasim:NAME`, or a file in it
    (`hasim:tango/sn_dnn.safetensors`).

    InputError for a folder without weights, and for a name that does not come with hasim.
    """
    name = str(place).removeprefix(PREFIX)
    if name != str(place):
        place = FOLDER / name
        if not place.exists():
            there = ", ".join(names())
            raise InputError(f"{PREFIX}{name}: does not come with hasim (there are {there})")
    if not place.is_dir():
        return [place]
    if not (found := sorted(place.glob("*.safetensors"))):
        raise InputError(f"{place}: no weights (*.safetensors) in this folder")
    return found


def file(place: Path) -> Path:
    """The one weights file at `place`; InputError as in `files`, and where there are several."""
    found = files(place)
    if len(found) > 1:
        there = " or ".join(f"{place}/{path.name}" for path in found)
        raise InputError(f"{place}: holds {len(found)} networks; name {there}")
    return found[0]


def names() -> list[str]:
    """Names of all weights that come with hasim."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def missing(
    algorithm: str,
    groups: int,
    front_end: FrontEndSpec = FRONT_END,
    rate_hz: int = SAMPLE_RATE_HZ,
    name: ShippedName | None = None,
) -> str | None:
    """Why no shipped network can be used with these settings; None where one can."""
    if not folder(algorithm, groups, name).is_dir():
        what = name or (f"{algorithm} with groups: {groups}" if groups else algorithm)
        there = ", ".join(names())
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
