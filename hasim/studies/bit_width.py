"""Networks in few bits on test scenes: the error of their masks, and what of it remains after the
spatial filter.

A multi-node network runs in MN-TANGO, a single-node network in the local filter, both together in
TANGO, under the conditions of `evaluate.BASE`, and is compared with itself in floating point.
Static ranges are those of each scene.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from hasim.acoustics.scene import Scene
from hasim.config.ears import EARS
from hasim.config.spec import InputError
from hasim.experiment.run import enhance, judge, render_scene, simulate_time
from hasim.experiment.scenario import Scenario, replace
from hasim.nodes import Enhanced
from hasim.simulation.timeline import Timeline
from hasim.studies.evaluate import BASE
from hasim.studies.statistics import interval

if TYPE_CHECKING:
    from hasim.networks.contract import Role
    from hasim.networks.precision import QuantisationSpec
    from hasim.networks.quantization.greedy_bits import BitAllocation
    from hasim.networks.quantization.network import QuantisedNetwork
    from hasim.networks.weights_file import FloatNetwork, StoredNetwork

KIND_OF_ROLES = {("sn_dnn",): "local", ("mn_dnn",): "mn_tango", ("mn_dnn", "sn_dnn"): "tango"}
"""The algorithm that networks run in, by their roles."""
METRICS = ("si_sdr", "si_sir")

Progress = Callable[[int, int], None]


def read_networks(files: Sequence[Path]) -> list[FloatNetwork]:
    """Networks in floating point, one of every role at most; InputError where there are others."""
    from hasim.networks.mask_estimator import by_role
    from hasim.networks.quantization.network import QuantisedNetwork

    found = []
    for file, network in by_role(files).values():
        if isinstance(network, QuantisedNetwork):
            raise InputError(f"{file}: is quantised already; needs weights in floating point")
        found.append(network)
    return found


def drop_sensitivity(
    network: FloatNetwork,
    scenes: Sequence[Scenario],
    *,
    bits: int = 4,
    others: int = 32,
    stoi: bool = False,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """A row for every part of the network that `drop_choices` names, with `bits` bits while all
    other parts have `others`.

    Rows hold `what`, `bits` and the numbers of `Bench.compare`. ValueError for impossible bits.
    """
    from hasim.networks.quantization.choices import drop_choices

    bench = Bench([network], scenes, stoi=stoi)
    rows = _compared(bench, drop_choices(network, bits, others), progress)
    return [{"bits": bits, **row} for row in rows]


def compare_dynamic(
    networks: Sequence[FloatNetwork],
    scenes: Sequence[Scenario],
    *,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """A row for every one of `dynamic_choices`: what post-training quantisation as in
    PyTorch costs, and how much of that each of its choices.

    Rows hold `what` and the numbers of `Bench.compare`.
    """
    from hasim.networks.quantization.choices import dynamic_choices

    return _compared(Bench(networks, scenes), dynamic_choices(), progress)


def _compared(
    bench: Bench, variants: Mapping[str, QuantisationSpec], progress: Progress
) -> list[dict[str, Any]]:
    rows = []
    for number, (what, variant) in enumerate(variants.items()):
        rows.append({"what": what, **bench.compare(variant)})
        progress(number + 1, len(variants))
    return rows


def search_bits(
    network: FloatNetwork,
    scenes: Sequence[Scenario],
    *,
    max_bytes: int | None = None,
    max_loss_db: float | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[BitAllocation, QuantisedNetwork]:
    """Bits for each weight matrix, by the SI-SDR lost after the filter, and the network with them.

    Activations stay in floating point; the limit of bytes is for all that is stored of the network.
    """
    from hasim.networks.precision import QuantisationSpec
    from hasim.networks.quantization.greedy_bits import greedy_bits
    from hasim.networks.quantization.network import quantised

    def variant(bits: Mapping[str, int]) -> QuantisationSpec:
        return QuantisationSpec(weights=8, activations=32, scheme="dynamic", bits=dict(bits))

    sizes = {
        name: size for name, (size, _) in quantised(network, variant({})).weight_bits().items()
    }
    # Two numbers, always with 8 bits.
    mix = sizes.pop("mix.weight", 0)
    bench = Bench([network], scenes)
    found = greedy_bits(
        sizes,
        lambda bits: bench.compare(variant(bits))["si_sdr_loss_after_db"],
        other_bytes=mix + _other_bytes(network),
        max_bytes=max_bytes,
        max_loss_db=max_loss_db,
        progress=progress,
    )
    return found, quantised(network, variant(found.bits)).eval()


class Bench:
    """Test scenes with the results of networks in floating point, to compare others with.

    Of two networks, masks and the signal before the filter are those of the multi-node network.
    """

    def __init__(
        self, networks: Sequence[FloatNetwork], scenes: Sequence[Scenario], *, stoi: bool = False
    ) -> None:
        from hasim.networks.weights_file import role

        self.networks = {role(network): network for network in networks}
        roles = tuple(sorted(self.networks))
        self.role = roles[0]
        settings = {
            "algorithm.kind": KIND_OF_ROLES[roles],
            "algorithm.groups": getattr(self.networks[self.role].spec, "groups", 0),
            "metrics": [*METRICS, *(["stoi"] if stoi else [])],
        }
        base = replace(Scenario(), {**BASE, **settings})
        self.cases = [self._case(base, scene) for scene in scenes]

    def compare(self, variant: QuantisationSpec) -> dict[str, Any]:
        """Means over scenes and ears, before the filter and after it.

        `mask_error`: root mean square. `error_before_db`, `error_after_db`: power of the difference
        to floating point against the power of the signal. `<metric>_loss_before`,
        `<metric>_loss_after`, with `_db` where that is the unit: how much lower scores are.
        `intervals`: for each of them the 95 % interval of the mean (low, high); None for a single
        scene.
        """
        from hasim.networks.quantization.network import quantised

        rows = []
        for case in self.cases:
            networks = {
                role: quantised(network, variant).eval() for role, network in self.networks.items()
            }
            enhanced, scores = self._run(case.scenario, case.scene, case.timeline, networks)
            rows.append(_differences(case.exact, case.scores, enhanced, scores, self.role))
        means, halves, _ = interval(np.array([list(row.values()) for row in rows]), axis=0)
        compared: dict[str, Any] = dict(zip(rows[0], means.tolist(), strict=True))
        compared["intervals"] = {
            key: [mean - half, mean + half] if np.isfinite(half) else None
            for key, mean, half in zip(rows[0], means.tolist(), halves.tolist(), strict=True)
        }
        return compared

    def _case(self, base: Scenario, scene: Scenario) -> _Case:
        taken = {"scene": scene.scene, "seed": scene.seed, "duration_s": scene.duration_s}
        scenario = base.model_copy(update={**taken, "name": scene.name})
        rendered, timeline = render_scene(scenario), simulate_time(scenario)
        results = self._run(scenario, rendered, timeline, self.networks)
        return _Case(scenario, rendered, timeline, *results)

    def _run(
        self,
        scenario: Scenario,
        scene: Scene,
        timeline: Timeline,
        networks: Mapping[Role, StoredNetwork],
    ) -> tuple[Enhanced, Mapping[str, Mapping[str, float]]]:
        from hasim.networks.mask_estimator import estimator

        masks = estimator(networks, scenario.front_end)
        enhanced, mics = enhance(scenario, scene, timeline, masks)
        return enhanced, judge(scenario, scene, timeline, enhanced, mics).stages


@dataclass(frozen=True)
class _Case:
    scenario: Scenario
    scene: Scene
    timeline: Timeline
    exact: Enhanced
    scores: Mapping[str, Mapping[str, float]]
    """By stage."""


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
    assert exact.output_tap is not None
    for metric in dict.fromkeys(name.rpartition("_")[0] for name in exact_scores[role]):
        plain = metric.removesuffix("_db")
        unit = "_db" if plain != metric else ""
        for where, stage in (("before", role), ("after", exact.output_tap)):
            lost = [
                exact_scores[stage][f"{metric}_{ear}"] - other_scores[stage][f"{metric}_{ear}"]
                for ear in EARS
            ]
            found[f"{plain}_loss_{where}{unit}"] = float(np.mean(lost))
    return found


def _ratio_db(other: ndarray, exact: ndarray) -> float:
    """Power of the difference against the power of the exact signal; -200 dB where there is
    none."""
    difference = np.sum(np.abs(other - exact) ** 2) / np.sum(np.abs(exact) ** 2)
    return float(10 * np.log10(max(difference, 1e-20)))


def _other_bytes(network: FloatNetwork) -> int:
    """What is stored besides packed weights: biases, normalisation, ERB matrices, two range values
    per output channel, 4 bytes each."""
    rows = sum(len(p) for p in network.parameters() if p.ndim == 2)
    single = sum(p.numel() for p in network.parameters() if p.ndim == 1)
    erb = sum(b.numel() for name, b in network.named_buffers() if name in ("bank", "synthesis"))
    return 4 * (single + erb + 2 * rows)
