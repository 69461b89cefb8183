"""A node algorithm in a package of its own: the sum of both ears, which keeps what is in front.

A talker straight ahead reaches both ears at the same time, so the two front microphones add up;
whatever comes from elsewhere adds up worse. Arrays are (ear, mic, bin, frame).
"""

from typing import Literal

import numpy as np
from pydantic import Field

from hasim import Compute, Enhanced, Spec, buffers, raw_exchange, synthesis


class FrontSum(Spec):
    """The mean of the own and the partner's front microphone."""

    kind: Literal["front_sum"] = "front_sum"
    share: float = Field(0.5, ge=0, le=1)
    """Of the partner in the mean; 0.5: both ears hear the same."""

    def program(self, front_end, codec):
        """What the device does for every frame: exchange the front microphones, add, go back."""
        add = Compute("add", 4 * front_end.bins)  # two real factors on complex numbers
        return (*raw_exchange("reference", front_end, codec), add, synthesis(front_end))

    def memory(self, front_end, codec):
        """What has to lie in the device's memory: buffers, with one exchanged stream."""
        return buffers(front_end, codec, 1)

    def enhance(self, mics, exchange, masks):
        """What comes out; all that is known of the other ear comes through `exchange`."""

        def mean(signals, rounded):
            partner = exchange("reference", signals[:, :1], rounded=rounded)
            # (ear, frame) -> (ear, bin, frame): where the partner is missing, the own microphone
            share = np.where(partner.arrived, self.share, 0.0)[:, None, :]
            return (1 - share) * signals[:, 0] + share * partner.signal[:, 0]

        return Enhanced(
            mean(mics, rounded=True),
            through=lambda signals: mean(signals, rounded=False),  # for SNR and binaural cues
            taps={"partner": exchange("reference", mics[:, :1]).signal[:, 0]},  # for --stages
        )
