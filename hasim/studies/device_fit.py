"""Which algorithm fits which device, in time and in memory, without a run.

The literature counts the network alone; the whole program also has transforms, covariances and
filters, which usually run in floating point. Both are shares of the time from frame to frame, of
the core or of the accelerator, whichever is busier: 1 is all of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hasim.config import presets
from hasim.config.diagnostics import close_match
from hasim.experiment import scenario
from hasim.experiment.scenario import Scenario
from hasim.networks.cost import COUNTED
from hasim.networks.variants import VARIANTS
from hasim.simulation.device.memory import MemoryLedger
from hasim.simulation.fitting import too_late
from hasim.simulation.program import Compute, Program

ALGORITHMS = ("local", "centralised", *COUNTED)
"""The variants (see `networks.variants`) that are fitted by default."""


@dataclass(frozen=True)
class Cell:
    """One algorithm on one device."""

    device: str
    algorithm: str
    provenance: str
    network_utilisation: float
    total_utilisation: float
    network_ms: float
    """Per frame."""
    total_ms: float
    """Per frame."""
    network_mw: float | None
    """Of the active core; None where its power is not known."""
    ram_kb: float
    nvm_kb: float
    ram_short_kb: float | None
    """None where the size of the device's memory is not public."""
    nvm_short_kb: float | None
    too_late: str | None
    """Why the window and the program's own time are over the limit of `fitting`; the link's time
    comes on top. None where they are not."""

    @property
    def network_fits(self) -> bool:
        """Whether the network alone takes no more time than there is."""
        return self.network_utilisation <= 1

    @property
    def carried(self) -> bool:
        """Whether the whole program takes no more time than there is, and no memory is short."""
        return self.total_utilisation <= 1 and not self.ram_short_kb and not self.nvm_short_kb

    @property
    def fits(self) -> bool:
        """Whether the device carries the program, and its output is not too late."""
        return self.carried and self.too_late is None

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            **asdict(self),
            "network_fits": self.network_fits,
            "carried": self.carried,
            "fits": self.fits,
        }


def fit(base: Scenario, devices: Sequence[str], algorithms: Sequence[str]) -> list[Cell]:
    """Every algorithm on every device preset, with front end, codec and settings of `base`.

    Devices are names of presets or paths of preset files. Raises ValueError for names that do not
    exist, and (as ScenarioError) for files that are no preset.
    """
    named = [device for device in devices if not presets.is_file(device)]
    _known("devices", named, presets.names("devices"))
    _known("algorithms", algorithms, ALGORITHMS)
    # An oracle's masks cost what the network costs, whether or not one has been trained.
    variants = {
        name: scenario.replace(base, VARIANTS[name].settings | {"algorithm.masks": "oracle"})
        for name in algorithms
    }
    return [
        _cell(device, name, scenario.replace(variant, {"devices.left.preset": device}))
        for device in devices
        for name, variant in variants.items()
    ]


def _cell(device: str, algorithm: str, variant: Scenario) -> Cell:
    program, _ = variant.programs
    networks: Program = tuple(
        step for step in program if isinstance(step, Compute) and step.part == "network"
    )
    spec = variant.devices.left
    hop_ns = variant.hop_ns
    network, total = (max(spec.loads(steps, hop_ns).values()) for steps in (networks, program))
    items = variant.algorithm.memory(variant.front_end, variant.link.codec)
    ledger = spec.placed(MemoryLedger(items, spec.ram_kb, spec.nvm_kb))
    preset = presets.load("devices", device)
    given = preset.values
    power = spec.power
    active_mw = None if power is None else power.active_mw
    return Cell(
        str(presets.label(device)),
        algorithm,
        preset.provenance,
        network,
        total,
        network * hop_ns / 1e6,
        total * hop_ns / 1e6,
        None if active_mw is None else network * active_mw,
        ledger.needed_bytes("ram") / 1024,
        ledger.needed_bytes("nvm") / 1024,
        ledger.shortage_kb("ram") if "ram_kb" in given else None,
        ledger.shortage_kb("nvm") if "nvm_kb" in given else None,
        too_late(
            variant.fitting,
            window_ms=variant.window_ns / 1e6,
            algorithmic_ms=variant.algorithmic_ns / 1e6,
            latency_ms=(variant.window_ns + total * hop_ns) / 1e6,
        ),
    )


def _known(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            right = close_match(name, known) or f"known: {', '.join(known)}"
            raise ValueError(f"{what}: unknown choice (got {name!r}); {right}")
