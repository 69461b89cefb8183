"""Power of a device: cores, memory, radio, and its battery."""

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
    """Power of an ear's radio in each of its states."""

    preset_group: ClassVar[PresetGroup] = "radios"

    preset: RadioPreset | None = None
    tx_mw: float = Field(0.0, ge=0, le=1e4)
    """While it sends."""
    rx_mw: float = Field(0.0, ge=0, le=1e4)
    """While it receives the partner's packets, whether they are lost or not."""
    sleep_mw: float = Field(0.0, ge=0, le=1e4)
    """The rest of the time."""
    ramp_us: float = Field(0.0, ge=0, le=1e4)
    """Time from sleep to sending or receiving, before each packet, at that state's power."""


class PowerSpec(Spec):
    """Power of an ear's electronics behind the converter: by states of the core, or by work."""

    active_mw: float | None = Field(None, gt=0, le=1e4)
    """While core or accelerator compute, memory and leakage included, at the full clock."""
    pj_per_mac: MacEnergy | None = None
    """Instead of `active_mw`, where only energies are known."""
    pj_per_byte: float | None = Field(None, ge=0, le=1e4)
    """Beside `pj_per_mac`: for every byte of weights, state and buffers, once a frame."""
    idle_mw: float | None = Field(None, ge=0, le=1e4)
    """While nothing is computed, at the full clock; null: unknown, counted as 0 with a warning."""
    radio: RadioPower | None = None
    """Power of the radio; null: unknown, counted as 0 with a warning."""
    base_mw: float = Field(0.0, ge=0, le=1e4)
    """Everything that is not simulated, such as converters and receiver; directly from the cell."""

    @model_validator(mode="after")
    def _one_account(self) -> PowerSpec:
        if (self.active_mw is None) == (self.pj_per_mac is None):
            raise ValueError("give either active_mw or pj_per_mac")
        if self.pj_per_byte is not None and self.active_mw is not None:
            raise ValueError(
                "pj_per_byte: must be left out with active_mw, which includes the memory"
            )
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
    """Share of the capacity that the aid can use."""
    conversion: float = Field(0.85, gt=0, le=1)
    """Efficiency of the converter between cell and electronics."""
