"""Algorithms side by side on a set of scenes: every stage, every metric, means and what is sure.

Every scene is run with every contestant through `experiment`; rows go to one table on disk, so an
evaluation that was stopped goes on, and scores come of the table. Intervals are Student's over
scenes; differences are paired, scene for scene."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy import ndarray
from pydantic import JsonValue

from hasim.config import overrides
from hasim.config.diagnostics import ScenarioError
from hasim.config.disk_cache import content_hash
from hasim.config.ears import EARS
from hasim.config.files import csv_text, write_whole
from hasim.config.yaml_reader import Place, Problem
from hasim.experiment import result
from hasim.experiment.run import enhance, judge, play_time, scenario_hash
from hasim.experiment.scenario import Scenario, canonical_json, replace
from hasim.metrics import catalogue
from hasim.metrics.catalogue import Quantity
from hasim.networks import pretrained
from hasim.networks.cost import WIDTH
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.studies import run_cache
from hasim.studies.results_table import Row, Store
from hasim.studies.run_cache import RowCache, code_hash, content
from hasim.studies.statistics import mean_interval, ratio_interval
from hasim.studies.sweep import Tally
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
        """How its rows are told from others."""
        return {"algorithm": self.algorithm, "masks": self.masks}

    @property
    def label(self) -> str:
        """For people."""
        return self.algorithm if self.masks == "oracle" else f"{self.algorithm}, trained"


def contestants(
    names: Sequence[str], masks: MaskKind = "trained", weights: Path | None = None
) -> list[Contestant]:
    """Algorithms by their kind, `_g2` behind it for compact networks, `_w8a8` and so on behind that
    for weights of that name that come with hasim; with trained masks also the same with oracle
    masks.

    `weights` is a folder with a folder of the algorithm's name in it, or the networks themselves;
    None: those that come with hasim.
    Trained networks run in the precision that they were trained for, unless told otherwise.
    ValueError for a name twice, and where no networks come with hasim.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"an algorithm stands twice among {', '.join(names)}")
    found = []
    for name in names:
        kind, groups, bits = _parsed(name)
        settings: dict[str, JsonValue] = {"algorithm.kind": kind}
        if groups:
            settings["algorithm.groups"] = groups
        found.append(Contestant(name, "oracle", settings))
        if masks == "trained" and _has_masks(kind):
            if weights is not None:
                own = weights / name if (weights / name).is_dir() else weights
            else:
                known = f"{pretrained.PREFIX}{name}" if bits else None
                if why := pretrained.missing(kind, groups, name=known):
                    raise ValueError(f"{why}; give some with --weights")
                own = pretrained.folder(kind, groups, known)
            found.append(Contestant(name, "trained", {**settings, **_trained(own)}))
    return found


def _parsed(name: str) -> tuple[str, int, str]:
    """Kind, groups and precision in the name of a contestant."""
    parts = re.fullmatch(r"(.+?)(?:_g(\d+))?(_w\d+(?:a\d+)?(?:_kd)?)?", name)
    if parts is None or int(parts[2] or 0) not in (0, *WIDTH):
        return name, 0, ""
    return parts[1], int(parts[2] or 0), parts[3] or ""


def _trained(weights: Path) -> dict[str, JsonValue]:
    from hasim.networks.mask_estimator import stored_precision

    precision = stored_precision(weights).model_dump()
    return {
        "algorithm.masks": "trained",
        "algorithm.weights": str(weights.resolve()),
        **{f"algorithm.precision.{key}": value for key, value in precision.items()},
    }


def _has_masks(kind: str) -> bool:
    try:
        return isinstance(replace(Scenario(), {"algorithm.kind": kind}).algorithm, MaskDrivenNode)
    except ScenarioError:
        return False  # whoever runs it with oracle masks says what is wrong


def evaluate(
    scenes: Sequence[Scenario],
    compared: Sequence[Contestant],
    folder: Path,
    *,
    settings: Sequence[str] = (),
    jobs: int = 1,
    cache_folder: Path | None = None,
    progress: Callable[[Tally], None] = lambda _: None,
) -> tuple[Tally, dict[str, Any]]:
    """Run every scene with every contestant and say what came of it, also in files in `folder`.

    Of the scenarios their scene, seed and duration count; all else is `BASE` with `settings`
    (KEY=VALUE texts). Rows that are in the folder's table, or in the cache, are not run again.
    `results.csv` has a row per run, `scores.csv`, `differences.csv` and `evaluation.json` what
    `judged` says.

    Raises:
        ScenarioError: settings that an algorithm cannot have.
        InputError: the folder holds another evaluation.
    """
    bases = {one.label: _base(one, settings) for one in compared}
    cases = [(number, scene, one) for number, scene in enumerate(scenes) for one in compared]
    identity = content_hash(
        {
            "hasim": version("hasim"),
            "evaluation": content(
                _base(Contestant("mn_tango", "oracle", {}), settings, loose=True)
            ),
            "settings": list(settings),
            "scenes": _scene_content(scenes[0]),
        }
    )
    shared = cache_folder or run_cache.folder_of_sweeps()
    known = RowCache(shared)
    tally = Tally(len(cases))
    first = next(iter(bases.values()))
    with Store(folder, identity, canonical_json(first)) as store, Engine(jobs) as engine:
        there = store.keys(failed=False)
        rows: dict[tuple[str, int], Row] = {}

        def tasks() -> Iterator[Task]:
            for number, scene, one in cases:
                scenario = _placed(bases[one.label], scene)
                task = Task(one.row_settings, number, canonical_json(scenario), str(shared))
                key = Row(one.row_settings, number).key
                wanted = scenario_hash(scenario)[:12]
                if key in there and (row := store.get(key)).scenario_hash == wanted:
                    rows[key] = row
                    tally.stored += 1
                elif (text := known.get(_row_key(scenario))) is not None:
                    rows[key] = Row(
                        one.row_settings, number, scenario_hash=wanted, **json.loads(text)
                    )
                    store.add([rows[key]])
                    tally.cached += 1
                else:
                    yield task
                progress(tally)

        try:
            for task, answer in engine.map(_row, tasks(), group=lambda task: task.number):
                row = answer if isinstance(answer, Row) else _failed(task, answer)
                store.add([row])
                rows[row.key] = row
                if not row.error:
                    kept = {"numbers": row.numbers, "feasible": row.feasible}
                    text = json.dumps(kept | {"reasons": row.reasons}, allow_nan=False)
                    known.put(_row_key(Scenario.model_validate_json(task.scenario)), text)
                tally.computed += 1
                tally.failed += bool(row.error)
                progress(tally)
        finally:
            known.close()
            store.write_table()
    told = judged(compared, list(rows.values()))
    told = {"scenes": len(scenes), "settings": list(settings), **told}
    write_whole(folder / "scores.csv", _csv(told["scores"]))
    write_whole(folder / "differences.csv", _csv(told["differences"]))
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    write_whole(folder / "evaluation.json", text.encode())
    return tally, told


# --------------------------------------------------------------------------------------- one case


@dataclass(frozen=True)
class Task:
    """What a worker is told."""

    settings: dict[str, JsonValue]
    number: int
    scenario: str  # canonical JSON
    cache_folder: str


def _row(task: Task) -> Row:
    """Run one case, stages included. An error is a row too."""
    started = time.perf_counter()
    try:
        scenario = Scenario.model_validate_json(task.scenario)
        scene = run_cache.scene(scenario, Path(task.cache_folder), code_hash())
        timeline = play_time(scenario)
        enhanced, mics = enhance(scenario, scene, timeline)
        outcome = judge(scenario, scene, timeline, enhanced, mics)
        told = result.summary(outcome, None)
        numbers = dict(told["numbers"])
        stages = list(outcome.stages.items())[:-1]  # the last one is the output
        for stage, scores in stages:
            numbers |= {f"{stage}.{name}": value for name, value in scores.items()}
        row = Row(
            task.settings,
            task.number,
            numbers=numbers,
            feasible=told["verdict"]["feasible"],
            reasons="; ".join(told["verdict"]["reasons"]),
            scenario_hash=outcome.hashes["scenario"][:12],
        )
    except Exception as error:
        row = _failed(task, error)
    return dataclasses.replace(row, seconds=time.perf_counter() - started)


def _failed(task: Task, error: BaseException) -> Row:
    said = " ".join(str(error).split())
    return Row(task.settings, task.number, error=f"{type(error).__name__}: {said}")


def _row_key(scenario: Scenario) -> str:
    parts = content(scenario)
    del parts["name"]
    return content_hash({"what": "evaluation", "code": code_hash(), "scenario": parts})


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


def _scene_content(scene: Scenario) -> Any:
    return [content(scene.scene), scene.seed, scene.duration_s]


# ------------------------------------------------------------------------------------------ scores


def judged(compared: Sequence[Contestant], rows: Sequence[Row]) -> dict[str, Any]:
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
            for key in (Row(one.row_settings, scene).key for scene in scenes)
        ]
        return np.array([np.nan if value is None else value for value in found], dtype=float)

    compared_quantities = catalogue.quantities(compared=True)
    scores, differences, shares = [], [], []
    for number, one in enumerate(compared):
        who = one.row_settings
        first_row = next((row for row in rows if row.settings == who and not row.error), None)
        steps = _steps(first_row) if first_row else []
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


def _steps(row: Row) -> list[str]:
    """Stages between the microphone and the output in the order of the path, and the output."""
    taps = [name.partition(".")[0] for name in row.numbers if "." in name]
    order: tuple[str, ...] = ("received", "sn_dnn", "mn_dnn", "filter_1", "received_z")
    kind = str(row.settings["algorithm"])
    if kind.startswith("tango"):
        order = ("sn_dnn", "filter_1", "received_z", "mn_dnn")
    elif kind.startswith("inverted"):
        order = ("received", "mn_dnn", "filter_1", "received_z", "sn_dnn")
    known = [tap for tap in order if tap in taps]
    return [*known, *(tap for tap in dict.fromkeys(taps) if tap not in known), OUTPUT]


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


# ------------------------------------------------------------------------------------ for people
