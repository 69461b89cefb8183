"""Bring your own room: responses of four microphones per source, as WAV files, in place of room and
head.

The responses here are made up (direct sound and a noisy tail); recordings take their place.
"""

import numpy as np
import soundfile

import hasim

RATE_HZ, T60_S = 48_000, 0.4
rng = np.random.default_rng(0)
time_s = np.arange(round(T60_S * RATE_HZ)) / RATE_HZ


def response(delays_ms, levels):
    """(sample, microphone): left front, left rear, right front, right rear."""
    tail = 0.01 * rng.standard_normal((len(time_s), 4)) * 10 ** (-3 * time_s / T60_S)[:, None]
    for mic, (delay_ms, level) in enumerate(zip(delays_ms, levels, strict=True)):
        first = round((3 + delay_ms) * 1e-3 * RATE_HZ)
        tail[:first, mic] = 0
        tail[first, mic] = level
    return tail


soundfile.write("talker.wav", response([0, 0.03, 0, 0.03], [0.9, 0.85, 0.9, 0.85]), RATE_HZ)
soundfile.write("noise.wav", response([0.65, 0.67, 0, 0.02], [0.4, 0.4, 0.9, 0.9]), RATE_HZ)

result = hasim.run(
    {
        "name": "own_room",
        "duration_s": 2,
        "metrics": ["si_sdr", "cues"],
        "scene": {
            "target": {"response": "talker.wav"},
            "noises": [{"source": {"name": "noise_rain"}, "response": "noise.wav"}],
        },
    }
)
print(result)
print(f"T60 measured in the talker's response: {result.scene.t60_s:.2f} s")
