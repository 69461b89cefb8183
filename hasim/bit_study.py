"""A network in few bits, heard on test scenes: what rounding does to its masks, and how much of
that is left behind the spatial filter.

The multi-node network is heard in MN-TANGO, the single-node network in the local filter, under the
conditions of `evaluate.BASE`, against itself in floating point. Ranges are those of each scene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim import experiment
from hasim.evaluate import BASE
from hasim.nodes import Enhanced
from hasim.scenario import Scenario, replace
from hasim.scene import Scene
from hasim.spec import InputError
from hasim.stft import analysis_window
from hasim.timeline import Timeline

if TYPE_CHECKING:
    from hasim.models.weights import MaskNetwork
    from hasim.quantization.network import QuantisedNetwork
    from hasim.quantization.precision import QuantisationSpec
    from hasim.quantization.search import Found

ALGORITHMS = {"sn_dnn": "local", "mn_dnn": "mn_tango"}
METRICS = ("si_sdr", "si_sir")

Progress = Callable[[int, int], None]


def read_network(file: Path) -> MaskNetwork:
    """A network in floating point; InputError where the file holds another, or none."""
    from hasim.models.weights import load
    from hasim.quantization.network import QuantisedNetwork

    try:
        network = load(file)
    except ValueError as error:
        raise InputError(str(error)) from error
    if isinstance(network, QuantisedNetwork):
        raise InputError(f"{file}: is quantised already; needs weights in floating point")
    return network


def sensitivity(
    network: MaskNetwork,
    scenes: Sequence[Scenario],
    *,
    bits: int = 4,
    others: int = 32,
    stoi: bool = False,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """A row for everything that can have few bits while all else has `others`, as in `drops`.

    Rows hold `what`, `bits` and the means of `Bench.compare`. ValueError for impossible bits.
    """
    from hasim.quantization.sensitivity import drops

    bench = Bench(network, scenes, stoi=stoi)
    variants = drops(network, bits, others)
    rows = []
    for number, (what, variant) in enumerate(variants.items()):
        rows.append({"what": what, "bits": bits, **bench.compare(variant)})
        progress(number + 1, len(variants))
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of `sensitivity`, for people: each pair is before and behind the filter."""
    pairs = {
        "error (dB)": ("error_before_db", "error_after_db", ".1f"),
        "SI-SDR lost": ("si_sdr_loss_before_db", "si_sdr_loss_after_db", "+.2f"),
        "SI-SIR lost": ("si_sir_loss_before_db", "si_sir_loss_after_db", "+.2f"),
        "STOI lost": ("stoi_loss_before", "stoi_loss_after", "+.3f"),
    }
    there = {title: pair for title, pair in pairs.items() if pair[0] in rows[0]}
    lines = [
        [
            row["what"],
            f"{row['mask_error']:.4f}",
            *(f"{row[one]:{form}} {row[two]:{form}}" for one, two, form in there.values()),
        ]
        for row in rows
    ]
    return ["before, behind the filter", "mask error", *there], lines


def search(
    network: MaskNetwork,
    scenes: Sequence[Scenario],
    *,
    max_bytes: int | None = None,
    max_loss_db: float | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Found, QuantisedNetwork]:
    """Bits for each weight matrix, by the SI-SDR lost behind the filter, and the network with them.

    Activations stay in floating point; bytes are all that is stored of the network.
    """
    from hasim.quantization.network import quantised
    from hasim.quantization.precision import QuantisationSpec
    from hasim.quantization.search import greedy

    def variant(bits: Mapping[str, int]) -> QuantisationSpec:
        return QuantisationSpec(weights=8, activations=32, scheme="dynamic", bits=dict(bits))

    sizes = {
        name: size for name, (size, _) in quantised(network, variant({})).weight_bits().items()
    }
    mix = sizes.pop("mix.weight", 0)  # two numbers, always with 8 bits
    bench = Bench(network, scenes)
    found = greedy(
        sizes,
        lambda bits: bench.compare(variant(bits))["si_sdr_loss_after_db"],
        other_bytes=mix + _other_bytes(network),
        max_bytes=max_bytes,
        max_loss_db=max_loss_db,
        progress=progress,
    )
    return found, quantised(network, variant(found.bits)).eval()


class Bench:
    """Scenes as heard with a network in floating point, to compare others with."""

    def __init__(
        self, network: MaskNetwork, scenes: Sequence[Scenario], *, stoi: bool = False
    ) -> None:
        self.network = network
        self.role = network.spec.kind.removeprefix("compact_")
        settings = {
            "algorithm.kind": ALGORITHMS[self.role],
            "algorithm.groups": getattr(network.spec, "groups", 0),
            "metrics": [*METRICS, *(["stoi"] if stoi else [])],
        }
        base = replace(Scenario(), {**BASE, **settings})
        self.cases = [self._case(base, scene) for scene in scenes]

    def compare(self, variant: QuantisationSpec) -> dict[str, float]:
        """Means over scenes and ears, before the filter and behind it.

        `mask_error`: root mean square. `error_before_db`, `error_after_db`: power of the difference
        to floating point against the power of the signal. `<metric>_loss_before`,
        `<metric>_loss_after`, with `_db` where it is one: how much lower scores are.
        """
        from hasim.quantization.network import quantised

        rows = []
        for case in self.cases:
            network = quantised(self.network, variant).eval()
            enhanced, scores = self._heard(case.scenario, case.scene, case.timeline, network)
            rows.append(_differences(case.exact, case.scores, enhanced, scores, self.role))
        return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}

    def _case(self, base: Scenario, scene: Scenario) -> _Case:
        taken = {"scene": scene.scene, "seed": scene.seed, "duration_s": scene.duration_s}
        scenario = base.model_copy(update={**taken, "name": scene.name})
        rendered, timeline = experiment.render_scene(scenario), experiment.play_time(scenario)
        heard = self._heard(scenario, rendered, timeline, self.network)
        return _Case(scenario, rendered, timeline, *heard)

    def _heard(
        self,
        scenario: Scenario,
        scene: Scene,
        timeline: Timeline,
        network: MaskNetwork | QuantisedNetwork,
    ) -> tuple[Enhanced, Mapping[str, Mapping[str, float]]]:
        from hasim.models.estimator import estimator

        window_energy = float(np.sum(analysis_window(scenario.front_end) ** 2))
        masks = estimator({self.role: network}, window_energy)
        enhanced, mics = experiment.enhance(scenario, scene, timeline, masks)
        return enhanced, experiment.judge(scenario, scene, timeline, enhanced, mics).stages


@dataclass(frozen=True)
class _Case:
    scenario: Scenario
    scene: Scene
    timeline: Timeline
    exact: Enhanced
    scores: Mapping[str, Mapping[str, float]]  # by stage


def _differences(
    exact: Enhanced,
    exact_scores: Mapping[str, Mapping[str, float]],
    other: Enhanced,
    other_scores: Mapping[str, Mapping[str, float]],
    role: str,
) -> dict[str, float]:
    found = {
        "mask_error": float(np.sqrt(np.mean((other.masks[role] - exact.masks[role]) ** 2))),
        "error_before_db": _ratio_db(other.taps[role], exact.taps[role]),
        "error_after_db": _ratio_db(other.output, exact.output),
    }
    for metric in dict.fromkeys(name.rpartition("_")[0] for name in exact_scores[role]):
        plain = metric.removesuffix("_db")
        unit = "_db" if plain != metric else ""
        for where, stage in (("before", role), ("after", list(exact_scores)[-1])):
            lost = [
                exact_scores[stage][f"{metric}_{ear}"] - other_scores[stage][f"{metric}_{ear}"]
                for ear in experiment.EARS
            ]
            found[f"{plain}_loss_{where}{unit}"] = float(np.mean(lost))
    return found


def _ratio_db(other: ndarray, exact: ndarray) -> float:
    """Power of the difference against the power of the exact signal; -200 dB where there is
    none."""
    difference = np.sum(np.abs(other - exact) ** 2) / np.sum(np.abs(exact) ** 2)
    return float(10 * np.log10(max(difference, 1e-20)))


def _other_bytes(network: MaskNetwork) -> int:
    """What is stored besides packed weights: biases, normalisation, ERB matrices, two range values
    per output channel, 4 bytes each."""
    rows = sum(len(p) for p in network.parameters() if p.ndim == 2)
    single = sum(p.numel() for p in network.parameters() if p.ndim == 1)
    erb = sum(b.numel() for name, b in network.named_buffers() if name in ("bank", "synthesis"))
    return 4 * (single + erb + 2 * rows)
