"""Bring your own head: write a SOFA file as a measurement would, and listen through it.

The head here is made up (a delay and a shadow for each direction); a measured file takes its place.
"""

from pathlib import Path

import h5py
import numpy as np

import hasim

RATE_HZ, TAPS, RADIUS_M, SPEED_M_PER_S = 48_000, 128, 0.0875, 343.0
azimuths_deg = np.arange(0, 360, 5)
ears_deg = np.array([97, 103, -97, -103])  # left front, left rear, right front, right rear

off_deg = np.abs((azimuths_deg[:, None] - ears_deg + 180) % 360 - 180)  # (direction, receiver)
angle = np.deg2rad(off_deg)
path_m = np.where(angle < np.pi / 2, -RADIUS_M * np.cos(angle), RADIUS_M * (angle - np.pi / 2))
delay = (path_m + RADIUS_M) / SPEED_M_PER_S * RATE_HZ + 20
firs = np.sinc(np.arange(TAPS) - delay[..., None]) * np.hanning(TAPS)
firs *= (0.65 + 0.35 * np.cos(angle))[..., None]  # softer behind the head

with h5py.File("my_head.sofa", "w") as sofa:
    sofa.attrs.update(Conventions="SOFA", SOFAConventions="SimpleFreeFieldHRIR", DataType="FIR")
    sofa["Data.IR"] = firs  # (direction, receiver, tap)
    sofa["Data.SamplingRate"] = float(RATE_HZ)
    sofa["Data.Delay"] = np.zeros((1, 4))
    sofa["SourcePosition"] = np.stack(
        [azimuths_deg, np.zeros(len(azimuths_deg)), np.ones(len(azimuths_deg))], axis=1
    )  # azimuth to the left in degrees, elevation from the horizon, distance in metres
    sofa["SourcePosition"].attrs.update(Type="spherical", Units="degree, degree, metre")

settings = {"duration_s": 1, "algorithm.masks": "oracle", "metrics": ["si_sdr", "cues"]}
file = str(Path("my_head.sofa").resolve())  # else a path starts at the scenario's folder
for head in ({"kind": "sphere"}, {"kind": "sofa", "path": file}):
    result = hasim.run("scenarios/noise_90deg.yaml", set=settings | {"scene.head": head})
    print(head["kind"], result)
