"""Talkers and noises as signals: files, bundled recordings, speech-shaped noise, babble, white and pink noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Tag

from hasim.spec import Spec, by_kind


class BundledSource(Spec):
    """A recording that comes with hasim (see hasim/assets/SOURCES.md for origin and licence)."""

    kind: Literal["bundled"] = "bundled"
    name: str = "speech_it_male"
    """speech_it_male, speech_en_female, speech_fr_female, speech_ru_male, noise_market, noise_harbour, noise_rain, noise_river."""
    start_s: float | None = Field(None, ge=0)
    """Where the excerpt begins; null: drawn from the seed."""


class FileSource(Spec):
    """An audio file (WAV or FLAC, any rate); its first channel is used, resampled to the scenario's rate."""

    kind: Literal["file"] = "file"
    path: Path
    """Relative paths start at the scenario file's folder."""
    start_s: float | None = Field(None, ge=0)
    """Where the excerpt begins; null: drawn from the seed."""


class SpeechShapedNoise(Spec):
    """Gaussian noise with the long-term spectrum of speech: of a file, or of the bundled talkers."""

    kind: Literal["speech_shaped"] = "speech_shaped"
    path: Path | None = None
    """Speech whose spectrum is taken; null: all bundled talkers."""


class Babble(Spec):
    """Several bundled talkers (or files) at once from one direction, each from its own random place."""

    kind: Literal["babble"] = "babble"
    talkers: int = Field(6, ge=2, le=32)
    paths: tuple[Path, ...] = ()
    """Speech files to draw from; empty: the bundled talkers."""


class WhiteNoise(Spec):
    """White Gaussian noise."""

    kind: Literal["white"] = "white"


class PinkNoise(Spec):
    """Gaussian noise whose power falls by 3 dB per octave."""

    kind: Literal["pink"] = "pink"


SourceSpec = Annotated[
    Annotated[BundledSource, Tag("bundled")]
    | Annotated[FileSource, Tag("file")]
    | Annotated[SpeechShapedNoise, Tag("speech_shaped")]
    | Annotated[Babble, Tag("babble")]
    | Annotated[WhiteNoise, Tag("white")]
    | Annotated[PinkNoise, Tag("pink")],
    by_kind("bundled"),
]
