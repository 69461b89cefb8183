"""Time without sound: play a program of one's own on two devices and a link, and look at it."""

import numpy as np

from hasim import Compute, ConstantRate, DeviceSpec, PlayoutSpec, Receive, Send, simulate

HOP_NS = 4_000_000  # a frame every 4 ms
program = (
    Compute("features", 40_000),
    Send("features", 400),
    Receive("features"),
    Compute("network", 120_000, "int8", part="network"),
)
timeline = simulate(
    (program, program),
    frames=1000,
    hop_ns=HOP_NS,
    devices=(DeviceSpec(mmac_per_s={"fp32": 60}), DeviceSpec(mmac_per_s={"fp32": 100})),
    link=ConstantRate(rate_kbps=500, loss={"kind": "bernoulli", "probability": 0.02}),
    playout=PlayoutSpec(),
    stream=lambda name: np.random.default_rng([7, *name.encode()]),
)
ready_ms = (timeline.finished_ns - timeline.released_ns) * 1e-6  # (ear, frame)
arrived = timeline.channels["features"].on_time
for ear, name in enumerate(("left", "right")):
    print(
        f"{name:5}: ready after {np.median(ready_ms[ear]):.2f} ms, "
        f"at most {ready_ms[ear].max():.2f}, "
        f"busy {timeline.busy_ns[ear] / timeline.duration_ns:.0%}, "
        f"packets in time {arrived[ear].mean():.1%}"
    )
print(f"played {timeline.playout_delay_ns * 1e-6:.2f} ms after a frame is complete")
