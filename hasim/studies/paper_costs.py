"""The computations of a frame, of the network and of all the rest, beside the paper's figures.

The networks' numbers are from `networks.cost`; everything else is read from the nodes' programs,
which the devices execute in a run. The paper counts networks only.
"""

from __future__ import annotations

from typing import Any

from hasim.experiment.scenario import Scenario, replace
from hasim.networks import cost
from hasim.networks.cost import Erb
from hasim.networks.precision import PrecisionSpec
from hasim.networks.variants import VARIANTS
from hasim.simulation.program import Compute, macs_per_frame

HOP_S = 0.016
MIB, MEGABYTE = 2**20, 10**6

# Benslimane et al., "It Takes Few to TANGO", Tables I, II, IV and V. `macs_per_frame` in thousands
# as printed; memory "MB" as printed (4.03 is MiB; see `networks.cost`).
PRINTED: dict[str, dict[str, float | str]] = {
    "tango": {"mmac_per_s": 65.65, "parameters": "1 M", "memory_mb": 4.03},
    "inverted_dagger": {"mmac_per_s": 65.65, "parameters": "1 M"},
    "inverted_star": {"mmac_per_s": 65.65, "parameters": "1 M"},
    "mn_tango": {
        **{"kmacs_per_frame": 492.67, "mmac_per_s": 30.79},
        **{"parameters": "0.5 M", "memory_mb": 0.508},
    },
    "mn_tango_g2": {
        **{"kmacs_per_frame": 172.67, "mmac_per_s": 10.79},
        **{"parameters": "0.179 M", "memory_mb": 0.274},
    },
    "mn_tango_g4": {"kmacs_per_frame": 107.14, "mmac_per_s": 6.70},
    "mn_tango_g6": {"kmacs_per_frame": 82.66, "mmac_per_s": 5.17},
    "mn_tango_g8": {
        **{"kmacs_per_frame": 74.37, "mmac_per_s": 4.65},
        **{"parameters": "0.081 M", "memory_mb": 0.177},
    },
    "mn_tango_g10": {"kmacs_per_frame": 69.93, "mmac_per_s": 4.37},
}

PARTS = ("stft", "istft", "covariance", "weights", "apply")


def rows(erb: Erb = "dense", precision: PrecisionSpec | None = None) -> list[dict[str, Any]]:
    """One row per variant: the network's MACs, parameters and bytes, the rest of the frame, and
    what the paper prints (under `paper`).

    `signal` is what the paper leaves out, in MACs per frame by part: transforms (also of the
    received signal), covariances and weights (with those of the filter that conceals losses), and
    their application. `sparse_erb` is the saving of an ERB bank that skips its zeros.
    """
    other = {row["name"]: row for row in cost.table(HOP_S, "sparse" if erb == "dense" else "dense")}
    found = []
    for row in cost.table(HOP_S, erb, precision):
        difference = abs(row["macs_per_frame"] - other[row["name"]]["macs_per_frame"])
        signal = _signal(row["name"])
        total = row["macs_per_frame"] + sum(signal.values())
        found.append(
            {
                **row,
                "memory": {
                    precision: {
                        "mib": sum(stored.values()) / MIB,
                        "mb": sum(stored.values()) / MEGABYTE,
                    }
                    for precision, stored in row["bytes"].items()
                },
                "sparse_erb": {
                    "saved_macs_per_frame": difference,
                    "saved_mmac_per_s": difference / HOP_S / 1e6,
                },
                "signal": signal or None,
                "total_mmac_per_s": total / HOP_S / 1e6 if signal else None,
                "paper": PRINTED.get(row["name"]),
            }
        )
    return found


def _signal(name: str) -> dict[str, int]:
    """MACs per frame of all that is not the network, by part; empty for a network alone."""
    if name not in VARIANTS:
        return {}
    changes = VARIANTS[name].settings | {"algorithm.masks": "oracle"}
    program, _ = replace(Scenario(), changes).programs
    steps = [step for step in program if isinstance(step, Compute) and step.part == "signal"]
    found = {
        part: round(macs_per_frame(tuple(s for s in steps if s.name.partition("_")[0] == part)))
        for part in PARTS
    }
    assert sum(found.values()) == round(macs_per_frame(tuple(steps))), "a step of no part"
    return found
