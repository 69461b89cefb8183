"""Energy: cases with closed answers, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from hasim.config import presets
from hasim.dsp.stft import FrontEndSpec
from hasim.simulation.device.device import DeviceSpec
from hasim.simulation.device.power import BatterySpec, MacEnergy, PowerSpec, RadioPower
from hasim.simulation.energy import COMPONENTS, battery_hours, ledger
from hasim.simulation.link.losses import NoLoss
from hasim.simulation.link.traffic import ConstantRate, IdealLink
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program, Receive, Send
from hasim.simulation.simulate import simulate
from hasim.simulation.timeline import Mode, Timeline
from tests.conftest import hand_made_timeline


def play(
    program: Program,
    device: DeviceSpec,
    *,
    frames: int = 100,
    hop_ns: int = 16_000_000,
    link: ConstantRate | IdealLink | None = None,
) -> Timeline:
    return simulate(
        (program, program),
        frames=frames,
        hop_ns=hop_ns,
        devices=(device, device),
        link=link or IdealLink(),
        playout=PlayoutSpec(),
        stream=lambda name: np.random.default_rng(1),
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_case_29_constant_power_for_a_minute_is_exactly_90_mj(share):
    """Whatever the core does, 1.5 mW for 60 s is 90 mJ, to the last digit."""
    hop_ns = 16_000_000
    program = (Compute("work", round(share * 1600)),)  # 1600 MAC at 0.1 MMAC/s are 16 ms
    timeline = play(program, DeviceSpec(mmac_per_s=0.1), frames=3750, hop_ns=hop_ns)
    power = PowerSpec(active_mw=1.5, idle_mw=1.5)
    # At full load the last frame is computed after the last hop: that time is in the span.
    spent = ledger(timeline, 0, program, power, 0)
    assert spent.total_mj == Fraction(3, 2) * spent.span_ns / 10**9
    if share < 1:
        assert timeline.duration_ns + round(share * hop_ns) == spent.span_ns
    without_tail = spent.total_mj - Fraction(3, 2) * Fraction(spent.span_ns - 60 * 10**9, 10**9)
    assert without_tail == 90
    assert spent.total_mj == sum(spent.mj.values())
    assert spent.mean_mw() == 1.5


def test_case_29_radio_at_duty_d_takes_d_of_sending_and_the_rest_of_sleep():
    """One-way traffic: d P_tx + (1 - d) P_sleep at the sender, P_rx at the receiver."""
    programs = ((Send("x", 8 * 160),), ())
    timeline = simulate(
        programs,
        frames=500,
        hop_ns=16_000_000,
        devices=(DeviceSpec(), DeviceSpec()),
        link=ConstantRate(rate_kbps=800, overhead_octets=0, latency_ms=0, loss=NoLoss()),
        playout=PlayoutSpec(),
        stream=lambda name: np.random.default_rng(1),
    )
    power = PowerSpec(
        active_mw=1, idle_mw=0, radio=RadioPower(tx_mw=10, rx_mw=8, sleep_mw=0.05, ramp_us=0)
    )
    sender, receiver = (ledger(timeline, ear, programs[ear], power, 0) for ear in (0, 1))
    duty = 500 * 1.6e6 / sender.span_ns  # 1280 bits at 800 kbit/s are 1.6 ms
    assert duty == pytest.approx(0.1, rel=1e-3)
    assert sender.mean_mw() == pytest.approx(10 * duty + 0.05 * (1 - duty), rel=1e-12)
    assert receiver.mean_mw() == pytest.approx(8 * duty + 0.05 * (1 - duty), rel=1e-12)
    assert receiver.mj["radio_tx"] == sender.mj["radio_rx"] == 0


def test_the_radio_gets_up_before_each_packet():
    program = (Send("x", 8 * 160), Receive("x"))
    link = ConstantRate(rate_kbps=800, overhead_octets=0, loss=NoLoss())
    timeline = play(program, DeviceSpec(), frames=10, link=link)
    power = PowerSpec(active_mw=1, radio=RadioPower(tx_mw=10, rx_mw=10, ramp_us=400))
    spent = ledger(timeline, 0, program, power, 0)
    assert spent.mj["radio_tx"] == spent.mj["radio_rx"] == 10 * 10 * Fraction(16 + 4, 10**4)


def test_case_30_a_312_cell_lasts_120_hours_then_87_then_52():
    """180 mAh at 1.5 mA; with 0.613 mW for the network; with 1.5 mW for the radio besides."""
    cell = BatterySpec(**presets.values("batteries", "zn-312"))
    base_mw = 1.5 * cell.volts
    assert battery_hours(cell, 0, base_mw) == 120.0
    assert battery_hours(cell, 0.613, base_mw) == pytest.approx(86.7, abs=0.05)
    assert battery_hours(cell, 0.613 + 1.5, base_mw) == pytest.approx(51.6, abs=0.05)
    assert battery_hours(cell, 0) == float("inf")


@pytest.mark.parametrize(
    ("name", "computes_ms", "published_mw"),
    [
        ("ref-stm32u575-160", 11.63, 11.47),
        ("ref-stm32u385-96", 0.606 * 32.07, 3.98),
        ("ref-stm32l4r5p-120", 0.559 * 32.07, 25.6),
        ("ref-stm32h7a3-280", 0.133 * 32.07, 30.5),
    ],
)
def test_case_38_streaming_power_of_the_presets_is_the_published_one(
    name, computes_ms, published_mw
):
    """One inference per 32.07 ms, played through the simulation; within 1 %."""
    device = DeviceSpec(**presets.values("devices", name))
    macs = round(computes_ms * 1e3 * device.mmac_per_s.of("int8"))
    program = (Compute("wake_word", macs, "int8", "network"),)
    timeline = play(program, device, frames=400, hop_ns=32_070_000)
    spent = ledger(timeline, 0, program, device.power, 0)
    assert spent.mean_mw() == pytest.approx(published_mw, rel=0.01)
    duty = presets.load("devices", name).figures["streaming_duty"]
    assert timeline.utilisation[0] == pytest.approx(duty, rel=2e-3)


def test_case_10_utilisation_is_load_over_rate():
    """30.79 MMAC/s on the 50.2 of an STM32L4R5: 9.81 of 16 ms, 0.613; within 0.1 %."""
    device = DeviceSpec(**presets.values("devices", "ref-stm32l4r5-120"))
    program = (Compute("mn_dnn", 492_674, "int8", "network"),)
    assert device.compute_ns(program[0]) == pytest.approx(9.81e6, abs=0.005e6)
    timeline = play(program, device, frames=2000)
    assert timeline.utilisation[0] == pytest.approx(0.6134, rel=1e-3)
    spent = ledger(timeline, 0, program, device.power, 0)
    assert spent.mean_mw("network") == pytest.approx(23.7, abs=0.05)


def test_network_power_on_gap9_is_the_product_of_load_and_energy():
    """30.79 MMAC/s at 19.9 pJ are 0.613 mW; by states of the core it is the same within 1 %."""
    device = DeviceSpec(**presets.values("devices", "ref-gap9-0v65-240"))
    program = (Compute("mn_dnn", 492_674, "int8", "network"), Compute("gevd", 10**5))
    timeline = play(program, device, frames=500)
    spent = ledger(timeline, 0, program, device.power, 0)
    assert spent.mean_mw("network") == pytest.approx(30.79 * 19.9e-3, rel=0.01)
    assert spent.mean_mw("signal") == pytest.approx(6.25 / 244 * 19.3, rel=0.01)


def test_by_work_every_mac_and_byte_is_charged_once_and_idle_only_while_idle():
    program = (
        Compute("net", 1000, "int8", "network"),
        Compute("stft", 500),
        Compute("gevd", 300, every=4),
    )
    device = DeviceSpec(mmac_per_s=1)
    timeline = play(program, device, frames=100)
    power = PowerSpec(pj_per_mac=MacEnergy(fp32=40, int8=10), pj_per_byte=2, idle_mw=0.5)
    spent = ledger(timeline, 0, program, power, memory_bytes=5000)
    assert spent.mj["network"] * 10**9 == 100 * 1000 * 10
    assert spent.mj["signal"] * 10**9 == 100 * 500 * 40 + 25 * 300 * 40
    assert spent.mj["memory"] * 10**9 == 100 * 5000 * 2
    busy_ns = 100 * 1_500_000 + 25 * 300_000
    assert spent.mj["idle"] == Fraction(1, 2) * (spent.span_ns - busy_ns) / 10**9


def test_a_frame_that_was_skipped_costs_no_work():
    program = (Compute("net", 24_000, "fp32", "network"),)
    device = DeviceSpec(mmac_per_s=1, overload="skip_frame")  # 24 ms of 16
    timeline = play(program, device, frames=100)
    power = PowerSpec(pj_per_mac=MacEnergy(fp32=10))
    assert ledger(timeline, 0, program, power, 0).mj["network"] * 10**9 == 50 * 24_000 * 10


def test_base_power_runs_all_the_time():
    timeline = play((), DeviceSpec(), frames=125)
    spent = ledger(timeline, 1, (), PowerSpec(active_mw=5, base_mw=2), 0)
    assert spent.mj["base"] == 4
    assert set(spent.mj) == set(COMPONENTS)


def test_two_accounts_of_the_same_energy_are_refused():
    with pytest.raises(ValueError, match="give either active_mw or pj_per_mac"):
        PowerSpec(active_mw=1, pj_per_mac=MacEnergy(fp32=1))
    with pytest.raises(ValueError, match="give either active_mw or pj_per_mac"):
        PowerSpec()
    with pytest.raises(ValueError, match="must be left out with active_mw"):
        PowerSpec(active_mw=1, pj_per_byte=1)


@pytest.mark.parametrize(
    ("name", "clock", "published_mw"),
    [
        ("ref-stm32u575-160", 60 / 160, 9.52),
        ("ref-stm32l4r5p-120", 70 / 120, 22.7),
        ("ref-stm32h7a3-280", 40 / 280, 16.2),
    ],
)
def test_slowed_down_boards_draw_about_what_was_measured(name, clock, published_mw):
    """The streaming test at the clock at which an inference just fits, within 17 %."""
    whole = presets.values("devices", name)
    duty = presets.load("devices", name).figures["streaming_duty"]
    device = DeviceSpec(**whole, clock=clock)
    macs = round(duty * 32_070 * device.mmac_per_s.of("int8"))
    program = (Compute("wake_word", macs, "int8", "network"),)
    timeline = play(program, device, frames=100, hop_ns=32_070_000)
    assert timeline.utilisation[0] == pytest.approx(duty / clock, rel=1e-3)
    spent = ledger(timeline, 0, program, device.power, 0)
    assert spent.mean_mw() == pytest.approx(published_mw, rel=0.17)


def test_what_held_and_degraded_frames_leave_out_costs_nothing():
    """Three frames: full, held, degraded. The network costs 1000 MACs, its spare one 100."""
    program = (
        Compute("net", 1000, part="network", renews=True, spare_macs=100),
        Compute("apply", 10),
    )
    timeline = replace(
        hand_made_timeline(FrontEndSpec(), 512),
        mode=np.array([[Mode.FULL, Mode.HELD, Mode.DEGRADED]] * 2),
    )
    power = PowerSpec(pj_per_mac=MacEnergy(fp32=10))
    spent = ledger(timeline, 0, program, power, 0).mj
    assert timeline.computed.shape == (2, 3)
    assert spent["network"] == Fraction(10 * (1000 + 100), 10**9)
    assert spent["signal"] == Fraction(10 * 10 * 3, 10**9)
