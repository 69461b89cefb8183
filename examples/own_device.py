"""Bring your own device: a preset file beside the script, and which algorithms fit on it.

`hasim fit --devices examples/own_device.yaml` prints the same for all algorithms.
"""

from pathlib import Path

import hasim

# An absolute path: a relative one starts at the scenario's folder.
chip = str(Path(__file__).with_suffix(".yaml"))
settings = {"duration_s": 2, "metrics": ["si_sdr"], "algorithm.masks": "oracle"}
# The question is the chip, not the window of 32 ms, which is too late for any fitting.
settings |= {"fitting.kind": "none"}
settings |= {"devices.left.preset": chip, "devices.right.preset": chip}
print("algorithm    busy  battery  fits")
for kind in ("local", "tango", "mn_tango"):
    changes = settings | {"algorithm.kind": kind}
    result = hasim.run("scenarios/noise_90deg.yaml", set=changes, out=None)
    busy, hours = (result.numbers[f"{name}_left"] for name in ("utilisation", "battery_hours"))
    print(f"{kind:10}  {busy:5.1%}  {hours:5.1f} h  {result.verdict.feasible}")
