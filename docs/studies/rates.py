"""What bits are worth: every codec at every rate, without loss, beside the rate bound.

`python docs/studies/rates.py` measures what is missing in rates.csv, prints the table of
docs/exchange.md and draws docs/figures/rates.png. Needs `hasim[lc3]` for the rows of LC3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy import ndarray
from study import FIGURES, SKIP_S, measured, scenario, table

from hasim.acoustics.scene import Scene
from hasim.dsp import rate_distortion
from hasim.dsp.stft import FrontEndSpec, analyse
from hasim.experiment.run import render_scene, simulate_time
from hasim.nodes.packets import packet_bits
from hasim.studies.statistics import interval

SCENES = range(8)
FRONT_END = FrontEndSpec()
FRAMES_PER_S = 16_000 / FRONT_END.hop
ALL_BITS = (1, 2, 3, 4, 5, 6, 8, 12, 16)
OCTETS = (20, 26, 32, 40, 60, 80, 160)
CODECS: dict[str, list[dict[str, Any]]] = {
    "pcm": [{"kind": "pcm", "bits": bits} for bits in ALL_BITS],
    "pcm, spectrum": [{"kind": "pcm", "bits": b, "domain": "spectrum"} for b in ALL_BITS],
    "mulaw": [{"kind": "mulaw", "bits": bits} for bits in ALL_BITS],
    "block_float": [{"kind": "block_float", "bits": bits} for bits in ALL_BITS],
    "adpcm": [{"kind": "adpcm", "bits": bits} for bits in (2, 3, 4, 5)],
    "lc3, 10 ms": [{"kind": "lc3", "octets": octets} for octets in OCTETS],
    "erb_bands": [{"kind": "erb_bands", "bits": bits} for bits in ALL_BITS],
    "allocated": [{"kind": "allocated", "bits": bits} for bits in ALL_BITS],
    "float32": [{"kind": "float32"}],
}
BOUND_KBPS = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0)


def rows_of(number: int) -> Iterator[dict[str, object]]:
    """The local filter, every codec at every rate, and the bound, on one scene."""
    scene = render_scene(scenario(number))
    timeline = simulate_time(scenario(number, link={"kind": "ideal"}))
    for filter_name in ("gevd", "sdw_mwf"):
        alone = scenario(
            number, algorithm={"kind": "local", "filter": filter_name}, link={"kind": "ideal"}
        )
        common = {"filter": filter_name, "bits": 0, "kbps": 0.0}
        yield common | {"codec": "no link"} | measured(alone, scene, timeline)
        for name, settings in CODECS.items():
            for codec in settings:
                algorithm = {"kind": "mn_tango", "filter": filter_name}
                run = scenario(number, algorithm=algorithm, link={"kind": "ideal", "codec": codec})
                kbps = packet_bits(run.link.codec, FRONT_END) * FRAMES_PER_S / 1000
                size = codec.get("bits", codec.get("octets", 32))
                played = simulate_time(run)
                yield (
                    {"filter": filter_name, "bits": size, "kbps": kbps, "codec": name}
                    | measured(run, scene, played)
                )
    for name, curve in bounds(scene).items():
        for kbps, si_sdr_db in zip(BOUND_KBPS, curve, strict=True):
            yield {"filter": "", "bits": 0, "kbps": kbps, "codec": name, "si_sdr_db": si_sdr_db} | {
                "si_sir_db": 0.0,
                "stoi": 0.0,
            }


def bounds(scene: Scene) -> dict[str, ndarray]:
    """SI-SDR (rate,) of the best fixed linear estimate, mean over both ears."""
    start = round(SKIP_S * 16_000 / FRONT_END.hop)
    speech, noise = (analyse(x, FRONT_END)[..., start:] for x in (scene.target.full, scene.noise))
    parts = np.full(FRONT_END.bins, 2)
    parts[[0, -1]] = 1
    rates_bits = np.array(BOUND_KBPS) * 1000 * FRONT_END.window / 16_000
    curves: dict[str, list[ndarray]] = {"bound": [], "bound, unaware": []}
    for ear in (0, 1):
        r_s, r_n = (
            rate_distortion.covariance(np.concatenate([x[ear], x[1 - ear, :1]]))
            for x in (speech, noise)
        )
        power = r_s[:, 0, 0].real.sum()
        alone, both = (rate_distortion.mmse(r_s, r_n, channels) for channels in ([0, 1], [0, 1, 2]))
        for name, errors in (
            ("bound", rate_distortion.distortion_rate(alone, both, rates_bits, parts)),
            (
                "bound, unaware",
                rate_distortion.unaware_distortion_rate(r_s, r_n, [0, 1], 2, rates_bits, parts),
            ),
        ):
            curves[name].append(rate_distortion.si_sdr_db(power, errors))
    return {name: np.mean(both_ears, axis=0) for name, both_ears in curves.items()}


@dataclass(frozen=True)
class Point:
    """A codec at a rate: SI-SDR gained over an ear alone, and lost against no rounding (paired)."""

    bits: int
    kbps: float
    gain_db: float
    loss_db: tuple[float, float]  # mean, half width of the 95 % interval


def main() -> None:
    """Measure, print, draw."""
    if find_spec("lc3") is None:
        raise SystemExit("rates.py: install hasim[lc3] first, or its rows would be missing")
    values: dict[tuple[str, str, int, float], list[float]] = {}
    for row in table("rates", SCENES, rows_of):
        key = (row["filter"], row["codec"], int(row["bits"]), float(row["kbps"]))
        values.setdefault(key, []).append(float(row["si_sdr_db"]))
    points: dict[tuple[str, str], list[Point]] = {}
    for (filter_name, codec, bits, kbps), si_sdr_db in values.items():
        if codec == "no link":
            continue
        if filter_name:
            alone = values[filter_name, "no link", 0, 0.0]
            unrounded = values[filter_name, "float32", 32, 512.0]
        else:
            alone = values["", codec, 0, 0.0]
            unrounded = values["", codec, 0, BOUND_KBPS[-1]]
        mean, half, _ = map(float, interval(np.subtract(si_sdr_db, unrounded)))
        gain_db = float(np.mean(np.subtract(si_sdr_db, alone)))
        points.setdefault((filter_name, codec), []).append(Point(bits, kbps, gain_db, (mean, half)))
    for (filter_name, codec), of_codec in points.items():
        print(f"\n{filter_name} {codec}")
        for point in of_codec:
            mean, half = point.loss_db
            print(
                f"{point.bits:4d} {point.kbps:6.1f} kbit/s {point.gain_db:+.2f} dB, "
                f"rounding {mean:+.2f} ± {half:.2f}"
            )
    print(f"\n| codec | {' | '.join(f'{bits} bits' for bits in ALL_BITS)} |")
    print(f"|---|{'---|' * len(ALL_BITS)}")
    for codec in CODECS:
        by_bits = {point.bits: point for point in points["gevd", codec]}
        cells = [
            f"{by_bits[bits].loss_db[0]:.2f} ± {by_bits[bits].loss_db[1]:.2f}"
            if bits in by_bits
            else ""
            for bits in ALL_BITS
        ]
        if any(cells):
            print(f"| `{codec}` | {' | '.join(cells)} |")
    draw(points)


def draw(points: dict[tuple[str, str], list[Point]]) -> None:
    """SI-SDR gained by the link against its payload, for both filters."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hasim.reporting.figure import png_bytes

    colours = dict(
        zip(
            CODECS,
            (
                "#0072B2",
                "#56B4E9",
                "#CC79A7",
                "#E69F00",
                "#009E73",
                "#D55E00",
                "#B8A800",
                "#222222",
                "#8a8a8a",
            ),
            strict=True,
        )
    )
    markers = dict(zip(CODECS, "osv^DPX*|", strict=True))
    titles = {"gevd": "Rank-1 GEVD filter", "sdw_mwf": "SDW-MWF (what the bound is about)"}
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    both = figure.subplots(1, 2, sharey=True)
    for axes, filter_name in zip(both, titles, strict=True):
        for name, style in (("bound", "-"), ("bound, unaware", "--")):
            curve = [(point.kbps, point.gain_db) for point in points["", name] if point.kbps > 0]
            curve.append((560.0, curve[-1][1]))  # flat long before
            axes.plot(*zip(*curve, strict=True), style, color="#555555", linewidth=1.6, label=name)
        for codec in CODECS:
            axes.plot(
                [point.kbps for point in points[filter_name, codec]],
                [point.gain_db for point in points[filter_name, codec]],
                markers[codec] + "-",
                color=colours[codec],
                markersize=5,
                linewidth=1,
                label=codec,
            )
        axes.set_xscale("log", base=2)
        ticks = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
        axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
        axes.set(xlim=(1, 560), ylim=(0, None))
        axes.grid(color="#e4e4e4", linewidth=0.6)
        axes.set(xlabel="payload one way (kbit/s)", title=titles[filter_name])
    both[0].set_ylabel("SI-SDR gained over an ear alone (dB)")
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    (FIGURES / "rates.png").write_bytes(png_bytes(figure))


if __name__ == "__main__":
    main()
