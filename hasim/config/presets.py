"""Presets: named sets of parameters that say where their numbers come from, one YAML file each.

A mapping in a scenario that names one (`{preset: ref-stm32u575-160, battery: {preset: li-1254}}`)
is filled with its values before it is read; what stands beside the name goes before the preset. So
a resolved scenario holds every value itself, and the name only says where they come from.

`ref-...` was measured and published or is a standard, `class-...` is a claim of a vendor or our
estimate. None of them claims to be a hearing aid that one can buy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from hasim.config.spec import Spec
from hasim.config.yaml_reader import Place, YamlNode, node_of, read

Shelf = Literal["devices", "radios", "batteries", "links", "losses"]
SHELVES: tuple[Shelf, ...] = get_args(Shelf)
FOLDERS: dict[Shelf, str] = {
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
    """Dotted path of a value that is our estimate -> how it was made."""
    figures: dict[str, float] = Field({})
    """What is known beside the values, unit in the name: for the reader, not for the run."""
    values: dict[str, Any]
    """What is put into the scenario."""


class FromShelf(Spec):
    """A Spec that a preset may fill. Only a scenario looks presets up, or `preset(shelf, name)`."""

    shelf: ClassVar[Shelf]
    preset: str | None = None

    @model_validator(mode="after")
    def _filled(self) -> FromShelf:
        # Where everything is said, as in a resolved scenario, no file has to be read.
        unsaid = type(self).model_fields.keys() - self.model_fields_set
        if self.preset is not None and unsaid:
            missing = load(self.shelf, self.preset).values.keys() & unsaid
            if missing:
                raise ValueError(
                    f"preset: {self.preset!r} also sets {', '.join(sorted(missing))}; "
                    f"hasim.presets.values({self.shelf!r}, {self.preset!r}) gives them"
                )
        return self


def names(shelf: Shelf) -> tuple[str, ...]:
    """The presets on a shelf, sorted; nothing is read but the folder."""
    folder = Path(__file__).parents[1] / FOLDERS[shelf]
    return tuple(sorted(file.stem for file in folder.glob("*.yaml")))


if TYPE_CHECKING:
    LinkPreset: TypeAlias = str
    LossPreset: TypeAlias = str
else:
    LinkPreset, LossPreset = Literal[names("links")], Literal[names("losses")]


class PresetLink(FromShelf):
    """A link that a preset may fill."""

    shelf: ClassVar[Shelf] = "links"

    preset: LinkPreset | None = None


class PresetLoss(FromShelf):
    """Losses that a preset may fill."""

    shelf: ClassVar[Shelf] = "losses"

    preset: LossPreset | None = None


@cache
def load(shelf: Shelf, name: str) -> Preset:
    """The preset of that name; ValueError where there is none."""
    if name not in names(shelf):
        known = ", ".join(names(shelf))
        raise ValueError(f"preset: unknown choice (got {name!r}); {shelf} are {known}")
    return Preset.model_validate(_document(shelf, name))


def values(shelf: Shelf, name: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a scenario gets that names this preset, and `changes` beside it.

    >>> values("batteries", "zn-312", {"mah": 160})
    {'preset': 'zn-312', 'mah': 160, 'volts': 1.25}
    """
    node = node_of({"preset": name, **(changes or {})}, Place())
    load(shelf, name)
    return expanded(node).plain()


def expanded(node: YamlNode) -> YamlNode:
    """A tree of values in which every mapping that names a preset has that preset's values.

    What the mapping says itself stays; where both are mappings, key by key. A name that is on no
    shelf stays as it is, for the Spec to refuse.
    """
    if isinstance(node.value, list):
        return YamlNode([expanded(item) for item in node.value], node.place, node.text)
    if not isinstance(node.value, dict):
        return node
    if (name := named_in(node)) is not None:
        own = {key: item for key, item in node.value.items() if key != "preset"}
        given = node_of(load(*name).values, node.key_place("preset"))
        first = {"preset": node.value["preset"]}
        node = _merged(given, YamlNode(own, node.place, keys=node.keys), first)
    assert isinstance(node.value, dict)
    items = {key: expanded(item) for key, item in node.value.items()}
    return YamlNode(items, node.place, keys=node.keys)


def named_in(node: YamlNode) -> tuple[Shelf, str] | None:
    """Shelf and name of the preset that a mapping names; no name is on two shelves."""
    if not isinstance(node.value, dict) or "preset" not in node.value:
        return None
    name = node.value["preset"].value
    return next(((shelf, name) for shelf in SHELVES if name in names(shelf)), None)


def origin(spec: FromShelf) -> dict[str, Any]:
    """Where a Spec's values come from, for manifests: preset, provenance, source, what differs."""
    if spec.preset is None:
        return {"preset": None, "provenance": "user"}
    preset = load(spec.shelf, spec.preset)
    changed = sorted(_differing(expanded(node_of(preset.values, Place())).plain(), spec))
    return {
        "preset": spec.preset,
        "about": preset.about,
        "provenance": preset.provenance,
        "source": list(preset.source),
        "workload": preset.workload,
        "error_bar": preset.error_bar,
        "changed": changed,
        "estimated": {key: how for key, how in preset.estimated.items() if key not in changed},
    }


def _merged(given: YamlNode, own: YamlNode, first: dict[str, YamlNode]) -> YamlNode:
    assert isinstance(given.value, dict)
    assert isinstance(own.value, dict)
    items = {**first, **given.value, **own.value}
    for key, item in own.value.items():
        # Another preset or another kind inside begins afresh.
        adds = isinstance(item.value, dict) and not {"preset", "kind"} & item.value.keys()
        below = given.value.get(key)
        if adds and below is not None and isinstance(below.value, dict):
            items[key] = _merged(below, item, {})
    return YamlNode(items, own.place, keys={**given.keys, **own.keys})


def _differing(values: Mapping[str, Any], spec: Any, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        has = getattr(spec, key, None)
        if isinstance(value, Mapping) and has is not None:
            yield from _differing(value, has, f"{path}{key}.")
        elif has != (tuple(value) if isinstance(value, list) else value):
            yield f"{path}{key}"


def _document(shelf: Shelf, name: str) -> Any:
    file = Path(__file__).parents[1] / FOLDERS[shelf] / f"{name}.yaml"
    document = read(file.read_text(encoding="utf-8"), str(file))
    if document.root is None or document.problems:
        raise ValueError("\n".join(map(str, document.problems)))
    return _tuples(document.root.plain())


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
