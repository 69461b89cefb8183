"""No quantisation: 32 bits per number, for reference runs."""

from __future__ import annotations

from typing import Literal

from hasim.codecs.pcm import Domain
from hasim.spec import Spec


class Float32(Spec):
    """Numbers travel as they are, at 32 bits each."""

    kind: Literal["float32"] = "float32"
    domain: Domain = "samples"
