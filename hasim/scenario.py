"""What a scenario file may say: load, override, validate, describe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hasim.devices import DevicesSpec
from hasim.links import ConstantRate, LinkSpec
from hasim.metrics import MetricName, ScoringSpec
from hasim.nodes import AlgorithmSpec, MnTango
from hasim.scene import SceneSpec
from hasim.simulation import PlayoutSpec
from hasim.spec import Spec
from hasim.stft import FrontEndSpec


class Scenario(Spec):
    """One experiment: a scene, an algorithm on two devices, and the link between them."""

    schema_version: Literal[1] = 1
    name: str = Field("scenario", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Names the result folder."""
    seed: int = Field(0, ge=0, le=2**63 - 1)
    duration_s: float = Field(8.0, ge=0.5, le=600)
    sample_rate_hz: Literal[16000] = 16000
    scene: SceneSpec = SceneSpec()
    front_end: FrontEndSpec = FrontEndSpec()
    algorithm: AlgorithmSpec = MnTango()
    devices: DevicesSpec = DevicesSpec()
    link: LinkSpec = ConstantRate()
    playout: PlayoutSpec = PlayoutSpec()
    metrics: tuple[MetricName, ...] = ("si_sdr", "si_sir", "si_sar", "stoi", "pesq", "snr", "cues")
    scoring: ScoringSpec = ScoringSpec()
