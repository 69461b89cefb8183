"""What a device draws: its cores, memory, radio and battery."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from pydantic import Field, model_validator

from hasim.config.presets import FromPreset, PresetGroup, preset_of
from hasim.config.spec import Spec
from hasim.simulation.program import Precision

if TYPE_CHECKING:
    RadioPreset: TypeAlias = str | Path
    BatteryPreset: TypeAlias = str | Path
else:
    RadioPreset, BatteryPreset = preset_of("radios"), preset_of("batteries")


class MacEnergy(Spec):
    """pJ per multiply-accumulate by precision; one left out costs what fp32 costs."""

    fp32: float = Field(gt=0, le=1e6)
    """In 32-bit floating point."""
    int16: float | None = Field(None, gt=0, le=1e6)
    """With 16-bit weights."""
    int8: float | None = Field(None, gt=0, le=1e6)
    """With 8-bit weights."""
    int4: float | None = Field(None, gt=0, le=1e6)
    """With 4-bit weights."""

    def of(self, precision: Precision) -> float:
        """pJ at `precision`."""
        energy = getattr(self, precision)
        return self.fp32 if energy is None else energy


class RadioPower(FromPreset):
    """What an ear's radio draws in each of its states."""

    preset_group: ClassVar[PresetGroup] = "radios"

    preset: RadioPreset | None = None
    tx_mw: float = Field(0.0, ge=0, le=1e4)
    """While it sends."""
    rx_mw: float = Field(0.0, ge=0, le=1e4)
    """While it listens to the partner's packets, whether they are lost or not."""
    sleep_mw: float = Field(0.0, ge=0, le=1e4)
    """The rest of the time."""
    ramp_us: float = Field(0.0, ge=0, le=1e4)
    """From sleep to sending or listening, before each packet, at that state's power."""


class PowerSpec(Spec):
    """What an ear's electronics draw behind the converter: by states of the core, or by work."""

    active_mw: float | None = Field(None, gt=0, le=1e4)
    """While core or accelerator compute, memory and leakage included, at the full clock."""
    pj_per_mac: MacEnergy | None = None
    """Instead of `active_mw`, where only energies are known."""
    pj_per_byte: float | None = Field(None, ge=0, le=1e4)
    """Beside `pj_per_mac`: for every byte of weights, state and buffers, once a frame."""
    idle_mw: float | None = Field(None, ge=0, le=1e4)
    """While nothing is computed, at the full clock; unknown counts as 0, and is said."""
    radio: RadioPower | None = None
    """Unknown counts as 0, and is said."""
    base_mw: float = Field(0.0, ge=0, le=1e4)
    """All that is not simulated, such as converters and receiver; straight from the cell."""

    @model_validator(mode="after")
    def _one_account(self) -> PowerSpec:
        if (self.active_mw is None) == (self.pj_per_mac is None):
            raise ValueError("give one of active_mw and pj_per_mac; both would count twice")
        if self.pj_per_byte is not None and self.active_mw is not None:
            raise ValueError("pj_per_byte: active_mw has the memory in it; leave one out")
        return self


class BatterySpec(FromPreset):
    """The cell that feeds one ear."""

    preset_group: ClassVar[PresetGroup] = "batteries"

    preset: BatteryPreset | None = None
    mah: float = Field(180.0, gt=0, le=1e5)
    """Capacity."""
    volts: float = Field(1.25, gt=0, le=12)
    """Mean over the discharge."""
    usable: float = Field(1.0, gt=0, le=1)
    """Share of the capacity that the aid can take out."""
    conversion: float = Field(0.85, gt=0, le=1)
    """Share of the cell's energy that the converter leaves to the electronics."""
