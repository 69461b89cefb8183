"""The ears: where each microphone sits and what a head does to a plane or spherical wave on its way there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag

from hasim.spec import Spec, by_kind

MicrophonePreset = Literal["bte_2", "bte_2_narrow", "bte_2_wide"]


class SphereHead(Spec):
    """A rigid sphere (Duda and Martens 1998), computed; each microphone has its own place on it."""

    kind: Literal["sphere"] = "sphere"
    microphones: MicrophonePreset = "bte_2"
    """Geometry preset: two microphones behind each ear."""
    radius_m: float = Field(0.0875, ge=0.05, le=0.15)


class SofaHead(Spec):
    """Measured head or device responses from a SOFA file (SimpleFreeFieldHRIR, GeneralFIR)."""

    kind: Literal["sofa"] = "sofa"
    path: Path
    """Relative paths start at the scenario file's folder."""
    receivers: tuple[int, int, int, int] | None = None
    """Which receivers of the file are left front, left rear, right front, right rear; null: 0 to 3 where
    the file has four, (0, 0, 1, 1) where it has two."""


class FreeFieldHead(Spec):
    """No head: the same microphone places in the open air."""

    kind: Literal["free_field"] = "free_field"
    microphones: MicrophonePreset = "bte_2"
    radius_m: float = Field(0.0875, ge=0.05, le=0.15)


HeadSpec = Annotated[
    Annotated[SphereHead, Tag("sphere")]
    | Annotated[SofaHead, Tag("sofa")]
    | Annotated[FreeFieldHead, Tag("free_field")],
    by_kind("sphere"),
]
