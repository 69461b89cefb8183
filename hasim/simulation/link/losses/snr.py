"""Losses from the radio's level over its noise, under slow shadowing by the body.

    P_rx = P_tx + G_path - fade      N = -174 dBm + 10 log10(B) + NF      SNR = P_rx - N
    BER = Q(sqrt(snr))               PER = 1 - (1 - BER)^bits

The bit error rate is that of BabbleSim's Bluetooth LE modem. The fade in dB is Gaussian and
exponentially correlated in time (Gudmundson 1991).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import erfc, exp, expm1, log1p, log10, sqrt
from typing import Literal

from numpy.random import Generator
from pydantic import Field

from hasim.config.presets import PresetLoss
from hasim.simulation.link.losses.process import MS_NS, Direction, InTime, LossProcess

THERMAL_NOISE_DBM_PER_HZ = -174.0
TYPICAL_BITS = 2080
"""Bits of a Bluetooth LE packet of 250 octets, for a loss rate without a given packet."""


class Snr(PresetLoss):
    """Bit errors from the signal-to-noise ratio, with shadowing that changes every millisecond."""

    kind: Literal["snr"] = "snr"
    tx_dbm: float = Field(0.0, ge=-40, le=30)
    """Transmitted power."""
    path_gain_db: float = Field(-82.0, ge=-150, le=0)
    """From ear to ear, antennas included, without shadowing."""
    noise_figure_db: float = Field(6.0, ge=0, le=40)
    """Of the receiver."""
    bandwidth_mhz: float = Field(2.0, gt=0, le=100)
    """Of the receiver: 1 for LE 1M and coded, 2 for LE 2M."""
    shadowing_sigma_db: float = Field(6.0, ge=0, le=20)
    """Standard deviation of the shadowing; an assumption, not measured from ear to ear."""
    coherence_ms: float = Field(50.0, gt=0, le=1e5)
    """Time after which the correlation of the shadowing is 1/e; an assumption as well."""

    @property
    def mean_snr_db(self) -> float:
        """Signal-to-noise ratio without shadowing."""
        noise_dbm = noise_floor_dbm(self.bandwidth_mhz, self.noise_figure_db)
        return self.tx_dbm + self.path_gain_db - noise_dbm

    def process(self, rng: Generator, direction: Direction) -> LossProcess:
        """Lost where a uniform value is below the packet error rate at that moment."""
        outcomes, shadowing = rng.spawn(2)
        fade_db = InTime(self._fades_db(shadowing), MS_NS)
        uniform = _uniform(outcomes)
        mean_db = self.mean_snr_db

        def lost(frame: int, start_ns: int, bits: int) -> bool:
            snr_db = mean_db - fade_db.at(start_ns)
            return next(uniform) < packet_error_rate(bit_error_rate(snr_db), bits)

        return lost

    def asked(self, frames: int) -> float:
        """Share of packets of 250 octets lost in the long run: mean over the shadowing."""
        if self.shadowing_sigma_db == 0:
            return packet_error_rate(bit_error_rate(self.mean_snr_db), TYPICAL_BITS)
        total = weights = 0.0
        # To 8 sigma, in steps much finer than the slope of the error rate.
        for step in range(-400, 401):
            z = step / 50
            weight = exp(-z * z / 2)
            snr_db = self.mean_snr_db - z * self.shadowing_sigma_db
            total += weight * packet_error_rate(bit_error_rate(snr_db), TYPICAL_BITS)
            weights += weight
        return total / weights

    def _fades_db(self, rng: Generator) -> Iterator[float]:
        """One value in dB for every millisecond, starting in the stationary distribution."""
        keep = exp(-1 / self.coherence_ms)
        fresh = sqrt(1 - keep * keep)
        fade = float(rng.standard_normal())
        while True:
            for value in rng.standard_normal(512).tolist():
                yield self.shadowing_sigma_db * fade
                fade = keep * fade + fresh * value


def noise_floor_dbm(bandwidth_mhz: float, noise_figure_db: float) -> float:
    """Thermal noise in the receiver's bandwidth plus the receiver's noise figure."""
    return THERMAL_NOISE_DBM_PER_HZ + 10 * log10(bandwidth_mhz * 1e6) + noise_figure_db


def bit_error_rate(snr_db: float) -> float:
    """Q(sqrt(snr)) = erfc(sqrt(snr / 2)) / 2."""
    return 0.5 * erfc(sqrt(10 ** (snr_db / 10) / 2))


def packet_error_rate(ber: float, bits: int) -> float:
    """1 - (1 - BER)^bits, exact for small rates too."""
    return -expm1(bits * log1p(-ber))


def _uniform(rng: Generator) -> Iterator[float]:
    while True:
        yield from rng.random(512).tolist()
