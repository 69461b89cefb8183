"""Presets: named sets of parameters that say where their numbers come from, one YAML file each.

A mapping in a scenario that names one (`{preset: ref-stm32u575-160, battery: {preset: li-1254}}`)
is filled with its values before it is read; what stands beside `preset` goes first. A resolved
scenario therefore holds every value itself, and the name only says where they come from.
`{preset: ./my_chip.yaml}` names a file of one's own, in the same format.

`ref-...` was measured and published or is a standard, `class-...` is a claim of a vendor or our
estimate. None of them claims to be a hearing aid that one can buy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from hasim.config.diagnostics import ScenarioError, Shape, problems_of
from hasim.config.similar import similar_file
from hasim.config.spec import Spec
from hasim.config.yaml_reader import Place, Problem, YamlNode, node_of, read_file, shortened

PresetGroup = Literal["devices", "radios", "batteries", "links", "losses"]
GROUPS: tuple[PresetGroup, ...] = get_args(PresetGroup)
FOLDERS: dict[PresetGroup, str] = {
    "devices": "simulation/device/presets",
    "radios": "simulation/device/radios",
    "batteries": "simulation/device/batteries",
    "links": "simulation/link/presets",
    "losses": "simulation/link/losses/presets",
}
Provenance = Literal["measured", "datasheet", "standard", "vendor_claim", "estimate", "assumption"]


class Preset(Spec):
    """One file: what it stands for, where its numbers come from, and the numbers."""

    about: str
    """What it is, in a line."""
    provenance: Provenance
    """Of all values but those in `estimated`."""
    source: tuple[str, ...] = Field(min_length=1)
    """Where the numbers can be read."""
    workload: str = ""
    """What was measured."""
    error_bar: str = ""
    """How far off they may be."""
    estimated: dict[str, str] = Field({})
    """Dotted path of an estimated value -> how it was estimated."""
    figures: dict[str, float] = Field({})
    """What is known beside the values, unit in the name: for the reader, not for the run."""
    values: dict[str, Any]
    """What is put into the scenario."""


def names(group: PresetGroup) -> tuple[str, ...]:
    """The presets that come with hasim, sorted; nothing is read but the folder."""
    folder = Path(__file__).parents[1] / FOLDERS[group]
    return tuple(sorted(file.stem for file in folder.glob("*.yaml")))


def is_file(preset: Any) -> bool:
    """Whether `preset` is the path of a preset file, not a name."""
    return isinstance(preset, (str, Path)) and str(preset).endswith((".yaml", ".yml"))


def names_preset(node: YamlNode) -> bool:
    """Whether the value of a key `preset` is a shipped name or a path."""
    return is_file(node.value) or _named(node) is not None


def preset_of(group: PresetGroup) -> Any:
    """The type of a key `preset`: a name of that group, or the path of a YAML file."""
    path_schema = {"type": "string", "format": "path", "pattern": r"\.ya?ml$"}
    name: Any = Annotated[Literal[names(group)], Tag("name")]
    file: Any = Annotated[Path, WithJsonSchema(path_schema), Tag("file")]
    return Annotated[name | file, Discriminator(lambda value: "file" if is_file(value) else "name")]


class FromPreset(Spec):
    """A Spec that a preset may fill.

    Only a scenario looks presets up; in Python, `Spec(**values(group, preset))` does.
    """

    preset_group: ClassVar[PresetGroup]
    preset: str | Path | None = None

    @model_validator(mode="after")
    def _filled(self) -> FromPreset:
        # Where everything is given, as in a resolved scenario, no file has to be read.
        not_given = type(self).model_fields.keys() - self.model_fields_set
        if self.preset is not None and not_given:
            missing = load(self.preset_group, self.preset).values.keys() & not_given
            if missing:
                name = str(self.preset)
                raise ValueError(
                    f"preset: {name!r} also sets {', '.join(sorted(missing))}; "
                    f"hasim.config.presets.values({self.preset_group!r}, {name!r}) gives them"
                )
        return self


if TYPE_CHECKING:
    LinkPreset: TypeAlias = str | Path
    LossPreset: TypeAlias = str | Path
else:
    LinkPreset, LossPreset = preset_of("links"), preset_of("losses")


class PresetLink(FromPreset):
    """A link that a preset may fill."""

    preset_group: ClassVar[PresetGroup] = "links"

    preset: LinkPreset | None = None


class PresetLoss(FromPreset):
    """Losses that a preset may fill."""

    preset_group: ClassVar[PresetGroup] = "losses"

    preset: LossPreset | None = None


def load(group: PresetGroup, preset: str | Path) -> Preset:
    """The preset of that name, or in that file.

    Raises:
        ValueError: there is none, or (as ScenarioError) the file is not a preset.
    """
    if not is_file(preset):
        return _shipped(group, str(preset))
    path = Path(preset)
    if not path.is_file():
        hint = similar_file(path)
        raise ValueError(f"preset: no such file (got {path})" + (f"; {hint}" if hint else ""))
    loaded, _, problems = _read(path)
    if loaded is None:
        raise ScenarioError(problems)
    return loaded


def values(
    group: PresetGroup, preset: str | Path, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a scenario gets that names this preset, with `changes` beside it.

    >>> values("batteries", "zn-312", {"mah": 160})
    {'preset': 'zn-312', 'mah': 160, 'volts': 1.25}
    """
    load(group, preset)
    node, _ = expand(node_of({"preset": preset, **(changes or {})}, Place()))
    return node.plain()


def expand(
    node: YamlNode, folder: Path | None = None, key: tuple[str, ...] = ()
) -> tuple[YamlNode, list[Problem]]:
    """A tree of values in which every mapping that names a preset has that preset's values, and
    the mistakes of the preset files.

    What the mapping says itself stays; where both are mappings, key by key. Relative paths start
    at `folder` (None: the working directory), in a preset file at its own folder. `key` is where
    `node` is in the scenario. A name that does not exist stays as it is, for the Spec to refuse.
    """
    problems: list[Problem] = []
    return _expanded(node, folder or Path.cwd(), key, (), problems), problems


def label(preset: str | Path | None) -> str | None:
    """A preset in tables: its name, or the name of its file."""
    return Path(preset).name if preset is not None and is_file(preset) else preset  # type: ignore[return-value]


def origin(spec: FromPreset) -> dict[str, Any]:
    """Where a Spec's values come from, for manifests: preset, provenance, source, what differs.

    Of a preset file that is gone, only the name is known.
    """
    if spec.preset is None:
        return {"preset": None, "provenance": "user"}
    if is_file(spec.preset) and not Path(spec.preset).is_file():
        return {"preset": label(spec.preset), "provenance": "unknown"}
    preset = load(spec.preset_group, spec.preset)
    given, _ = expand(node_of(preset.values, Place()))
    changed = sorted(_differing(given.plain(), spec))
    return {
        "preset": label(spec.preset),
        "about": preset.about,
        "provenance": preset.provenance,
        "source": list(preset.source),
        "workload": preset.workload,
        "error_bar": preset.error_bar,
        "changed": changed,
        "estimated": {key: how for key, how in preset.estimated.items() if key not in changed},
    }


# ------------------------------------------------------------------------------------ expansion


def _expanded(
    node: YamlNode,
    folder: Path,
    key: tuple[str, ...],
    inside: tuple[Path, ...],
    problems: list[Problem],
) -> YamlNode:
    """`expand`, within the preset files `inside`."""
    if isinstance(node.value, list):
        entries = [
            _expanded(entry, folder, (*key, str(number)), inside, problems)
            for number, entry in enumerate(node.value)
        ]
        return YamlNode(entries, node.place, node.text)
    if not isinstance(node.value, dict):
        return node
    preset = node.value.get("preset")
    if preset is not None and is_file(preset.value):
        node, inside = _filled_from_file(node, folder, key, inside, problems)
    elif preset is not None and (found := _named(preset)) is not None:
        given = node_of(load(*found).values, node.key_place("preset"))
        node = _filled(node, given, preset)
    assert isinstance(node.value, dict)
    items = {
        name: _expanded(item, folder, (*key, name), inside, problems)
        for name, item in node.value.items()
    }
    return YamlNode(items, node.place, keys=node.keys)


def _filled_from_file(
    node: YamlNode,
    folder: Path,
    key: tuple[str, ...],
    inside: tuple[Path, ...],
    problems: list[Problem],
) -> tuple[YamlNode, tuple[Path, ...]]:
    """A mapping with the values of its preset file; an empty one where the file is wrong."""
    assert isinstance(node.value, dict)
    named = node.value["preset"]
    path = Path(os.path.normpath(folder / str(named.value)))
    absolute = YamlNode(str(path), named.place, named.text)
    if not path.is_file() and _is_resolved(node):
        return YamlNode({**node.value, "preset": absolute}, node.place, keys=node.keys), inside
    full = shortened(".".join((*key, "preset")))
    loaded, given, found = None, None, []
    if not path.is_file():
        found = [Problem(named.place, full, "no such file", str(path), similar_file(path))]
    elif path in inside:
        found = [Problem(named.place, full, "a preset file that names itself", str(path))]
    else:
        loaded, given, found = _read(path)
    if loaded is None or given is None:
        problems += [problem for problem in found if problem not in problems]
        return YamlNode({}, node.place, keys=node.keys), inside
    return _filled(node, given, absolute), (*inside, path)


def _is_resolved(node: YamlNode) -> bool:
    """Whether a mapping has every key of a Spec that presets may fill."""
    assert isinstance(node.value, dict)
    specs = list(FromPreset.__subclasses__())
    for spec in specs:
        specs += spec.__subclasses__()
    leaves = [spec for spec in specs if not spec.__subclasses__()]
    return any(spec.model_fields.keys() <= node.value.keys() for spec in leaves)


def _named(preset: YamlNode) -> tuple[PresetGroup, str] | None:
    """Group and name of a shipped preset; no name is in two groups."""
    if not isinstance(preset.value, str):
        return None
    name = preset.value
    return next(((group, name) for group in GROUPS if name in names(group)), None)


def _filled(node: YamlNode, given: YamlNode, preset: YamlNode) -> YamlNode:
    """A mapping with the values `given`, what it says itself first."""
    assert isinstance(node.value, dict)
    own = {key: item for key, item in node.value.items() if key != "preset"}
    return _merged(given, YamlNode(own, node.place, keys=node.keys), {"preset": preset})


def _merged(given: YamlNode, own: YamlNode, first: dict[str, YamlNode]) -> YamlNode:
    assert isinstance(given.value, dict)
    assert isinstance(own.value, dict)
    items = {**first, **given.value, **own.value}
    for key, item in own.value.items():
        # Another preset or another kind inside starts from its own values.
        adds = isinstance(item.value, dict) and not {"preset", "kind"} & item.value.keys()
        below = given.value.get(key)
        if adds and below is not None and isinstance(below.value, dict):
            items[key] = _merged(below, item, {})
    return YamlNode(items, own.place, keys={**given.keys, **own.keys})


def _differing(values: Mapping[str, Any], spec: Any, path: str = "") -> Iterator[str]:
    """Dotted paths of values that the Spec has differently."""
    for key, value in values.items():
        has = getattr(spec, key, None)
        if isinstance(value, Mapping) and has is not None:
            yield from _differing(value, has, f"{path}{key}.")
        elif _plain(has) != (tuple(value) if isinstance(value, list) else value):
            yield f"{path}{key}"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


# -------------------------------------------------------------------------------------- reading


@cache
def _shipped(group: PresetGroup, name: str) -> Preset:
    if name not in names(group):
        known = ", ".join(names(group))
        raise ValueError(f"preset: unknown choice (got {name!r}); {group} are {known}")
    loaded, _, problems = _read(Path(__file__).parents[1] / FOLDERS[group] / f"{name}.yaml")
    if loaded is None:
        raise ScenarioError(problems)
    return loaded


def _read(file: Path) -> tuple[Preset | None, YamlNode | None, list[Problem]]:
    """A preset file, its values with their places, and its mistakes (then the others are None).

    Paths of presets within the file start at its folder.
    """
    document = read_file(file)
    root = document.root
    if root is None or document.problems:
        return None, None, document.problems
    try:
        preset = Preset.model_validate(_tuples(root.plain()))
    except ValidationError as error:
        schema = Preset.model_json_schema()
        shape = Shape(schema, schema.get("$defs", {}))
        return None, None, problems_of(error.errors(include_url=False), root, shape)
    assert isinstance(root.value, dict)
    return preset, _with_absolute_presets(root.value["values"], file.parent), []


def _with_absolute_presets(node: YamlNode, folder: Path) -> YamlNode:
    if isinstance(node.value, list):
        entries = [_with_absolute_presets(entry, folder) for entry in node.value]
        return YamlNode(entries, node.place, node.text)
    if not isinstance(node.value, dict):
        return node
    items = {key: _with_absolute_presets(item, folder) for key, item in node.value.items()}
    preset = items.get("preset")
    if preset is not None and is_file(preset.value):
        path = os.path.normpath(folder / str(preset.value))
        items["preset"] = YamlNode(path, preset.place, preset.text)
    return YamlNode(items, node.place, keys=node.keys)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
