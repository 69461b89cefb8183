"""What to do about a missing frame: every policy, 5 % loss at random, in bursts, or by lateness.

`python docs/studies/concealment.py` measures what is missing in concealment.csv, prints the table
of docs/exchange.md and draws docs/figures/concealment.png. Within a scene and a condition all
policies see the same losses, so differences to `zero` are paired.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from study import FIGURES, METRICS, measured, scenario, table

from hasim.experiment.run import render_scene, simulate_time
from hasim.simulation.timeline import Status
from hasim.studies.statistics import interval

SCENES = range(30)
PCM = {"kind": "pcm", "bits": 16}
LINK = {"rate_kbps": 2000, "codec": PCM}
CONDITIONS: dict[str, dict[str, Any]] = {
    "random": {"link": LINK | {"loss": {"kind": "bernoulli", "probability": 0.05}}},
    "bursts": {"link": LINK | {"loss": {"kind": "gilbert", "mean_loss": 0.05, "mean_burst": 4}}},
    # Airtime 4.2 ms for both ears' packets, latency 1 ms, jitter to 40 ms: one in twenty is late.
    "late": {
        "link": LINK | {"loss": {"kind": "none"}, "jitter_ms": 40.0},
        "playout": {"wait_ms": 42.1},
    },
}
COPY = {"link": {"codec": PCM | {"fec_bits": 4}}}
POLICIES: dict[str, dict[str, Any]] = {
    "zero, learning from all": {"concealment": "zero", "learn_from": "all"},
    "zero": {"concealment": "zero"},
    "repeat, learning from all": {"concealment": "repeat", "learn_from": "all"},
    "repeat": {"concealment": "repeat"},
    "repeat_fade": {"concealment": "repeat_fade"},
    "repeat_phase": {"concealment": "repeat_phase"},
    "predict": {"concealment": "predict"},
    "local_only, learning from all": {"concealment": "local_only", "learn_from": "all"},
    "local_only": {"concealment": "local_only"},
    "local_only, late_too": {"concealment": "local_only", "learn_from": "late_too"},
    "zero, 4-bit copy": {"concealment": "zero"} | COPY,
    "local_only, 4-bit copy": {"concealment": "local_only"} | COPY,
    "local_only, 4-bit copy, late_too": {"concealment": "local_only", "learn_from": "late_too"}
    | COPY,
    "exchange: stale": {"exchange": {"kind": "stale"}},
    "exchange: stats_only": {"exchange": {"kind": "stats_only"}, "concealment": "predict"},
}
NAIVE = "zero, learning from all"
WITHOUT_LOSS, WITHOUT_LINK = "no loss", "no link"


def rows_of(number: int) -> Iterator[dict[str, object]]:
    """Every condition and policy on one scene."""
    scene = render_scene(scenario(number))
    for name, algorithm in ((WITHOUT_LOSS, "mn_tango"), (WITHOUT_LINK, "local")):
        run = scenario(
            number, algorithm={"kind": algorithm}, link=LINK | {"loss": {"kind": "none"}}
        )
        timeline = simulate_time(run)
        yield {"condition": "", "policy": name, "missing": 0.0, "gap": 0.0} | measured(
            run, scene, timeline
        )
    for condition, settings in CONDITIONS.items():
        for name, policy in POLICIES.items():
            algorithm = {"kind": "mn_tango"} | policy
            link = settings["link"] | algorithm.pop("link", {})
            run = scenario(number, **(settings | {"algorithm": algorithm, "link": link}))
            timeline = simulate_time(run)
            (deliveries,) = timeline.channels.values()
            missing = deliveries.status != Status.ON_TIME
            starts = missing & ~np.pad(missing, ((0, 0), (1, 0)))[:, :-1]
            yield {
                "condition": condition,
                "policy": name,
                "missing": float(missing.mean()),
                "gap": float(missing.sum() / max(starts.sum(), 1)),
            } | measured(run, scene, timeline)


def main() -> None:
    """Measure, print, draw."""
    rows = table("concealment", SCENES, rows_of)

    def values(condition: str, policy: str, metric: str) -> np.ndarray:
        return np.array(
            [
                float(row[metric])
                for row in rows
                if (row["condition"], row["policy"]) == (condition, policy)
            ]
        )

    for name in (WITHOUT_LOSS, WITHOUT_LINK):
        print(f"{name}:", *(f"{np.mean(values('', name, metric)):.3f}" for metric in METRICS))
    gains: dict[tuple[str, str, str], tuple[float, float]] = {}
    for condition in CONDITIONS:
        share, gap = (np.mean(values(condition, NAIVE, key)) for key in ("missing", "gap"))
        print(f"\n{condition}: {100 * share:.1f} % missing, mean gap {gap:.2f} frames")
        print(f"| policy | {' | '.join(METRICS.values())} |\n|---|{'---|' * len(METRICS)}")
        for policy in POLICIES:
            cells = []
            for metric in METRICS:
                of_policy = values(condition, policy, metric)
                difference = of_policy - values(condition, NAIVE, metric)
                mean, half, _ = map(float, interval(difference))
                gains[condition, policy, metric] = mean, half
                digits = 3 if metric == "stoi" else 2
                shown = f" ({mean:+.{digits}f} ± {half:.{digits}f})" if policy != NAIVE else ""
                cells.append(f"{np.mean(of_policy):.{digits}f}{shown}")
            print(f"| {policy} | {' | '.join(cells)} |")
    bounds = {
        condition: {
            (name, metric): float(
                np.mean(values("", name, metric) - values(condition, NAIVE, metric))
            )
            for name in (WITHOUT_LOSS, WITHOUT_LINK)
            for metric in METRICS
        }
        for condition in CONDITIONS
    }
    draw(gains, bounds)


def draw(
    gains: dict[tuple[str, str, str], tuple[float, float]],
    bounds: dict[str, dict[tuple[str, str], float]],
) -> None:
    """One column per metric, one line per way of concealing, the three conditions side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hasim.reporting.figure import png_bytes

    names = [name for name in POLICIES if name != NAIVE and not name.startswith("exchange")][::-1]
    styles = {
        "random": ("#0072B2", "o", 0.22, "5 % lost at random"),
        "bursts": ("#D55E00", "s", 0.0, "5 % lost in bursts of 4"),
        "late": ("#009E73", "^", -0.22, "5 % too late"),
    }
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    columns = figure.subplots(1, len(METRICS), sharey=True)
    for axes, (metric, label) in zip(columns, METRICS.items(), strict=True):
        axes.axvline(0, color="#222222", linewidth=0.8)
        for condition, (colour, marker, shift, title) in styles.items():
            points = np.array([gains[condition, policy, metric] for policy in names])
            heights = np.arange(len(names)) + shift
            axes.errorbar(
                points[:, 0],
                heights,
                xerr=points[:, 1],
                fmt=marker,
                color=colour,
                capsize=2.5,
                markersize=4,
                linewidth=1.2,
                label=title,
            )
            without_loss = bounds[condition][WITHOUT_LOSS, metric]
            axes.axvline(without_loss, color=colour, linestyle="--", linewidth=1)
        axes.axvline(np.nan, color="#8a8a8a", linestyle="--", linewidth=1, label="without loss")
        for height in range(1, len(names)):
            axes.axhline(height - 0.5, color="#eeeeee", linewidth=0.8)
        axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(label)
    figure.suptitle(f"Difference to “{NAIVE}” on the same scene, mean and 95 % interval", size=11)
    handles, labels = columns[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    (FIGURES / "concealment.png").write_bytes(png_bytes(figure))


if __name__ == "__main__":
    main()
