"""The content of the page of a run, from the files in its folder.

Manifest, summary, tables, sound and figures are read; nothing is run again, and of the figures only
the spectrograms are drawn. Waveforms are (ear, sample).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.audio_file import read_audio
from hasim.config import presets
from hasim.config.diagnostics import ScenarioError
from hasim.config.ears import EARS
from hasim.config.spec import InputError
from hasim.experiment.load import read_json
from hasim.experiment.save import MANIFEST, SUMMARY
from hasim.experiment.scenario import Scenario, dump, from_mapping
from hasim.experiment.summary import quantities_of, quantities_of_stages
from hasim.metrics.catalogue import STATES, State
from hasim.reporting import explain, figure, pictures, record, run_figures
from hasim.reporting.settings import number, settings
from hasim.simulation.energy import COMPONENTS
from hasim.simulation.feasibility import Verdict

HEARD = {"noisy": "noisy", "enhanced": "enhanced", "target": "clean"}
"""Sound file -> what the page calls it."""
LISTEN_S = 30.0
"""How much of the sound the page holds."""
PEAK = 0.9
FIGURES = {
    "scene": "The scene from above: where the talker and the noises stand around the listener.",
    "load": "How busy both cores and the medium were, and how many frames each ear had in hand.",
    "link_loss": "Packets that were late or lost, and frames that were not ready, over time.",
    "comb": "What an open ear hears of direct and processed sound together.",
    "masks": "Masks of the networks: 0 is noise, 1 is the talker.",
}
Numbers = Mapping[str, float | None]


def context(folder: Path, name: str, scenario: Scenario | None = None) -> dict[str, Any]:
    """The values of the template `run.html.j2`.

    Raises:
        InputError: a file of the folder is missing or damaged.
        ScenarioError: the scenario in it is not one of this hasim.
    """
    manifest, summary = read_json(folder / MANIFEST), read_json(folder / SUMMARY)
    try:
        scenario = scenario or from_mapping(manifest["scenario"])
        numbers: Numbers = summary["numbers"]
        return {
            "name": summary["scenario"],
            "verdict": summary["verdict"],
            "verdict_text": Verdict(tuple(summary["verdict"]["reasons"])).text,
            "why": explain.explain(folder, scenario)[1:],
            "tiles": list(_tiles(numbers, summary["fittings"])),
            "scores": list(_scores(numbers, summary["unscored"])),
            "unscored": _reasons(summary["unscored"]),
            "stages": _stages(summary["stages"]),
            "sound": _sound(folder),
            "record": record.context(folder, scenario),
            "latency": _latency(numbers, summary["fittings"]),
            "percentiles": [
                (name, numbers.get(f"latency_{key}_ms"))
                for key, name in (
                    ("p50", "half of all frames"),
                    ("p95", "95 %"),
                    ("p99", "99 %"),
                    ("max", "the slowest"),
                )
            ],
            "budget": list(_budget(numbers, scenario)),
            "energy": list(_energy(numbers, scenario)),
            "figures": list(_figures(folder)),
            "settings": settings(scenario),
            "origins": list(_origins(manifest["origins"])),
            "warnings": summary["warnings"],
            "numbers": sorted(numbers.items()),
            "seed": manifest["seed"],
            "versions": sorted(manifest["versions"].items()),
            "hashes": sorted(manifest["hashes"].items()),
            "yaml": dump(scenario),
            "command": f"hasim run {shlex.quote(name)}/scenario.yaml --out again",
        }
    except (InputError, ScenarioError):
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{folder}: damaged, or from another hasim ({error!r})") from error


def _tiles(numbers: Numbers, fittings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The few numbers at the top of the page."""
    for quantity in quantities_of(numbers):
        if not (quantity.headline and quantity.compared):
            continue
        gains = [numbers.get(quantity.column("improvement", ear)) for ear in quantity.ears]
        if None in gains:
            continue
        value = " / ".join(number(gain, quantity.digits, sign=True) for gain in gains)
        yield {
            "label": f"{quantity.label} improvement",
            "value": f"{value} {quantity.unit}".rstrip(),
            "note": "left / right ear" if quantity.per_ear else "both ears",
        }
    if (latency := numbers.get("latency_ms")) is not None:
        note = ", ".join(f"{fitting} fitting: {word}" for fitting, word in fittings.items())
        yield {"label": "Latency", "value": f"{number(latency, 1)} ms", "note": note}
    if (offered := numbers.get("link_kbps")) is not None:
        rate = numbers.get("link_rate_kbps")
        much = "more than the" if rate is not None and offered > rate else "of"
        yield {
            "label": "Link",
            "value": f"{number(offered, 0)} kbit/s",
            "note": f"{much} {number(rate, 0)} kbit/s that it carries",
        }
    loads = [x for ear in EARS if (x := numbers.get(f"utilisation_{ear}")) is not None]
    if loads:
        busy = number(100 * max(loads), 0)
        yield {"label": "Processor", "value": f"{busy} % busy", "note": "the busier ear"}
    hours = [x for ear in EARS if (x := numbers.get(f"battery_hours_{ear}")) is not None]
    if hours:
        yield {"label": "Battery", "value": f"{number(min(hours), 1)} h", "note": "the first empty"}


def _scores(numbers: Numbers, unscored: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of the table of scores: noisy, enhanced and improvement, for each ear or for both.

    A quantity of the whole run has one value in place of the three.
    """
    for quantity in quantities_of(numbers, unscored):
        states: tuple[State, ...] = STATES if quantity.compared else ("",)
        yield {
            "label": quantity.title,
            "digits": quantity.digits,
            "ears": [
                [numbers.get(quantity.column(state, ear)) for state in states]
                for ear in quantity.ears
            ],
        }


def _reasons(unscored: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Why numbers are missing: reason and the names of those that it explains."""
    reasons: dict[str, list[str]] = {}
    for name, reason in unscored.items():
        reasons.setdefault(reason, []).append(name)
    return list(reasons.items())


def _stages(stages: Mapping[str, Numbers]) -> dict[str, Any]:
    scored = quantities_of_stages(stages)
    rows = [
        (tap, [[scores.get(column) for column in quantity.columns] for quantity in scored])
        for tap, scores in stages.items()
    ]
    return {"labels": [(quantity.title, quantity.digits) for quantity in scored], "rows": rows}


def _sound(folder: Path) -> dict[str, Any]:
    """Players and spectrograms; one gain for all signals, so that they can be compared."""
    signals: dict[str, ndarray] = {}
    rate_hz = 0
    for file in HEARD:
        signals[file], rate_hz = read_audio(folder / f"{file}.wav")
        if len(signals[file]) != 2:
            raise InputError(f"{folder / file}.wav: expected two channels, one per ear")
    whole_s = max(signal.shape[1] for signal in signals.values()) / rate_hz
    signals = {name: signal[:, : round(LISTEN_S * rate_hz)] for name, signal in signals.items()}
    peak = max(float(np.abs(signal).max()) for signal in signals.values())
    gain = PEAK / peak if peak > 0 else 1.0
    levels_db = {name: run_figures.spectrogram_db(x, rate_hz) for name, x in signals.items()}
    loudest_db = max(float(np.percentile(picture, 99.9)) for picture in levels_db.values())
    return {
        "rate_hz": rate_hz,
        "duration_s": max(signal.shape[1] for signal in signals.values()) / rate_hz,
        "whole_s": whole_s,
        "gain_db": 20 * float(np.log10(gain)),
        "peak": PEAK,
        "range_db": figure.DYNAMIC_RANGE_DB,
        "top_khz": rate_hz / 2000,
        "signals": [
            {
                "name": HEARD[file],
                "wav": pictures.wav_uri(gain * signal, rate_hz),
                "ears": [
                    (
                        ear,
                        pictures.spectrogram_uri(
                            levels_db[file][number] - loudest_db, figure.DYNAMIC_RANGE_DB
                        ),
                    )
                    for number, ear in enumerate(EARS)
                ],
            }
            for file, signal in signals.items()
        ],
    }


def _latency(numbers: Numbers, fittings: Mapping[str, str]) -> dict[str, Any] | None:
    total = numbers.get("latency_ms")
    if not total:
        return None
    parts = [(name, numbers.get(f"latency_{name}_ms") or 0.0) for name in ("window", "playout")]
    inside = [
        (label, numbers.get(f"latency_{key}_ms"))
        for key, label in (
            ("queue", "waiting for the core"),
            ("compute", "computing"),
            ("link", "waiting for the partner's packet"),
            ("margin", "left to the deadline"),
        )
    ]
    return {
        "total": total,
        "parts": [(name, value, 100 * value / total) for name, value in parts],
        "inside": [(label, value) for label, value in inside if value is not None],
        "fittings": sorted(fittings.items(), reverse=True),
    }


def _budget(numbers: Numbers, scenario: Scenario) -> Iterator[dict[str, Any]]:
    """What is used of what there is."""
    for ear in EARS:
        device = getattr(scenario.devices, ear)
        yield _used(f"processor, {ear}", numbers.get(f"utilisation_{ear}"), 1.0, "%")
        for key, label in (("ram_kb", "RAM"), ("nvm_kb", "NVM")):
            yield _used(f"{label}, {ear}", numbers.get(key), getattr(device, key), "kB")
    if "link_kbps" in numbers:
        rate = numbers.get("link_rate_kbps")
        yield _used("link", numbers["link_kbps"], rate, "kbit/s")
        yield _used("on the air", numbers.get("airtime_share"), 1.0, "%")


def _used(label: str, used: float | None, has: float | None, unit: str) -> dict[str, Any]:
    share = used / has if used is not None and has else None
    if unit == "%":
        words = f"{number(None if used is None else 100 * used, 0)} %"
    else:
        words = f"{number(used, 0)} of {number(has, 0)} {unit}"
    return {
        "label": label,
        "words": words,
        "share": None if share is None else min(100 * share, 100),
        "over": share is not None and share > 1,
    }


def _energy(numbers: Numbers, scenario: Scenario) -> Iterator[dict[str, Any]]:
    for ear in EARS:
        total = numbers.get(f"power_mw_{ear}")
        if total:
            battery = getattr(scenario.devices, ear).battery
            parts = [
                (part.replace("_", " "), value)
                for part in COMPONENTS
                if (value := numbers.get(f"power_{part}_mw_{ear}"))
            ]
            yield {
                "ear": ear,
                "total": total,
                "parts": [(part, value, 100 * value / total) for part, value in parts],
                "hours": numbers.get(f"battery_hours_{ear}"),
                "battery": presets.label(battery.preset) or f"{battery.mah:g} mAh",
            }


def _figures(folder: Path) -> Iterator[dict[str, str]]:
    for name, about in FIGURES.items():
        path = folder / "figures" / f"{name}.png"
        if path.is_file():
            yield {
                "name": name,
                "about": about,
                "uri": pictures.uri("image/png", path.read_bytes()),
            }


def _origins(origins: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Presets in use: what they stand for, where their numbers are from, how sure they are."""
    for part, origin in origins.items():
        if origin.get("preset"):
            yield {"part": part, **origin}
        for inner in ("battery", "radio"):
            if (origin.get(inner) or {}).get("preset"):
                yield {"part": f"{part}, {inner}", **origin[inner]}
