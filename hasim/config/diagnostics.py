"""Messages for mistakes in a scenario: pydantic's errors as Problems with place and advice.

The advice is read from the JSON Schema, so it agrees with the Specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hasim.config.similar import close_match
from hasim.config.yaml_reader import Place, Problem, YamlNode, printable, shortened


def problems_of(errors: Iterable[Any], root: YamlNode, shape: Shape) -> list[Problem]:
    """Problems for the errors of a pydantic ValidationError on `root`, one for every key."""
    findings: dict[tuple[str, ...], list[tuple[Any, Shape]]] = {}
    for error in errors:
        path, at = _locate(error, root, shape)
        findings.setdefault(path, []).append((error, at))
    problems = []
    for path, found in findings.items():
        if found[0][0]["type"] == "value_error":
            problems += _of_validator(path, found[0], root)
        else:
            problems.append(_problem(path, found, root))
    return problems


@dataclass(frozen=True)
class Shape:
    """What a part of a scenario may be: a part of the JSON Schema, and its definitions."""

    schema: dict[str, Any]
    definitions: dict[str, Any]

    def alternatives(self) -> list[Shape]:
        """The shapes of a choice; the shape itself where there is no choice."""
        schema = self.schema
        if "$ref" in schema:
            schema = self.definitions[schema["$ref"].removeprefix("#/$defs/")]
        if "anyOf" not in schema:
            return [Shape(schema, self.definitions)]
        options = [Shape(option, self.definitions) for option in schema["anyOf"]]
        return [shape for option in options for shape in option.alternatives()]

    def kinds(self) -> dict[str, Shape]:
        """The alternatives by their key `kind`."""
        kinds = {}
        for shape in self.alternatives():
            kind = shape.schema.get("properties", {}).get("kind", {}).get("const")
            if kind is not None:
                kinds[kind] = shape
        return kinds

    def child(self, part: str | int) -> Shape | None:
        """The shape of a key or an entry; None where there is no such key or entry."""
        for shape in self.alternatives():
            schema = shape.schema
            if isinstance(part, int) and schema.get("type") == "array":
                entries = schema.get("prefixItems", [])
                entry = entries[part] if part < len(entries) else schema.get("items")
                return Shape(entry, self.definitions) if isinstance(entry, dict) else None
            if isinstance(part, str) and part in schema.get("properties", {}):
                return Shape(schema["properties"][part], self.definitions)
        return None

    def known_keys(self) -> list[str]:
        """All keys of a mapping of this shape."""
        return [key for shape in self.alternatives() for key in shape.schema.get("properties", {})]

    def choices(self) -> list[str]:
        """The words of a choice among words."""
        choices = []
        for shape in self.alternatives():
            options = shape.schema.get("enum", [shape.schema.get("const")])
            choices += [option for option in options if isinstance(option, str)]
        return choices

    def wanted(self) -> str:
        """What would be right, as text."""
        kinds = list(self.kinds())
        if kinds:
            return f"a mapping with kind {_either(map(repr, kinds))}"
        return _either(dict.fromkeys(_text(shape.schema) for shape in self.alternatives()))


def find(root: YamlNode, path: Sequence[str]) -> tuple[YamlNode, int]:
    """The deepest YamlNode on a path, and the number of parts of the path that lead to it."""
    node = root
    for depth, part in enumerate(path):
        if isinstance(node.value, dict) and part in node.value:
            node = node.value[part]
        elif isinstance(node.value, list) and entry_number(part, node.value) is not None:
            node = node.value[int(part)]
        else:
            return node, depth
    return node, len(path)


def entry_number(part: str, entries: Sequence[object]) -> int | None:
    """The number of the entry that a part of a path names; None where there is none."""
    # Python refuses to read numbers of thousands of digits; no list is that long.
    number = int(part) if part.isdecimal() and len(part) < 10 else len(entries)
    return number if number < len(entries) else None


def _locate(error: Any, root: YamlNode, shape: Shape) -> tuple[tuple[str, ...], Shape]:
    """The path of an error in the file, and the shape that was expected there.

    pydantic's location also has the kinds that it chose and the members of a union that it tried,
    which are not keys of the file.
    """
    path: list[str] = []
    kind = error["type"]
    for depth, part in enumerate(error["loc"], start=1):
        kinds = shape.kinds()
        if part in kinds and len(kinds) > 1:
            shape = kinds[part]
        elif (child := shape.child(part)) is not None:
            if kind == "missing" and isinstance(part, int) and depth == len(error["loc"]):
                # A list that is too short: the list is wrong, not an entry.
                break
            shape = child
            path.append(str(part))
        elif kind == "extra_forbidden":
            path.append(str(part))
    if kind in ("extra_forbidden", "missing"):
        return tuple(path), shape
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path.append("kind")
    _, depth = find(root, path)
    return tuple(path[:depth]), shape


_WRONG = {
    "missing": "missing",
    "extra_forbidden": "unknown key",
    "literal_error": "unknown choice",
    "union_tag_invalid": "unknown kind",
    "union_tag_not_found": "not a mapping",
    "model_type": "not a mapping",
    "tuple_type": "not a list",
    "too_short": "too few entries",
    "too_long": "too many entries",
    "float_type": "not a number",
    "int_type": "not a whole number",
    "string_type": "not text",
    "string_pattern_mismatch": "not allowed",
    "bool_type": "neither true nor false",
    "finite_number": "not finite",
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
}


def _problem(path: tuple[str, ...], found: list[tuple[Any, Shape]], root: YamlNode) -> Problem:
    error, shape = found[0]
    node, depth = find(root, path)
    key = shortened(".".join(path))
    kind = error["type"]
    if kind == "extra_forbidden":
        parent, _ = find(root, path[:-1])
        known = shape.known_keys()
        right = close_match(path[-1], known) or f"known keys: {', '.join(known)}"
        return Problem(parent.key_place(path[-1]), key, _WRONG[kind], node.printed(), right)
    wanted = " or ".join(dict.fromkeys(shape.wanted() for _, shape in found))
    if kind == "missing" and depth < len(path):
        return Problem(_place_of_parent(root, path), key, _WRONG[kind], None, f"must be {wanted}")
    choices = [word for _, shape in found for word in (*shape.choices(), *shape.kinds())]
    advice = close_match(node.value, choices) if isinstance(node.value, str) else ""
    if kind == "union_tag_not_found" and path and path[-1] == "kind":
        kind = "union_tag_invalid"
    if kind == "union_tag_not_found" and isinstance(node.value, str) and node.value in choices:
        advice = f"write {{kind: {node.value}}}"
    if kind == "union_tag_invalid":
        wanted = _either(map(repr, choices))
    wrong = "too few entries" if kind == "missing" else _WRONG.get(kind, _uncapitalised(error))
    if len(found) > 1 or (kind == "model_type" and len(shape.alternatives()) > 1):
        # None of several alternatives, such as a word, a number, a mapping.
        wrong = "not allowed"
    right = "; ".join(part for part in (f"must be {wanted}", advice) if part)
    return Problem(node.place, key, wrong, node.printed(), right)


def _of_validator(path: tuple[str, ...], found: tuple[Any, Shape], root: YamlNode) -> list[Problem]:
    """Problems of a Spec's own validator: `key: text; other.key: text`, or text alone."""
    error, shape = found
    problems = []
    for part in re.split(r"; (?=[a-z0-9_.]+: )", str(error["ctx"]["error"])):
        key, colon, wrong = part.partition(": ")
        inner = tuple(key.split("."))
        if not colon or inner[0] not in shape.known_keys():
            inner, wrong = (), part
        node, _ = find(root, path + inner)
        problems.append(Problem(node.place, shortened(".".join(path + inner)), wrong))
    return problems


def _place_of_parent(root: YamlNode, path: tuple[str, ...]) -> Place:
    """Place of the mapping that lacks the last part of `path`: of its key if it has one."""
    parent, depth = find(root, path[:-1])
    if depth == 0:
        return root.place
    grandparent, _ = find(root, path[: depth - 1])
    if isinstance(grandparent.value, dict):
        return grandparent.key_place(path[depth - 1])
    return parent.place


def _uncapitalised(error: Any) -> str:
    message = printable(error["msg"])
    return message[:1].lower() + message[1:]


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _text(schema: dict[str, Any]) -> str:
    """What a schema without alternatives allows, as text."""
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return _either(map(repr, schema["enum"]))
    match schema.get("type"):
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "string" if schema.get("format") == "path" and "pattern" in schema:
            return "the path of a YAML file"
        case "string" if "pattern" in schema:
            return f"text that matches {schema['pattern']}"
        case "string":
            return "a path" if schema.get("format") == "path" else "text"
        case "array" if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])}"
        case "array":
            return "a list"
        case "object":
            return f"a mapping with {_either(schema.get('properties', {'any key': None}))}"
        case "boolean":
            return "true or false"
        case other:
            return str(other)


def _bounds(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    bounds = [f"{word} {_number(schema[key])}" for key, word in words.items() if key in schema]
    return f" {' and '.join(bounds)}" if bounds else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


class ScenarioError(ValueError):
    """All mistakes in a scenario: `problems`, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class ScenarioWarning(UserWarning):
    """Something in a scenario file that may not mean what it seems to mean."""
