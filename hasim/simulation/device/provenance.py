"""What a result that rests on a device does not really know, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from hasim.config import presets
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.program import Compute, Program, Send

NAMES = {
    "mmac_per_s": "MAC rate",
    "accelerator_mmac_per_s": "MAC rate of the accelerator",
    "bandwidth": "memory bandwidth",
    "power": "power",
    "ram_kb": "RAM",
    "nvm_kb": "NVM",
}


def doubts(device: DeviceSpec, program: Program) -> tuple[str, ...]:
    """Estimates, claims and gaps behind a device's numbers, as far as `program` touches them."""
    return tuple(_doubts(device, program))


def _doubts(device: DeviceSpec, program: Program) -> Iterator[str]:
    precisions = {step.precision for step in program if isinstance(step, Compute)}
    origin = presets.origin(device)
    if device.preset is not None:
        if origin["provenance"] == "vendor_claim":
            yield f"{device.preset} is what a vendor claims"
        if origin["provenance"] == "estimate":
            yield f"{device.preset} is an estimate ({origin['error_bar']})"
        for path, how in origin["estimated"].items():
            part, _, rest = path.partition(".")
            if not part.endswith("mmac_per_s") or rest in precisions:
                yield f"uses estimated {NAMES[part]} ({rest}): {how}"
        given = presets.load("devices", device.preset).values
        for key in ("ram_kb", "nvm_kb"):
            assumed_kb = getattr(device, key)
            if key not in given and assumed_kb == DeviceSpec.model_fields[key].default:
                yield f"{NAMES[key]} of {device.preset} is not public: {assumed_kb:g} kB assumed"
    if device.power is not None:
        if device.power.idle_mw is None:
            yield "idle power is not known and not counted"
        if device.power.radio is None and any(isinstance(step, Send) for step in program):
            yield "radio power is not known and not counted"
