"""The two pages that are written by program: every key of a scenario file, every command.

`python docs/reference.py` writes both; building the site does so too, and a test holds the pages
that are checked in against what hasim says.
"""

from __future__ import annotations

import json
import types
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hasim.config.spec import Spec, by_kind, described_fields, one_of

HERE = Path(__file__).parent
MADE = "<!-- Written by docs/reference.py; change the Specs or the commands, not this page. -->\n"

UNITS = {  # by the end of a key's name, the longest that fits
    "_db_spl": "dB SPL",
    "_db": "dB",
    "_dbm": "dBm",
    "_dbfs": "dBFS",
    "_deg": "°",
    "_m": "m",
    "_hz": "Hz",
    "_mhz": "MHz",
    "_us": "µs",
    "_ms": "ms",
    "_s": "s",
    "_kbps": "kbit/s",
    "_kb": "kB",
    "_gb_per_s": "GB/s",
    "_mmac_per_s": "MMAC/s",
    "mmac_per_s": "MMAC/s",
    "_mw": "mW",
    "_octets": "octets",
    "_bits": "bits",
    "ppm": "ppm",
    "mah": "mAh",
    "volts": "V",
    "pj_per_byte": "pJ",
    "ramp_uj": "µJ",
}
SHARED = 4  # so many keys that the same kinds have in common stand in a table of their own


# --- scenario files -------------------------------------------------------------------------------


_ABOUT_SCENARIOS = """# Scenario reference

Every key that a scenario file may have, read from the definitions that also validate it. All keys
have defaults, and an unknown key is an error. Units stand in the names of the keys. Where a key
holds a group of keys, its default is that group's defaults. Where it holds one of several kinds,
`kind` says which.

`--set KEY=VALUE`, `--over KEY=VALUES` and the axes of sweep files take dotted paths like the titles
of the sections below, with numbers for the entries of lists: `scene.noises.0.azimuth_deg`. A new
`kind` set this way keeps the keys that both kinds have. Editors complete and check the same keys
with `scenario.schema.json` (made by `hasim schema`); `hasim validate` tells all mistakes of a file
at once.
"""


def scenario_page() -> str:
    """docs/scenario_reference.md: a section for each Spec, tagged unions with all their kinds."""
    from hasim.experiment.scenario import Scenario
    from hasim.studies.axes import SweepSpec

    lines = [
        MADE,
        _ABOUT_SCENARIOS,
        *_sections(Scenario, "The file itself"),
        "## Sweep files",
        "",
        "What `hasim sweep` reads besides scenarios; [sweeps](sweeps.md) explains it.",
        "",
        *_sections(SweepSpec, "The sweep file", level=3),
    ]
    return "\n".join(lines)


def _sections(root: type[Spec], title: str, level: int = 2) -> Iterator[str]:
    """The sections of all Specs below `root`, in the order of the file."""
    places: dict[Any, list[str]] = {}
    order: list[Any] = []
    _walk(root, "", places, order)
    names = {key: _title(places[key]) if key is not root else title for key in order}
    for key in order:
        yield f"{'#' * level} {names[key]}"
        yield ""
        others = [f"`{place}`" for place in dict.fromkeys(places[key]) if place != names[key]]
        if others and key is not root:
            yield f"Also {', '.join(others)}."
            yield ""
        if isinstance(key, tuple):
            yield from _union(key, names, level)
        else:
            yield from (_paragraph(key), "")
            yield from _table(described_fields(key), names)


def _walk(target: Any, path: str, places: dict[Any, list[str]], order: list[Any]) -> None:
    """Note every Spec and every union of Specs below `target` with the paths it is found at."""
    key = _group(target)
    if key is None:
        return
    new = key not in places
    places.setdefault(key, []).append(path)
    if new:
        order.append(key)
    for spec in key if isinstance(key, tuple) else (key,):
        for name, field in described_fields(spec).items():
            _walk_field(field, f"{path}.{name}" if path else name, places, order, new)


def _walk_field(
    field: FieldInfo, path: str, places: dict[Any, list[str]], order: list[Any], new: bool
) -> None:
    for part in _parts(field):
        inner = _inner(part)
        found = _group(inner)
        if found is not None and (new or path not in places.get(found, ())):
            _walk(inner, path if inner is part else f"{path}.N", places, order)


def _parts(field: FieldInfo) -> tuple[Any, ...]:
    """What a field may hold, without `None`; a union of kinds stays whole."""
    annotation = field.annotation
    for note in field.metadata:
        # pydantic keeps the annotations of a field apart from its type
        if isinstance(note, by_kind):
            return (Annotated[annotation, note],)
    if _group(annotation) is not None or not _is_union(annotation):
        return (annotation,)
    return tuple(part for part in get_args(annotation) if part is not type(None))


def _inner(part: Any) -> Any:
    """What a list or the values of a mapping hold; all else as it is."""
    if get_origin(part) not in (tuple, dict):
        return part
    return [inner for inner in get_args(part) if inner is not Ellipsis][-1]


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _group(annotation: Any) -> Any:
    """A Spec class, or the classes of a union of kinds, or None."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    if get_origin(annotation) is not Annotated:
        return None
    source, *notes = get_args(annotation)
    choice = next((note for note in notes if isinstance(note, by_kind)), None)
    return tuple(choice.kinds(source).values()) if choice else None


def _title(paths: list[str]) -> str:
    return min(paths, key=lambda path: (path.count("."), paths.index(path)))


def _paragraph(spec: type[Spec]) -> str:
    """The docstring, its paragraphs kept."""
    return "\n".join(line.strip() for line in (spec.__doc__ or "").strip().splitlines())


def _kind(spec: type[Spec]) -> str:
    return spec.model_fields["kind"].default


def _union(kinds: tuple[type[Spec], ...], names: dict[Any, str], level: int) -> Iterator[str]:
    links = (f"[`{_kind(kind)}`](#{_slug(f'{names[kinds]}: {_kind(kind)}')})" for kind in kinds)
    yield f"One of the kinds {', '.join(links)}."
    yield ""
    together = _together(kinds)
    for members, fields in together.items():
        whose = ", ".join(f"`{_kind(kind)}`" for kind in members)
        yield f"{'#' * (level + 1)} {names[kinds]}: keys of {len(members)} kinds"
        yield ""
        yield f"Of {whose}:"
        yield ""
        yield from _table(fields, names)
    for kind in kinds:
        shared = {
            name for members, fields in together.items() if kind in members for name in fields
        }
        own = {
            name: field
            for name, field in described_fields(kind).items()
            if name not in shared and name != "kind"
        }
        yield f"{'#' * (level + 1)} {names[kinds]}: {_kind(kind)}"
        yield ""
        yield f"`kind: {_kind(kind)}`. {_paragraph(kind)}"
        yield ""
        if own:
            yield from _table(own, names)
        elif shared:
            yield "No keys but those above."
            yield ""


def _together(kinds: tuple[type[Spec], ...]) -> dict[tuple[type[Spec], ...], dict[str, FieldInfo]]:
    """Keys that several kinds have, all alike, where there are enough of them for a table."""
    alike: dict[tuple[str, str], list[type[Spec]]] = defaultdict(list)
    for kind in kinds:
        for name, field in described_fields(kind).items():
            if name != "kind":
                alike[name, repr(field)].append(kind)
    groups: dict[tuple[type[Spec], ...], dict[str, FieldInfo]] = defaultdict(dict)
    for (name, _), members in alike.items():
        if len(members) > 1:
            groups[tuple(members)][name] = members[0].model_fields[name]
    return {members: fields for members, fields in groups.items() if len(fields) >= SHARED}


def _table(fields: dict[str, FieldInfo], names: dict[Any, str]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in fields.items():
        if name == "kind":
            continue
        cells = (f"`{name}`", _value(name, field, names), _default(field), _meaning(name, field))
        yield _row(*cells)
    yield ""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _meaning(name: str, field: FieldInfo) -> str:
    if field.description:
        return " ".join(field.description.split())
    if name == "preset":
        return "Its values hold where no key beside it says otherwise; `hasim presets` lists them."
    groups = [_group(_inner(part)) for part in _parts(field)]
    texts = [_paragraph(group) for group in groups if isinstance(group, type)]
    if not texts and not any(groups):
        raise ValueError(f"{name}: has no meaning; write a docstring below the field")
    first = texts[0].split("\n\n")[0].replace("\n", " ") if texts else ""
    return first or "One of several kinds."


def _value(name: str, field: FieldInfo, names: dict[Any, str]) -> str:
    """Type, range and unit in words."""
    text = " or ".join(_type(part, field.metadata, names) for part in _parts(field))
    if type(None) in get_args(field.annotation):
        text += " or null"
    unit = next((UNITS[end] for end in sorted(UNITS, key=len)[::-1] if name.endswith(end)), "")
    number = "number" in text and not any(_group(part) for part in _parts(field))
    return f"{text}; {unit}" if unit and (number or text.startswith("list of")) else text


def _type(part: Any, metadata: list[Any], names: dict[Any, str]) -> str:
    group = _group(part)
    if group is not None:
        return f"[{names[group]}](#{_slug(names[group])})"
    origin, inner = get_origin(part), get_args(part)
    if origin is Annotated and isinstance(inner[1], one_of):
        return ", ".join(f"`{name}`" for name in inner[1].names())
    if origin is Annotated:
        notes = [note for info in inner[1:] for note in getattr(info, "metadata", ())]
        return _type(inner[0], notes, names)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return f"list of {_plural(_type(inner[0], [], names))}"
    if origin is tuple:
        return f"list of {len(inner)} {_plural(_type(inner[0], [], names))}"
    if origin is dict:
        return f"mapping from key to {_type(inner[1], [], names)}"
    if _is_union(part):
        return " or ".join(_type(one, [], names) for one in inner)
    words = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}
    words |= {Path: "path"}
    return words.get(part, "any value") + _range(metadata)


def _plural(words: str) -> str:
    for one in ("number", "path"):
        words = words.replace(one, f"{one}s", 1) if one in words.split(",")[0] else words
    return words


def _range(metadata: list[Any]) -> str:
    """`, 0 to 1`, `, above 0, at most 10`, ... as pydantic keeps the bounds."""
    bounds = {
        word: getattr(note, word)
        for note in metadata
        for word in ("ge", "gt", "le", "lt")
        if getattr(note, word, None) is not None
    }
    shown = {word: _number(bound) for word, bound in bounds.items()}
    if {"ge", "le"} <= shown.keys():
        return f", {shown['ge']} to {shown['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return "".join(f", {words[word]} {bound}" for word, bound in shown.items())


def _number(value: float) -> str:
    """Thousands apart: 1 000 000."""
    whole = float(value).is_integer()
    return f"{int(value):,}".replace(",", "\u202f") if whole else f"{value:g}"


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "required"
    if (
        isinstance(default, Spec)
        and not _changed(default)
        and "kind" not in type(default).model_fields
    ):
        return ""
    return f"`{_yaml(default)}`"


def _changed(spec: Spec) -> dict[str, Any]:
    return {
        name: getattr(spec, name)
        for name, field in type(spec).model_fields.items()
        if getattr(spec, name) != field.default and name != "kind"
    }


def _yaml(value: Any) -> str:
    if isinstance(value, Spec):
        kind = {"kind": value.kind} if "kind" in type(value).model_fields else {}
        return _yaml(kind | _changed(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _slug(title: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    kept = (letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return "".join(kept).replace(" ", "-")


# --- commands -------------------------------------------------------------------------------------

_DOOR = """
What `hasim COMMAND --help` says, on one page. The answer goes to stdout, all else to stderr.

| exit code | meaning |
|---|---|
| 0 | done; what does not fit on a device is a result, not an error |
| 1 | a study is through, but a part of it failed |
| 2 | wrong usage |
| 3 | invalid scenario |
| 4 | bad input file |
| 5 | a limit of disk, memory or time |
| 70 | a mistake in hasim |
| 130, 143 | interrupted, terminated |

`hasim --traceback COMMAND ...` also shows where in hasim an error came up. `hasim --version` says
which version it is.

**Completion.** `hasim --install-completion` teaches the shell in use (bash, zsh, fish or
PowerShell) to complete commands, options and their choices; it takes effect in the next shell.
`hasim --show-completion` prints what it would install.
"""


def command_page() -> str:
    """docs/command_line.md: the commands by the groups of `hasim --help`."""
    import typer

    from hasim.cli.app import app

    front_door: Any = typer.main.get_command(app)
    panels: dict[str, list[str]] = defaultdict(list)
    for name, command in front_door.commands.items():
        panel = command.rich_help_panel or "Commands"
        for full, one in _commands(f"hasim {name}", command):
            panels[panel] += _command(full, one)
    lines = [MADE, "# Command line", _DOOR]
    for panel, told in panels.items():
        lines += [f"## {panel}", "", *told]
    return "\n".join(lines)


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for inner, one in command.commands.items():
            yield from _commands(f"{name} {inner}", one)
    else:
        yield name, command


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = [one.metavar if one.required else f"[{one.metavar or one.name}]" for one in arguments]
    usage = [text or one.name.upper() for text, one in zip(usage, arguments, strict=True)]
    yield f"### {name}"
    yield ""
    yield " ".join(command.help.split())
    yield ""
    yield f"```\n{' '.join([name, *usage, '[OPTIONS]' if options else '']).strip()}\n```"
    yield ""
    if arguments or options:
        yield "| argument | default | meaning |"
        yield "|---|---|---|"
    for one in [*arguments, *options]:
        yield _row(_parameter(one), _parameter_default(one), f"{one.help or ''}{_often(one)}")
    yield ""
    heading, *examples = (command.epilog or "").split("\n\n")
    if examples:
        yield f"{heading}\n\n```"
        yield from examples
        yield "```\n"


def _parameter(one: Any) -> str:
    if one.param_type_name == "argument":
        choices = _choices(one)
        return f"`{one.metavar or one.name.upper()}`" + (f": {choices}" if choices else "")
    takes = "" if one.is_flag else f" {one.metavar or ''}".rstrip()
    choices = _choices(one)
    return f"`{one.opts[0]}{takes}`" + (f" {choices}" if choices else "")


def _choices(one: Any) -> str:
    annotation = one.type_descriptor.annotation
    while get_origin(annotation) is not Literal and get_args(annotation):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is not Literal:
        return ""
    return ", ".join(f"`{choice}`" for choice in get_args(annotation))


def _often(one: Any) -> str:
    said = "repeatedly" in (one.help or "")
    return " May be given repeatedly." if getattr(one, "multiple", False) and not said else ""


def _parameter_default(one: Any) -> str:
    if isinstance(one.show_default, str):
        return one.show_default
    if one.required:
        return "required"
    if one.default is None or one.default is False or one.default == "":
        return ""
    return f"`{one.default}`"


# --- writing --------------------------------------------------------------------------------------

PAGES = {"scenario_reference.md": scenario_page, "command_line.md": command_page}


def write() -> None:
    """Write the pages whose text has changed."""
    for name, page in PAGES.items():
        path, text = HERE / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
