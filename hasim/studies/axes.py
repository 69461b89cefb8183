"""What a sweep varies: dotted paths into a scenario and their values, as a grid of points.

A point is a mapping from dotted path to value. Every point is run with the same seeds, so that
points are compared on the same scenes and the same losses.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from hasim.config import overrides
from hasim.config.diagnostics import ScenarioError, Shape, problems_of
from hasim.config.spec import LimitError, Spec
from hasim.config.yaml_reader import MAX_BYTES, Place, Problem, YamlNode, read
from hasim.experiment.scenario import Scenario, load, replace
from hasim.studies.result_row import settings_key

MAX_POINTS = 100_000
Settings = dict[str, JsonValue]
"""Dotted path -> value: what one point changes in the scenario."""


class Axis(Spec):
    """The values of one dotted path: `values`, or `count` of them from `start` to `stop`."""

    values: tuple[JsonValue, ...] | None = Field(None, min_length=1)
    """The values; a list alone means the same."""
    start: float | None = None
    """The first value of a range."""
    stop: float | None = None
    """The last one."""
    count: int | None = Field(None, ge=2, le=1000)
    """How many values the range has, both ends included."""
    spacing: Literal["linear", "log"] = "linear"
    """Equal steps, or equal ratios."""
    when: dict[str, JsonValue] = Field(default_factory=dict)
    """Varied only where each of these paths has the value, or one of the list of values."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [self.start is not None, self.stop is not None, self.count is not None]
        if any(given) == (self.values is not None) or any(given) != all(given):
            raise ValueError("must have either values, or start, stop and count")
        if self.spacing == "log" and not (self.start or 0) * (self.stop or 0) > 0:
            raise ValueError("log spacing: start and stop must both be above 0")
        return self

    def points(self) -> tuple[JsonValue, ...]:
        """All values in order; those of a range have twelve digits.

        >>> Axis(start=0, stop=0.3, count=4).points()
        (0, 0.1, 0.2, 0.3)
        """
        if self.values is not None:
            return self.values
        start, stop, count = self.start or 0.0, self.stop or 0.0, self.count or 0
        log = self.spacing == "log"
        low, high = (math.log(start), math.log(stop)) if log else (start, stop)
        steps = [low + (high - low) * step / (count - 1) for step in range(count)]
        return tuple(_tidy(math.exp(step) if log else step) for step in steps)


class SweepSpec(Spec):
    """A sweep file: a scenario, the axes of a grid, and the seeds."""

    schema_version: Literal[1] = 1
    """The version of this format."""
    name: str = Field("sweep", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Names the folder of the table."""
    scenario: Path
    """The scenario that every point starts from."""
    set: dict[str, JsonValue] = Field(default_factory=dict)
    """What is different from the scenario at every point."""
    axes: dict[str, Axis] = Field(default_factory=dict)
    """Every combination of their values is a point; a list is short for `values`."""
    zip: tuple[dict[str, tuple[JsonValue, ...]], ...] = ()
    """Groups of paths that move together, first value with first value; each group is an axis."""
    seeds: Annotated[int, Field(ge=1, le=100_000)] | tuple[int, ...] = 1
    """A number of seeds, counted up from the scenario's own, or a list of seeds."""
    time_limit_s: float | None = Field(None, gt=0, le=1e6)
    """A run that takes longer is ended, and its row has failed; null: no limit."""

    @model_validator(mode="after")
    def _groups_of_one_length(self) -> Self:
        for group in self.zip:
            lengths = {key: len(values) for key, values in group.items()}
            if len(set(lengths.values())) != 1 or 0 in lengths.values():
                raise ValueError(f"zip: lists must be of one length, at least 1 (got {lengths})")
        keys = [*self.axes, *(key for group in self.zip for key in group)]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{key}: stands on two axes; keep one")
        return self


@dataclass(frozen=True)
class Choice:
    """One direction of the grid: settings to choose one of, where the conditions hold."""

    options: tuple[Settings, ...]
    when: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Grid:
    """All points of a sweep, and the scenario that they vary."""

    name: str
    base: Scenario
    choices: tuple[Choice, ...]
    points: tuple[Settings, ...]
    seeds: tuple[int, ...]
    time_limit_s: float | None = None
    """Of one run."""
    _known: dict[str, Scenario | ScenarioError] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def scenario(self, settings: Settings, seed: int | None = None) -> Scenario:
        """The scenario of a point; `seed` None: that of the base.

        Raises:
            ScenarioError: the point's values do not go together.
        """
        key = settings_key(settings)
        if key not in self._known:
            try:
                self._known[key] = replace(self.base, settings) if settings else self.base
            except ScenarioError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, ScenarioError):
            raise found
        return found if seed is None else found.model_copy(update={"seed": seed})


def grid(
    file: str | Path,
    *,
    over: Sequence[str] = (),
    seeds: int | None = None,
    set: Sequence[str] = (),
    time_limit_s: float | None = None,
    whole: bool = True,
) -> Grid:
    """The grid of a sweep file, or of a scenario file with the axes `over`.

    `over` are texts such as `link.rate_kbps=64,128` or `algorithm.mu={start: 0, stop: 2, count:
    5}`; they replace axes of the file. `set` are texts `KEY=VALUE` that hold at every point.
    `seeds` and `time_limit_s` of None are the file's. With `whole` false the grid has choices, and
    no list of points.

    Raises:
        ScenarioError: mistakes in the files, the axes or the settings; a value that no point of
            the sweep can have.
        LimitError: more than 100,000 points.
    """
    spec, place = _spec(Path(file))
    axes = _over(over)
    fixed, problems = overrides.parse(list(set), Place("--set"))
    if problems:
        raise ScenarioError(problems)
    always = {".".join(setting.path): setting.value.plain() for setting in fixed}
    base = load(spec.scenario, spec.set | always)
    for key in {"seed", "name"} & (axes.keys() | spec.axes.keys()):
        raise ScenarioError([Problem(place, key, "is no axis", None, "use --seeds")])
    together = {key for group in spec.zip for key in group}
    for key in together & axes.keys():
        raise ScenarioError([Problem(Place("--over"), key, "moves together with others", None)])
    choices = tuple(
        Choice(tuple({key: value} for value in axis.points()), axis.when)
        for key, axis in (spec.axes | axes).items()
    ) + tuple(Choice(tuple(_rows(group)), {}) for group in spec.zip)
    number = spec.seeds if seeds is None else seeds
    listed = number if isinstance(number, tuple) else range(base.seed, base.seed + number)
    made = Grid(
        name=spec.name,
        base=base,
        choices=choices,
        points=tuple(_combinations(choices, base)) if whole else (),
        seeds=tuple(dict.fromkeys(listed)),
        time_limit_s=spec.time_limit_s if time_limit_s is None else time_limit_s,
    )
    _check_values(made, place)
    return made


def applies(when: Mapping[str, JsonValue], settings: Settings, base: Mapping[str, Any]) -> bool:
    """Whether conditions hold at a point; `base` is the scenario without the settings."""
    for key, wanted in when.items():
        value = settings[key] if key in settings else overrides.value_at(base, key)
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


def _rows(group: Mapping[str, Sequence[JsonValue]]) -> Iterator[Settings]:
    """First values together, second values together, and so on."""
    for values in zip(*group.values(), strict=True):
        yield dict(zip(group, values, strict=True))


def _combinations(choices: Sequence[Choice], base: Scenario) -> Iterator[Settings]:
    """Every point once: free axes first, then those with conditions, each in its order."""
    size = math.prod(len(choice.options) for choice in choices)
    if size > MAX_POINTS:
        raise LimitError(f"{size} points: the limit is {MAX_POINTS}; see `hasim search`")
    plain = base.model_dump(mode="json")
    free = [choice for choice in choices if not choice.when]
    points: list[Settings] = [
        {key: value for option in combination for key, value in option.items()}
        for combination in itertools.product(*(choice.options for choice in free))
    ]
    for choice in choices:
        if choice.when:
            points = [
                {**point, **option}
                for point in points
                for option in (choice.options if applies(choice.when, point, plain) else ({},))
            ]
    return iter({settings_key(point): point for point in points}.values())


def _check_values(whole: Grid, place: Place) -> None:
    """Refuse values that no point can have; up to eight points of every value are tried."""
    tried: dict[str, list[Settings]] = {}
    for point in whole.points:
        for key, value in point.items():
            points = tried.setdefault(settings_key({key: value}), [])
            if len(points) < 8:
                points.append(point)
    problems: dict[str, Problem] = {}
    good: set[str] = set()
    for points in tried.values():
        first: ScenarioError | None = None
        for point in points:
            if (name := settings_key(point)) in good:
                break
            try:
                whole.scenario(point)
            except ScenarioError as error:
                first = first or error
            else:
                good.add(name)
                break
        else:
            assert first is not None
            problems |= {
                str(problem): Problem(place, problem.key, problem.wrong, problem.got, problem.right)
                for problem in first.problems
            }
    if problems:
        raise ScenarioError(list(problems.values()))


def _spec(file: Path) -> tuple[SweepSpec, Place]:
    """A sweep file; any other file as a sweep without axes, for `scenario.load` to check."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(MAX_BYTES + 1).decode("utf-8-sig")
    except (OSError, ValueError):
        return SweepSpec(scenario=file), Place("--over")
    document = read(text, str(file))
    root = document.root
    items = root.value if root is not None and isinstance(root.value, dict) else {}
    if root is None or not items.keys() & {"scenario", "axes", "zip"}:
        return SweepSpec(scenario=file, name=_name(file)), Place("--over")
    axes, problems = _axes(items["axes"], "axes.") if "axes" in items else ({}, [])
    problems = [*document.problems, *problems]
    spec = None
    try:
        plain = {"name": _name(file), **root.plain()}
        # Mistakes in the axes are among the problems already.
        if isinstance(plain.get("axes"), dict):
            plain["axes"] = {key: axis.model_dump(mode="json") for key, axis in axes.items()}
        spec = SweepSpec.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        problems += problems_of(error.errors(include_url=False), root, _shape(SweepSpec))
    if spec is None or problems:
        raise ScenarioError(problems)
    return spec.model_copy(update={"scenario": file.parent / spec.scenario}), Place(str(file))


def _axes(node: YamlNode, prefix: str) -> tuple[dict[str, Axis], list[Problem]]:
    """The axes of a mapping from path to axis; a list is short for `values`."""
    axes: dict[str, Axis] = {}
    problems: list[Problem] = []
    for key, inner in node.value.items() if isinstance(node.value, dict) else ():
        if isinstance(inner.value, list):
            inner = YamlNode({"values": inner}, inner.place)
        try:
            axes[key] = Axis.model_validate_json(json.dumps(inner.plain()), strict=True)
        except ValidationError as error:
            for problem in problems_of(error.errors(include_url=False), inner, _shape(Axis)):
                full = f"{prefix}{key}" + (f".{problem.key}" if problem.key else "")
                problems.append(dataclasses.replace(problem, key=full))
    return axes, problems


def _over(texts: Sequence[str]) -> dict[str, Axis]:
    """Axes of the command line: after the path, values with commas between them, or a mapping."""
    settings, problems = overrides.parse([_listed(text) for text in texts], Place("--over"))
    nodes = {".".join(setting.path): setting.value for setting in settings}
    axes, wrong = _axes(YamlNode(dict(nodes), Place("--over")), "")
    if problems or wrong:
        raise ScenarioError([*problems, *wrong])
    return axes


def _listed(text: str) -> str:
    """`a.b=1,2` as `a.b=[1,2]`; lists and mappings as they are."""
    key, equals, values = text.partition("=")
    return text if not equals or values.strip()[:1] in ("[", "{") else f"{key}=[{values}]"


def _name(file: Path) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in file.stem).strip("_")
    return kept[:64] or "sweep"


def _shape(spec: type[Spec]) -> Shape:
    schema = spec.model_json_schema()
    return Shape(schema, schema.get("$defs", {}))


def _tidy(number: float) -> int | float:
    """Twelve significant digits; a whole number where it is one."""
    rounded = float(f"{number:.12g}")
    return int(rounded) if rounded.is_integer() else rounded
