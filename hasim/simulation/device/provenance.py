"""Warnings about where the numbers of a device come from, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from hasim.config import presets
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.power import PowerSpec
from hasim.simulation.program import Compute, Program, Send

NAMES = {
    "mmac_per_s": "MAC rate",
    "accelerator_mmac_per_s": "MAC rate of the accelerator",
    "bandwidth": "memory bandwidth",
    "power": "power",
    "ram_kb": "RAM",
    "nvm_kb": "NVM",
}


def warnings_about(device: DeviceSpec, program: Program) -> tuple[str, ...]:
    """Estimates, claims and gaps behind a device's numbers, as far as `program` uses them."""
    of_power = () if device.power is None else _of_power(device.power, program)
    return (*_of_preset(device, program), *of_power)


def _of_preset(device: DeviceSpec, program: Program) -> Iterator[str]:
    if device.preset is None:
        return
    origin, name = presets.origin(device), presets.label(device.preset)
    if origin["provenance"] == "unknown":
        yield f"the preset file {name} is gone, and with it where its numbers come from"
        return
    if origin["provenance"] == "vendor_claim":
        yield f"{name} is what a vendor claims"
    if origin["provenance"] == "estimate":
        yield f"{name} is an estimate ({origin['error_bar']})"
    precisions = {step.precision for step in program if isinstance(step, Compute)}
    for path, how in origin["estimated"].items():
        part, _, rest = path.partition(".")
        if not part.endswith("mmac_per_s") or rest in precisions:
            yield f"uses estimated {NAMES.get(part, part)} ({rest}): {how}"
    given = presets.load("devices", device.preset).values
    for key in ("ram_kb", "nvm_kb"):
        assumed_kb = getattr(device, key)
        if key not in given and assumed_kb == DeviceSpec.model_fields[key].default:
            yield f"{NAMES[key]} of {name} is not public: {assumed_kb:g} kB assumed"


def _of_power(power: PowerSpec, program: Program) -> Iterator[str]:
    if power.idle_mw is None:
        yield "idle power is not known and not counted"
    if power.radio is None and any(isinstance(step, Send) for step in program):
        yield "radio power is not known and not counted"
