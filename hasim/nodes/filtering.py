"""Parameters and steps that the mask-driven nodes share: masks, covariances, filters, concealment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hasim.covariance import CovarianceSpec, Recursive
from hasim.spec import Spec


class MaskDrivenNode(Spec):
    """Masks, covariances and a spatial filter: what the nodes of the TANGO family have in common."""

    masks: Literal["oracle"] = "oracle"
    """Where the masks come from; oracle masks stand for a perfect network at the network's cost."""
    oracle_mask: Literal["irm1", "irm2", "ibm", "iam1", "iam2", "psm"] = "irm1"
    """Ideal ratio mask of amplitudes or powers, ideal binary, ideal amplitude, phase-sensitive mask."""
    filter: Literal["gevd", "sdw_mwf", "rank1_mwf", "mvdr"] = "gevd"
    rank: int = Field(1, ge=1, le=4)
    """Rank of the speech covariance that the GEVD filter keeps."""
    mu: float = Field(1.0, ge=0, le=1000)
    """Noise reduction against speech distortion; 1 is the Wiener filter."""
    covariance: CovarianceSpec = Recursive()
