"""Bring your own metric: segmental SNR, the mean of the SNR of frames, each kept in -10 to 35 dB.

The entry point `seg_snr = "my_package:SEGMENTAL_SNR"` in the group `hasim.metrics` makes it a name
in `metrics:` everywhere. Source: J. H. L. Hansen and B. L. Pellom, ICSLP 1998.
"""

import numpy as np

import hasim
from hasim import Metric, Quantity, Unscored


def segmental_snr_db(target, estimate, sample_rate_hz):
    """Of one ear's signals (sample,), the estimate scaled to hold the target at its own level."""
    if not np.vdot(estimate, target):
        return Unscored("nothing of the target in the estimate")
    estimate = estimate * np.vdot(target, target) / np.vdot(estimate, target)
    length = round(0.032 * sample_rate_hz)
    frames = len(target) // length * length
    target, estimate = (x[:frames].reshape(-1, length) for x in (target, estimate))
    error = np.sum((estimate - target) ** 2, axis=-1)
    ratio = np.sum(target**2, axis=-1) / np.maximum(error, 1e-20)
    return float(np.mean(np.clip(10 * np.log10(np.maximum(ratio, 1e-20)), -10, 35)))


def measure(signals):
    """One number for each ear: `signals.estimate` (ear, sample) against the others."""
    ears = zip(signals.target, signals.estimate, strict=True)
    left, right = (segmental_snr_db(s, e, signals.sample_rate_hz) for s, e in ears)
    return {"seg_snr_db_left": left, "seg_snr_db_right": right}


SEGMENTAL_SNR = Metric("seg_snr", measure, (Quantity("seg_snr", "segmental SNR", "dB", digits=1),))

if __name__ == "__main__":
    settings = {"duration_s": 2, "metrics": ["si_sdr"]}
    run = hasim.run("scenarios/noise_90deg.yaml", set=settings, metrics=[SEGMENTAL_SNR])
    print("better by", run.numbers["seg_snr_improvement_db_left"], "dB at the left ear")
