"""What the studies share: scenes, one measurement, and a table that grows until it is full."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from hasim.acoustics.scene import Scene
from hasim.experiment.playout import as_heard
from hasim.experiment.run import enhance
from hasim.experiment.scenario import Scenario
from hasim.metrics.scoring import score_stage
from hasim.metrics.signals import Signals
from hasim.simulation.timeline import Timeline

FOLDER = Path(__file__).parent
FIGURES = FOLDER.parent / "figures"
SKIP_S = 1.0  # the covariances' first second is not scored
TALKERS = ("speech_it_male", "speech_en_female", "speech_fr_female", "speech_ru_male")
NOISES = ("noise_market", "noise_harbour", "noise_rain", "noise_river")
AZIMUTHS_DEG = (45, -90, -45, 90)
METRICS = {"si_sdr_db": "SI-SDR (dB)", "si_sir_db": "SI-SIR (dB)", "stoi": "STOI"}


def scenario(number: int, **settings: object) -> Scenario:
    """Scene `number`: its own talker, noise, direction and excerpt; MN-TANGO with perfect masks."""
    base: dict[str, object] = {
        "seed": number,
        "duration_s": 5.0 + SKIP_S,
        "scene": {
            "target": {"source": {"name": TALKERS[(number + number // 4) % 4]}},
            "noises": [
                {
                    "azimuth_deg": AZIMUTHS_DEG[number % 4],
                    "source": {"kind": "bundled", "name": NOISES[(number // 4) % 4]},
                }
            ],
        },
    }
    return Scenario.model_validate(base | settings)


def measured(run: Scenario, scene: Scene, timeline: Timeline) -> dict[str, float]:
    """SI-SDR, SI-SIR and STOI of the sound as heard, mean over both ears."""
    enhanced, mics = enhance(run, scene, timeline)
    heard = as_heard(run, timeline, enhanced.output, mics)
    start = round(SKIP_S * run.sample_rate_hz)
    target, noise, noisy, heard = (
        x[:, start:]
        for x in (scene.target.full[:, 0], scene.noise[:, 0], scene.mixture[:, 0], heard)
    )
    signals = Signals(run.sample_rate_hz, target, noise, noisy, heard)
    scores = score_stage(("si_sdr", "si_sir", "stoi"), signals, heard)
    return {
        name: float(np.mean([float(scores[f"{name}_{ear}"]) for ear in ("left", "right")]))
        for name in METRICS
    }


def table(
    name: str, scenes: Iterable[int], rows_of: Callable[[int], Iterable[dict[str, object]]]
) -> list[dict[str, str]]:
    """All rows of `name`.csv; scenes that are not in it yet are measured and added."""
    path = FOLDER / f"{name}.csv"
    done = _read(path)
    known = {row["scene"] for row in done}
    for number in scenes:
        if str(number) in known:
            continue
        print(f"{name}: scene {number}", flush=True)
        new = [{"scene": number} | _short(row) for row in rows_of(number)]
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, new[0].keys(), lineterminator="\n")
            if not path.stat().st_size:
                writer.writeheader()
            writer.writerows(new)
    return _read(path)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _short(row: dict[str, object]) -> dict[str, object]:
    return {
        key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()
    }
