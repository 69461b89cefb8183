"""Shelf: the devices that carry the algorithms."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from hasim.energy import BatterySpec, PowerSpec
from hasim.presets import FromShelf, Shelf, names
from hasim.program import Compute, Precision
from hasim.spec import Spec

if TYPE_CHECKING:
    DevicePreset: TypeAlias = str
else:
    DevicePreset = Literal[names("devices")]


class Rates(Spec):
    """MMAC/s by precision; a precision left out runs at the fp32 rate."""

    fp32: float = Field(100.0, gt=0, le=1e6)
    int16: float | None = Field(None, gt=0, le=1e6)
    int8: float | None = Field(None, gt=0, le=1e6)
    int4: float | None = Field(None, gt=0, le=1e6)

    def of(self, precision: Precision) -> float:
        """MMAC/s at `precision`."""
        rate = getattr(self, precision)
        return self.fp32 if rate is None else rate


def _one_rate_for_all(value: Any) -> Any:
    return (
        {"fp32": value}
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else value
    )


class DeviceSpec(FromShelf):
    """One ear's processor: rates, memory, power, and what it does with a frame it has no time
    for."""

    shelf: ClassVar[Shelf] = "devices"

    preset: DevicePreset | None = None
    """Fills in what is not said beside it, and says where that comes from."""

    mmac_per_s: Annotated[
        Rates,
        BeforeValidator(
            _one_rate_for_all,
            json_schema_input_type=Annotated[float, Field(gt=0, le=1e6)] | Rates,
        ),
    ] = Rates()
    """One number, or a number per precision (fp32, int16, int8, int4)."""
    ram_kb: float = Field(512.0, gt=0)
    """Working memory, 1 kB = 1024 bytes."""
    nvm_kb: float = Field(1024.0, gt=0)
    """Non-volatile memory for weights and tables, 1 kB = 1024 bytes."""
    overload: Literal["skip_frame", "queue"] = "queue"
    """A frame released while the core is busy is skipped, or waits its turn."""
    power: PowerSpec | None = None
    """What it draws; unknown leaves energy and battery out of the result."""
    battery: BatterySpec = BatterySpec(preset="zn-312", mah=180, volts=1.25)

    def compute_ns(self, step: Compute) -> int:
        """Time that one execution of `step` occupies the core, rounded up to whole nanoseconds."""
        # The rate as written in decimals: as a binary fraction, 3 MACs at 0.3 MMAC/s would take
        # 10 001 ns.
        return ceil(Fraction(step.macs * 1000) / Fraction(str(self.mmac_per_s.of(step.precision))))


class DevicesSpec(Spec):
    """The two ears' devices."""

    left: DeviceSpec = DeviceSpec()
    right: DeviceSpec = DeviceSpec()
