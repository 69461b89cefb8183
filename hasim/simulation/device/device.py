"""PresetGroup: the devices that carry the algorithms."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from hasim.config.presets import FromPreset, PresetGroup, preset_of
from hasim.config.spec import Spec
from hasim.simulation.device.memory import Item, MemoryLedger
from hasim.simulation.device.oscillator import OscillatorSpec
from hasim.simulation.device.power import BatterySpec, PowerSpec
from hasim.simulation.program import Compute, Layer, Precision, Program

if TYPE_CHECKING:
    DevicePreset: TypeAlias = str | Path
else:
    DevicePreset = preset_of("devices")


class ConvolutionRates(Spec):
    """MMAC/s of convolutions by precision; a precision left out runs at the dense rate."""

    fp32: float | None = Field(None, gt=0, le=1e6)
    """In 32-bit floating point."""
    int16: float | None = Field(None, gt=0, le=1e6)
    """With 16-bit weights."""
    int8: float | None = Field(None, gt=0, le=1e6)
    """With 8-bit weights."""
    int4: float | None = Field(None, gt=0, le=1e6)
    """With 4-bit weights."""


class Rates(Spec):
    """MMAC/s by precision; a precision left out runs at the fp32 rate.

    Rates are of dense layers, which use every weight once; convolutions, which use it often, may
    have their own.
    """

    fp32: float = Field(100.0, gt=0, le=1e6)
    """In 32-bit floating point."""
    int16: float | None = Field(None, gt=0, le=1e6)
    """With 16-bit weights."""
    int8: float | None = Field(None, gt=0, le=1e6)
    """With 8-bit weights."""
    int4: float | None = Field(None, gt=0, le=1e6)
    """With 4-bit weights."""
    convolution: ConvolutionRates = ConvolutionRates()
    """Where they differ from the dense ones."""

    def of(self, precision: Precision, kind: Layer = "dense") -> float:
        """MMAC/s at `precision`."""
        rate = getattr(self.convolution, precision) if kind == "convolution" else None
        rate = getattr(self, precision) if rate is None else rate
        return self.fp32 if rate is None else rate


def _one_rate_for_all(value: Any) -> Any:
    return (
        {"fp32": value}
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else value
    )


RatesOrOne = Annotated[
    Rates,
    BeforeValidator(
        _one_rate_for_all,
        json_schema_input_type=Annotated[float, Field(gt=0, le=1e6)] | Rates,
    ),
]

Overload = Literal[
    "queue", "skip_frame", "drop_oldest", "abort_at_deadline", "hold_filter", "degrade"
]
Resource = Literal["core", "accelerator"]


class BandwidthSpec(Spec):
    """Rates at which weights are read from a memory, each once for every run of its network."""

    ram_gb_per_s: float | None = Field(None, gt=0, le=1e4)
    """1e9 bytes per second; null: no bound."""
    nvm_gb_per_s: float | None = Field(None, gt=0, le=1e4)
    """1e9 bytes per second; null: no bound."""


class InterruptSpec(Spec):
    """Interrupts: work that takes the core immediately, before the algorithm."""

    per_packet_us: float = Field(0.0, ge=0, le=1e5)
    """After every packet on the air, own or the partner's, lost or not."""
    every_ms: float = Field(2.5, ge=0.1, le=1e4)
    """Period of the work that takes `takes_us`, such as a connection to a phone."""
    takes_us: float = Field(0.0, ge=0, le=1e5)
    """Core time of the periodic work."""

    @model_validator(mode="after")
    def _leave_some_time(self) -> Self:
        if self.takes_us >= self.every_ms * 1e3:
            raise ValueError(
                f"takes_us: must be less than every_ms, {self.every_ms * 1e3:g} us "
                f"(got {self.takes_us:g})"
            )
        return self

    @property
    def share(self) -> float:
        """Part of the core's time that the periodic interrupts take."""
        return self.takes_us / (self.every_ms * 1e3)


class RebootSpec(Spec):
    """The device restarts: frames in progress and the state of the algorithm are lost."""

    at_s: float = Field(5.0, ge=0, le=600)
    """Time in the run."""
    takes_ms: float = Field(500.0, ge=0, le=1e5)
    """Duration, in which it neither computes nor sends nor receives."""


class DeviceSpec(FromPreset):
    """One ear's processor: rates, memory, power, and how it handles overload."""

    preset_group: ClassVar[PresetGroup] = "devices"

    preset: DevicePreset | None = None
    """Name of a preset (`hasim presets devices`) or path of a preset file: it sets every value that
    is not given beside it."""

    mmac_per_s: RatesOrOne = Rates()
    """One number, or a number per precision (fp32, int16, int8, int4)."""
    ram_kb: float = Field(512.0, gt=0)
    """Working memory, 1 kB = 1024 bytes."""
    nvm_kb: float = Field(1024.0, gt=0)
    """Non-volatile memory for weights and tables, 1 kB = 1024 bytes."""
    weights_in: Literal["nvm", "ram"] = "nvm"
    """Where the networks' weights are read from; for `ram` they are copied there at the start."""
    bandwidth: BandwidthSpec = BandwidthSpec()
    accelerator_mmac_per_s: RatesOrOne | None = None
    """Of an accelerator beside the core, which then takes the networks."""
    clock: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = 1.0
    """Rates are multiplied by this; auto: the slowest at which every frame's work fits a hop."""
    interrupts: InterruptSpec = InterruptSpec()
    oscillator: OscillatorSpec = OscillatorSpec()
    reboot: RebootSpec | None = None
    order: Literal["first_come", "oldest_frame"] = "first_come"
    """The frame that has the core next: the first to request it, or the oldest; none is
    interrupted."""
    overload: Overload = "queue"
    """A frame that is released while the device is busy waits (queue), is left out (skip_frame) or
    replaces one that waits (drop_oldest); is filtered with the weights of earlier frames
    (hold_filter) or computed with a smaller network (degrade); or any frame is given up at its
    deadline (abort_at_deadline)."""
    power: PowerSpec | None = None
    """Power model; null: unknown, and energy and battery are left out of the result."""
    battery: BatterySpec = BatterySpec(
        preset="zn-312", mah=180, volts=1.25, usable=1.0, conversion=0.85
    )

    def resource(self, step: Compute) -> Resource:
        """The core or the accelerator, whichever does this step."""
        on_accelerator = self.accelerator_mmac_per_s is not None and step.part == "network"
        return "accelerator" if on_accelerator else "core"

    def compute_ns(self, step: Compute, spare: bool = False) -> int:
        """Time of one execution of `step`, rounded up to whole nanoseconds.

        The slower of computing and reading the weights: max(macs / rate, bytes / bandwidth). With
        `spare` that of the smaller network in its place.
        """
        macs = step.spare_macs if spare and step.spare_macs is not None else step.macs
        weight_bytes = step.weight_bytes
        if macs != step.macs:
            weight_bytes = step.spare_bytes
        rates = self.mmac_per_s
        if self.resource(step) == "accelerator":
            assert self.accelerator_mmac_per_s is not None
            rates = self.accelerator_mmac_per_s
        # The rate as written in decimals: as a binary fraction, 3 MACs at 0.3 MMAC/s would take
        # 10 001 ns.
        rate = Fraction(str(rates.of(step.precision, step.kind)))
        if self.clock not in (1.0, "auto"):
            rate *= Fraction(str(self.clock))
        computing = Fraction(macs * 1000) / rate
        gb_per_s = getattr(self.bandwidth, f"{self.weights_in}_gb_per_s")
        if gb_per_s is None:
            return ceil(computing)
        return ceil(max(computing, Fraction(weight_bytes) / Fraction(str(gb_per_s))))

    def loads(self, program: Program, hop_ns: int) -> dict[Resource, float]:
        """Share of the time that `program` needs of the core and of the accelerator; above 1 it
        does not fit. Periodic interrupts leave only a part of the core's time."""
        device = self.running(program, hop_ns)
        loads: dict[Resource, float] = {"core": 0.0}
        for step in program:
            if isinstance(step, Compute):
                resource = device.resource(step)
                share = device.compute_ns(step) / step.every / hop_ns
                loads[resource] = loads.get(resource, 0.0) + share
        loads["core"] /= 1 - self.interrupts.share
        return loads

    def running(self, program: Program, hop_ns: int) -> DeviceSpec:
        """The device with the clock at which it runs `program`.

        `auto` is the slowest at which the work of the most expensive frame fits a hop, on the core
        and on the accelerator (a little faster where memory limits it, which has its own clock);
        1 where it does not fit at all.
        """
        if self.clock != "auto":
            return self
        full = self.model_copy(update={"clock": 1.0})
        needed_ns: dict[Resource, int] = {}
        for step in program:
            if isinstance(step, Compute):
                resource = full.resource(step)
                needed_ns[resource] = needed_ns.get(resource, 0) + full.compute_ns(step)
        free_ns = {"core": hop_ns * (1 - self.interrupts.share), "accelerator": float(hop_ns)}
        needed = max((ns / free_ns[resource] for resource, ns in needed_ns.items()), default=1.0)
        steps = sum(isinstance(step, Compute) for step in program)
        # The time of each step is rounded up.
        clock = min(1.0, max(needed + 2 * steps / hop_ns, 1e-6))
        return self.model_copy(update={"clock": clock})

    def placed(self, ledger: MemoryLedger) -> MemoryLedger:
        """The items where this device keeps them: weights that are read from RAM lie there too."""
        if self.weights_in == "nvm":
            return ledger
        copies = tuple(
            Item(f"{item.name}, copied", item.bytes, "ram")
            for item in ledger.items
            if item.region == "nvm"
        )
        return replace(ledger, items=ledger.items + copies)


class DevicesSpec(Spec):
    """The two ears' devices."""

    left: DeviceSpec = DeviceSpec()
    right: DeviceSpec = DeviceSpec()
