"""Algorithms side by side on a set of scenes: every stage, every metric, means with intervals.

Every scene is run with every contestant as a `case`; rows go to one table on disk, so an evaluation
that was stopped goes on, and scores are computed from the table. Intervals are Student's over
scenes; differences are paired, scene for scene.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from pydantic import JsonValue

from hasim.config import overrides
from hasim.config.diagnostics import ScenarioError, close_match
from hasim.config.disk_cache import content_hash
from hasim.config.ears import EARS
from hasim.config.files import csv_text, write_whole
from hasim.config.spec import InputError
from hasim.config.yaml_reader import Place, Problem
from hasim.experiment.identity import outline
from hasim.experiment.scenario import Scenario, canonical_json, replace
from hasim.metrics import catalogue
from hasim.metrics.catalogue import Quantity
from hasim.networks import pretrained
from hasim.networks.precision import FLOATING
from hasim.networks.variants import NETWORKS, VARIANTS, Variant, variants_of
from hasim.nodes import node_classes
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.studies.axes import Settings
from hasim.studies.case import Progress, Request, Tally, complete, drop_outdated
from hasim.studies.result_row import ResultRow, settings_key
from hasim.studies.results_table import Store
from hasim.studies.statistics import mean_interval, ratio_interval
from hasim.studies.workers import Engine

MaskKind = Literal["oracle", "trained"]

BASE: dict[str, JsonValue] = {
    "link": {"kind": "ideal", "codec": {"kind": "float32"}},
    "devices.left.mmac_per_s": 1e5,
    "devices.right.mmac_per_s": 1e5,
    "algorithm.masks": "oracle",
    "algorithm.covariance.kind": "utterance",
}
"""The paper's conditions: nothing is lost or rounded on the link, devices keep up, and covariances
are averages over the whole utterance. All metrics of the catalogue are measured."""

BOTH = "both"
NOISY, OUTPUT = "noisy", "output"


@dataclass(frozen=True)
class Contestant:
    """An algorithm with its masks, and what that means for a scenario."""

    algorithm: str
    masks: MaskKind
    settings: Mapping[str, JsonValue]

    @property
    def row_settings(self) -> dict[str, JsonValue]:
        """The settings of its rows in the table."""
        return {"algorithm": self.algorithm, "masks": self.masks}

    @property
    def label(self) -> str:
        """Its name in tables for people."""
        return self.algorithm if self.masks == "oracle" else f"{self.algorithm}, trained"


def contestants(
    names: Sequence[str], masks: MaskKind = "trained", weights: Path | None = None
) -> list[Contestant]:
    """The named variants of algorithms (see `networks.variants`) as a scenario has them; with
    trained masks each also with oracle masks.

    `weights` is a folder with a folder of the variant's name in it, or the networks themselves;
    None: those that come with hasim. Trained networks run in the precision that they were trained
    for. A name that is no variant may be a folder in `weights` whose networks say in their cards
    which algorithm they are of.

    Raises:
        ScenarioError: a name that is no variant.
        ValueError: a name twice, or no networks come with hasim.
        InputError: files that are not weights.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"an algorithm stands twice among {', '.join(names)}")
    known = VARIANTS | _other_variants()
    found = []
    for name in names:
        folder = None if weights is None else weights / name
        variant = known.get(name)
        if variant is None and folder is not None and folder.is_dir():
            variant = _described(name, folder)
        if variant is None:
            wrong = f"unknown algorithm (got {name!r})"
            right = close_match(name, list(known)) or f"known: {', '.join(node_classes())}"
            raise ScenarioError([Problem(Place("--algorithms"), "", wrong, None, right)])
        settings: dict[str, JsonValue] = {"algorithm.kind": variant.kind}
        if variant.groups:
            settings["algorithm.groups"] = variant.groups
        found.append(Contestant(name, "oracle", settings))
        if masks == "trained" and _has_masks(variant.kind):
            if weights is not None:
                own = folder if folder is not None and folder.is_dir() else weights
            else:
                own = _shipped(variant)
            found.append(Contestant(name, "trained", {**settings, **_trained(own)}))
    return found


def _other_variants() -> dict[str, Variant]:
    """Those of algorithms without networks, and of plug-ins."""
    found: list[Variant] = []
    for kind in node_classes():
        if kind not in NETWORKS:
            found += variants_of(kind, ()) if _has_masks(kind) else [Variant(kind, kind)]
    return {variant.name: variant for variant in found}


def _described(name: str, folder: Path) -> Variant | None:
    """The variant that the cards of weights describe; None where they name no algorithm."""
    from hasim.networks.weights_file import read_card, read_groups

    files = pretrained.files(folder)
    try:
        kind = read_card(files[0]).get("recipe", {}).get("algorithm")
        if kind not in NETWORKS:
            return None
        return Variant(name, kind, NETWORKS[kind], max(map(read_groups, files)))
    except ValueError as error:
        raise InputError(str(error)) from error


def _has_masks(kind: str) -> bool:
    return issubclass(node_classes()[kind], MaskDrivenNode)


def _shipped(variant: Variant) -> Path:
    """The folder of weights that come with hasim; ValueError where none do."""
    name = None if variant.precision == FLOATING else f"{pretrained.PREFIX}{variant.weights}"
    if why := pretrained.missing(variant.kind, variant.groups, name=name):
        raise ValueError(f"{why}; give some with --weights")
    return pretrained.folder(variant.kind, variant.groups, name)


def _trained(weights: Path) -> dict[str, JsonValue]:
    from hasim.networks.mask_estimator import stored_precision

    precision = stored_precision(weights).model_dump()
    return {
        "algorithm.masks": "trained",
        "algorithm.weights": str(weights.resolve()),
        **{f"algorithm.precision.{key}": value for key, value in precision.items()},
    }


def evaluate(
    scenes: Sequence[Scenario],
    compared: Sequence[Contestant],
    folder: Path,
    *,
    settings: Sequence[str] = (),
    jobs: int = 1,
    cache_folder: Path | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Tally, dict[str, Any]]:
    """Run every scene with every contestant and compare them, also in files in `folder`.

    Of the scenarios their scene, seed and duration count; all else is `BASE` with `settings`
    (KEY=VALUE texts). Rows that are in the folder's table, or in the cache, are not run again.
    `results.csv` has a row per run, `scores.csv`, `differences.csv` and `evaluation.json` the
    result of `judged`.

    Raises:
        ScenarioError: settings that an algorithm cannot have.
        InputError: the folder holds another evaluation.
    """
    bases = {settings_key(one.row_settings): _base(one, settings) for one in compared}
    requests: list[Request] = [
        (one.row_settings, number) for number in range(len(scenes)) for one in compared
    ]

    def scenario_of(row_settings: Settings, number: int) -> Scenario:
        base = bases.get(settings_key(row_settings))
        if base is None or number >= len(scenes):
            raise ScenarioError([Problem(Place(), "", "belongs to another evaluation")])
        return _placed(base, scenes[number])

    common = _base(Contestant("mn_tango", "oracle", {}), settings, loose=True)
    identity = content_hash(
        {
            "evaluation": outline(common),
            "settings": list(settings),
            "scenes": outline([scenes[0].scene, scenes[0].seed, scenes[0].duration_s]),
        }
    )
    first = next(iter(bases.values()))
    with Store(folder, identity, canonical_json(first)) as store, Engine(jobs) as engine:
        drop_outdated(store, scenario_of)
        try:
            tally = complete(
                requests,
                scenario_of,
                store,
                engine,
                cache_folder,
                progress,
                with_stages=True,
                retry_failed=True,
            )
            rows = [store.get((settings_key(one), number)) for one, number in requests]
        finally:
            store.write_table()
    found = {"scenes": len(scenes), "settings": list(settings), **judged(compared, rows)}
    write_whole(folder / "scores.csv", _csv(found["scores"]))
    write_whole(folder / "differences.csv", _csv(found["differences"]))
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    write_whole(folder / "evaluation.json", text.encode())
    return tally, found


def _base(one: Contestant, settings: Sequence[str], *, loose: bool = False) -> Scenario:
    """The scenario of a contestant, but for the scene. With `loose`, without the user's settings
    that need not fit this algorithm."""
    asked, problems = overrides.parse([] if loose else list(settings), Place("--set"))
    if problems:
        raise ScenarioError(problems)
    values = {".".join(setting.path): setting.value.plain() for setting in asked}
    for key in values:
        if key.partition(".")[0] in ("scene", "seed", "duration_s", "name"):
            problem = Problem(Place("--set"), key, "belongs to the scenes of the evaluation")
            raise ScenarioError([problem])
    try:
        base = replace(Scenario(), {**BASE, "metrics": list(catalogue.names())})
        return replace(base, {**one.settings, **values})
    except ScenarioError as error:
        place = Place(one.label)
        raise ScenarioError(
            [dataclasses.replace(problem, place=place) for problem in error.problems]
        ) from None


def _placed(base: Scenario, scene: Scenario) -> Scenario:
    taken = {"scene": scene.scene, "seed": scene.seed, "duration_s": scene.duration_s}
    return base.model_copy(update={**taken, "name": scene.name})


# ------------------------------------------------------------------------------------------ scores


def judged(compared: Sequence[Contestant], rows: Sequence[ResultRow]) -> dict[str, Any]:
    """Means with 95 % intervals: scores of every step, differences of outputs, shares of oracle.

    `scores`: contestant, step, metric, ear (left, right, both: the mean of the two). `differences`:
    every output minus the noisy microphone, minus the first contestant's output, and, with trained
    masks, minus the same algorithm's with oracle masks. `share_of_oracle`: the improvement with
    trained masks over that with oracle masks, as a ratio of means.
    """
    scenes = sorted({row.seed for row in rows if not row.error})
    by_case = {row.key: row for row in rows if not row.error}

    def values(one: Contestant, step: str, metric: Quantity, ear: str) -> ndarray:
        """(scene,): NaN where there is none."""
        if ear == BOTH and metric.per_ear:
            both = [values(one, step, metric, side) for side in EARS]
            return (both[0] + both[1]) / 2
        column = _column(step, metric, ear)
        found = [
            by_case[key].numbers.get(column) if key in by_case else None
            for key in ((settings_key(one.row_settings), scene) for scene in scenes)
        ]
        return np.array([np.nan if value is None else value for value in found], dtype=float)

    compared_quantities = catalogue.quantities(compared=True)
    scores, differences, shares = [], [], []
    for number, one in enumerate(compared):
        who = one.row_settings
        first_row = next((row for row in rows if row.settings == who and not row.error), None)
        steps = [*first_row.stages, OUTPUT] if first_row else []
        for step in ([NOISY] if number == 0 else []) + steps:
            # The noisy microphone is the same for everybody.
            whose = {"algorithm": NOISY, "masks": ""} if step == NOISY else who
            for metric in catalogue.quantities() if step == OUTPUT else compared_quantities:
                for ear in _ears(metric):
                    span = mean_interval(values(one, step, metric, ear))
                    if span is not None:
                        head = {**whose, "step": step, "metric": metric.column(), "ear": ear}
                        scores.append({**head, **span.as_dict("scenes")})
        others: list[tuple[str, Contestant, str]] = [(NOISY, one, NOISY)]
        if number:
            others.append((compared[0].label, compared[0], OUTPUT))
        oracle = dataclasses.replace(one, masks="oracle")
        if one.masks == "trained" and compared[0].row_settings != oracle.row_settings:
            others.append((oracle.label, oracle, OUTPUT))
        for metric in compared_quantities:
            for ear in _ears(metric):
                mine = values(one, OUTPUT, metric, ear)
                for label, other, step in others:
                    span = mean_interval(mine - values(other, step, metric, ear))
                    if span is not None:
                        head = {**who, "minus": label, "metric": metric.column(), "ear": ear}
                        differences.append({**head, **span.as_dict("scenes")})
                if one.masks == "trained":
                    noisy = values(one, NOISY, metric, ear)
                    best = values(oracle, OUTPUT, metric, ear) - noisy
                    span = ratio_interval(mine - noisy, best)
                    if span is not None:
                        head = {"algorithm": one.algorithm, "metric": metric.column(), "ear": ear}
                        shares.append({**head, **span.as_dict("scenes")})
    return {"scores": scores, "differences": differences, "share_of_oracle": shares}


def _ears(metric: Quantity) -> tuple[str, ...]:
    return (*EARS, BOTH) if metric.per_ear else (BOTH,)


def _column(step: str, metric: Quantity, ear: str) -> str:
    """The column of the table of runs."""
    side = "" if ear == BOTH else ear
    if step == NOISY:
        return metric.column("noisy", side)
    if step == OUTPUT:
        return metric.column("enhanced" if metric.compared else "", side)
    return f"{step}.{metric.column('', side)}"


def _csv(records: Sequence[Mapping[str, Any]]) -> bytes:
    names = list(records[0]) if records else []
    rows = [[record[name] for name in names] for record in records]
    return csv_text(names, rows).encode() if records else b""
