"""Energy of an ear's electronics by component, and how long a cell lasts.

The core is charged either by its states (active while it computes, idle otherwise; measured board
power includes memory and leakage) or, where only that is known, by multiply-accumulate and by byte;
never both for the same nanosecond. Power is taken to be proportional to the clock; for three boards
that were measured at a slower clock (MLPerf Tiny v1.3, streaming) that is between 16 % too little
and 11 % too much. 1 mW for 1 s is 1 mJ; energies are exact fractions of the figures as written.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hasim.simulation.device.power import BatterySpec, PowerSpec, RadioPower
from hasim.simulation.program import Compute, Program
from hasim.simulation.timeline import Mode, Timeline

COMPONENTS = (
    "network",
    "signal",
    "memory",
    "idle",
    "radio_tx",
    "radio_rx",
    "radio_sleep",
    "base",
)


@dataclass(frozen=True)
class EnergyLedger:
    """Energy of one ear during a run."""

    mj: dict[str, Fraction]
    """Energy in mJ by component, see COMPONENTS."""
    span_ns: int

    @property
    def total_mj(self) -> Fraction:
        """All components."""
        return sum(self.mj.values(), Fraction(0))

    def mean_mw(self, component: str | None = None) -> float:
        """Average power of one component, or of all."""
        energy_mj = self.total_mj if component is None else self.mj[component]
        return float(energy_mj * 10**9 / self.span_ns)


def ledger(
    timeline: Timeline, ear: int, program: Program, power: PowerSpec, memory_bytes: int
) -> EnergyLedger:
    """Energy of `ear` from the start of the run to its last computation and packet.

    `memory_bytes` is what lies in its memories; each byte is accessed once per computed frame.
    """
    ends_ns = [timeline.duration_ns, *timeline.finished_ns[ear].tolist()]
    if len(timeline.packets):
        ends_ns.append(int(timeline.packets["end_ns"].max()))
    span_ns = max(ends_ns)
    mj = dict.fromkeys(COMPONENTS, Fraction(0))
    mj |= _core(timeline, ear, program, power, memory_bytes, span_ns)
    if power.radio is not None:
        mj |= _radio(timeline, ear, power.radio, span_ns)
    mj["base"] = _mj(power.base_mw, span_ns)
    return EnergyLedger(mj, span_ns)


def battery_hours(cell: BatterySpec, power_mw: float, base_mw: float = 0.0) -> float:
    """How long a cell lasts with `power_mw` behind its converter and `base_mw` directly from it.

    >>> round(battery_hours(BatterySpec(mah=180, volts=1.25), 0.613, 1.5 * 1.25), 1)
    86.7
    """
    current_ma = (base_mw + power_mw / cell.conversion) / cell.volts
    return cell.mah * cell.usable / current_ma if current_ma > 0 else float("inf")


def numbers(spent: EnergyLedger, cell: BatterySpec, power: PowerSpec) -> dict[str, float]:
    """Average power in total and by component, and how long the cell lasts."""
    total_mw, base_mw = spent.mean_mw(), spent.mean_mw("base")
    found = {"power_mw": total_mw}
    found |= {f"power_{name}_mw": spent.mean_mw(name) for name in _counted(power)}
    if total_mw > 0:
        found["battery_hours"] = battery_hours(cell, total_mw - base_mw, base_mw)
    return found


def _counted(power: PowerSpec) -> tuple[str, ...]:
    """The components that are known for this power model."""
    left_out = {"memory"} if power.pj_per_byte is None else set()
    if power.idle_mw is None:
        left_out.add("idle")
    if power.radio is None:
        left_out |= {"radio_tx", "radio_rx", "radio_sleep"}
    return tuple(name for name in COMPONENTS if name not in left_out)


def _core(
    timeline: Timeline,
    ear: int,
    program: Program,
    power: PowerSpec,
    memory_bytes: int,
    span_ns: int,
) -> dict[str, Fraction]:
    """Network and signal processing by time or by work; idle for the rest of the time.

    Interrupts are counted with the step that they interrupt, elsewhere with the signal processing.
    """
    busy_ns = int(timeline.busy_ns[ear])
    clock = Fraction(str(timeline.clock[ear]))
    idle = clock * _mj(power.idle_mw or 0.0, max(0, span_ns - busy_ns))
    if power.active_mw is not None:
        steps = timeline.steps[timeline.steps["ear"] == ear]
        networks = [s.name for s in program if isinstance(s, Compute) and s.part == "network"]
        own = steps[np.isin(steps["name"], networks)]
        network_ns = min(busy_ns, int(np.sum(own["end_ns"] - own["start_ns"])))
        return {
            "network": clock * _mj(power.active_mw, network_ns),
            "signal": clock * _mj(power.active_mw, busy_ns - network_ns),
            "idle": idle,
        }
    assert power.pj_per_mac is not None
    computed = timeline.computed[ear]
    frames = np.flatnonzero(computed)
    mode = np.broadcast_to(timeline.mode[ear], computed.shape)[frames]
    energies = {"network": Fraction(0), "signal": Fraction(0), "idle": idle}
    for step in program:
        if isinstance(step, Compute):
            due = frames % step.every == 0
            if step.renews:
                due &= mode != Mode.HELD
            spare = due & (mode == Mode.DEGRADED) & (step.spare_macs is not None)
            macs = step.macs * int(np.count_nonzero(due & ~spare))
            macs += (step.spare_macs or 0) * int(np.count_nonzero(spare))
            energies[step.part] += Fraction(str(power.pj_per_mac.of(step.precision))) * macs / 10**9
    touched = Fraction(str(power.pj_per_byte or 0.0)) * memory_bytes * len(frames)
    return energies | {"memory": touched / 10**9}


def _radio(timeline: Timeline, ear: int, radio: RadioPower, span_ns: int) -> dict[str, Fraction]:
    """Transmitting during own attempts, receiving during the partner's, sleeping otherwise."""
    ramp_ns = round(radio.ramp_us * 1e3)
    spent_ns = []
    for sender in (ear, 1 - ear):
        own = timeline.packets[timeline.packets["sender"] == sender]
        spent_ns.append(int(np.sum(own["end_ns"] - own["start_ns"])) + ramp_ns * len(own))
    tx_ns, rx_ns = spent_ns
    return {
        "radio_tx": _mj(radio.tx_mw, tx_ns),
        "radio_rx": _mj(radio.rx_mw, rx_ns),
        "radio_sleep": _mj(radio.sleep_mw, max(0, span_ns - tx_ns - rx_ns)),
    }


def _mj(mw: float, ns: int) -> Fraction:
    return Fraction(str(mw)) * ns / 10**9
