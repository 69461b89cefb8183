"""YAML text as plain values with their line and column, read with ruamel.yaml's parser.

YAML 1.2, core schema: `1e5` is a number, `NO` and `12:30` are text, `012` is twelve. Files are not
trusted: they are read event by event and refused over 256 KiB, over 32 levels, over 10,000 values
(aliases counted as often as they are used), and with explicit tags.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hasim.config.similar import similar_file

MAX_BYTES = 256 * 1024
MAX_LEVELS = 32
MAX_VALUES = 10_000
PRINTED_CHARACTERS = 80


class Place(NamedTuple):
    """Place of a value: `file:line:column` (from 1), or `file` alone where line is 0."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One mistake: place, key, what is wrong, the value, and what would be right."""

    place: Place
    key: str
    wrong: str
    got: str | None = None
    right: str = ""

    def __str__(self) -> str:
        where = "".join(f"{part}: " for part in (str(self.place), self.key) if part)
        got = "" if self.got is None else f" (got {self.got})"
        right = f"; {self.right}" if self.right else ""
        return printable(f"{where}{self.wrong}{got}{right}")


@dataclass
class YamlNode:
    """A value and its place: a dict of YamlNodes, a list of YamlNodes, or a scalar."""

    value: dict[str, YamlNode] | list[YamlNode] | str | int | float | bool | None
    place: Place
    text: str | None = None
    """A scalar as it was written."""
    keys: dict[str, Place] = field(default_factory=dict)
    """Places of the keys of a mapping."""

    def plain(self) -> Any:
        """The value without places; whole numbers are ints however they were written."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, float) and self.value.is_integer() and abs(self.value) < 2**63:
            return int(self.value)
        return self.value

    def printed(self) -> str:
        """The value as it was written, at most 80 characters of it."""
        if isinstance(self.value, dict):
            text = "{" + ", ".join(f"{key}: ..." for key in list(self.value)[:8]) + "}"
        elif isinstance(self.value, list):
            text = f"a list of {len(self.value)}"
        elif isinstance(self.value, str):
            text = repr(self.value[: PRINTED_CHARACTERS + 1])
        elif self.text is not None:
            text = self.text or "nothing"
        else:
            text = "null" if self.value is None else str(self.value)
        return shortened(text)

    def key_place(self, key: str) -> Place:
        """Place of a key of this mapping."""
        return self.keys.get(key, self.place)


@dataclass
class Document:
    """The values of a file (None where they could not be read), its mistakes and warnings."""

    root: YamlNode | None
    problems: list[Problem]
    warnings: list[Problem]


def read(text: str, file: str, with_lines: bool = True) -> Document:
    """Read one YAML document; `file` is its name in places. Raises nothing: see `problems`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        problem = Problem(Place(file), "", f"larger than {MAX_BYTES // 1024} KiB")
        return Document(None, [problem], [])
    reader = _Reader(file, with_lines)
    try:
        root = reader.document(YAML(typ="safe", pure=True).parse(text))
    except _Refused as refused:
        return Document(None, [*reader.problems, refused.problem], [])
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark and with_lines else Place(file)
        context = f" {error.context}" if error.context else ""
        wrong = f"not valid YAML: {error.problem}{context}"
        return Document(None, [*reader.problems, Problem(place, "", wrong)], [])
    except YAMLError as error:
        # Characters that YAML does not allow.
        wrong = f"not valid YAML: {str(error).splitlines()[0]}"
        return Document(None, [*reader.problems, Problem(Place(file), "", wrong)], [])
    except (OverflowError, ValueError):
        # ruamel.yaml takes "\\U00110000" for a character.
        wrong = "not valid YAML: an escape that stands for no character"
        return Document(None, [*reader.problems, Problem(Place(file), "", wrong)], [])
    return Document(root, reader.problems, reader.warnings)


def read_file(file: str | os.PathLike[str]) -> Document:
    """Read a file as one YAML document. Raises nothing: see `problems`."""
    name = os.fspath(file)
    try:
        with open(name, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        return read(data.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        if len(data) > MAX_BYTES:
            # Cut off within a character; refused because of its size.
            return read(" " * len(data), name)
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        place = Place(name, line, column)
        return Document(None, [Problem(place, "", "not UTF-8 text", None, "save it as UTF-8")], [])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = similar_file(Path(name))
        return Document(
            None, [Problem(Place(name), "", f"cannot be read: {reason}", None, hint)], []
        )


def write(value: Any) -> str:
    """Plain values as YAML: block style, innermost collections on one line."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def node_of(value: Any, place: Place, level: int = 1) -> YamlNode:
    """Python values (mappings, sequences, numbers, text, paths, arrays) as YamlNodes at `place`.

    Raises:
        ValueError: something that a scenario cannot hold, or more than 32 levels.
    """
    if level > MAX_LEVELS:
        raise ValueError(f"nested over {MAX_LEVELS} levels")
    if isinstance(value, Mapping):
        items = {
            str(node_of(key, place, level + 1).value): node_of(item, place, level + 1)
            for key, item in value.items()
        }
        return YamlNode(items, place, keys=dict.fromkeys(items, place))
    if isinstance(value, (list, tuple)):
        return YamlNode([node_of(item, place, level + 1) for item in value], place)
    if hasattr(value, "model_dump"):
        return node_of(value.model_dump(mode="json"), place, level)
    if hasattr(value, "tolist"):
        # NumPy numbers and arrays
        return node_of(value.tolist(), place, level)
    if hasattr(value, "__fspath__"):
        return YamlNode(str(value), place)
    if isinstance(value, str) and not is_text(value):
        raise ValueError("half of a surrogate pair is not a character")
    if isinstance(value, int) and value.bit_length() > 1024:
        raise ValueError("a number of over 300 digits")
    if value is None or isinstance(value, (str, int, float, bool)):
        return YamlNode(value, place)
    raise ValueError(f"{type(value).__name__} is not something that a scenario can hold")


def is_text(value: str) -> bool:
    """Whether text has no halves of surrogate pairs, which are not characters."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def printable(text: str) -> str:
    """Text that is safe for a terminal: one line, with escapes for what cannot be printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str) -> str:
    """At most 80 characters of a text."""
    return text if len(text) <= PRINTED_CHARACTERS else text[: PRINTED_CHARACTERS - 3] + "..."


class _Refused(Exception):
    """Raised where it is useless or dangerous to read on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class _Reader:
    """Builds YamlNodes from the events of the YAML parser."""

    def __init__(self, file: str, with_lines: bool) -> None:
        self.file = file
        self.with_lines = with_lines
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.anchors: dict[str, tuple[YamlNode, int]] = {}
        self.path: list[str] = []
        self.values = 0

    def document(self, events: Iterator[Any]) -> YamlNode:
        """The first document; a second one is a mistake."""
        root = None
        for event in events:
            if type(event).__name__ in ("StreamStartEvent", "DocumentStartEvent"):
                continue
            if type(event).__name__ in ("DocumentEndEvent", "StreamEndEvent"):
                continue
            if root is not None:
                self._mistake(event, "a second document", "one scenario per file")
                break
            root = self._node(event, events, 1)
        return root or YamlNode(None, Place(self.file), "")

    def _node(self, event: Any, events: Iterator[Any], level: int) -> YamlNode:
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event)
        before = self.values
        self._count(event, 1)
        if level > MAX_LEVELS:
            raise _Refused(self._problem(event, f"nested over {MAX_LEVELS} levels"))
        if event.tag is not None:
            self._mistake(
                event, f"tags are not allowed (got {shortened(event.tag)})", "remove the tag"
            )
        if kind == "MappingStartEvent":
            node = self._mapping(event, events, level)
        elif kind == "SequenceStartEvent":
            node = YamlNode([], self._place(event))
            while type(item := next(events)).__name__ != "SequenceEndEvent":
                self.path.append(str(len(node.value)))  # type: ignore[arg-type]
                node.value.append(self._node(item, events, level + 1))  # type: ignore[union-attr]
                self.path.pop()
        else:
            node = self._scalar(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.values - before)
        return node

    def _mapping(self, start: Any, events: Iterator[Any], level: int) -> YamlNode:
        items: dict[str, YamlNode] = {}
        node = YamlNode(items, self._place(start))
        while type(event := next(events)).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                self._mistake(event, "a key must be text")
                self._node(event, events, level + 1)
                self._node(next(events), events, level + 1)
                continue
            key = event.value
            self.path.append(key)
            self._check_text(event)
            if key in items:
                first = node.keys[key].line
                line = event.start_mark.line + 1
                self._mistake(
                    event, f"stands twice, on line {first} and on line {line}", "keep one"
                )
            node.keys[key] = self._place(event)
            items[key] = self._node(next(events), events, level + 1)
            self.path.pop()
        return node

    def _scalar(self, event: Any) -> YamlNode:
        place = self._place(event)
        self._check_text(event)
        if event.style:
            # Quoted, or a block of text.
            return YamlNode(event.value, place)
        value = _resolved(event.value)
        if re.fullmatch(r"[-+]?0[0-7]+", event.value) and int(event.value, 8) != value:
            warning = Problem(
                place, ".".join(self.path), f"{event.value} is read as {value}", None, "not octal"
            )
            self.warnings.append(warning)
        return YamlNode(value, place, event.value)

    def _alias(self, event: Any) -> YamlNode:
        if event.anchor not in self.anchors:
            raise _Refused(
                self._problem(event, f"*{shortened(event.anchor)} stands for nothing defined above")
            )
        node, values = self.anchors[event.anchor]
        self._count(event, values)
        return node

    def _count(self, event: Any, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise _Refused(self._problem(event, f"expands to over {MAX_VALUES} values"))

    def _check_text(self, event: Any) -> None:
        if not is_text(event.value):
            raise _Refused(self._problem(event, "half of a surrogate pair is not a character"))

    def _place(self, event: Any) -> Place:
        if not self.with_lines:
            return Place(self.file)
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _problem(self, event: Any, wrong: str, right: str = "") -> Problem:
        return Problem(self._place(event), shortened(".".join(self.path)), wrong, None, right)

    def _mistake(self, event: Any, wrong: str, right: str = "") -> None:
        self.problems.append(self._problem(event, wrong, right))


def _resolved(text: str) -> str | int | float | bool | None:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2)."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text[0] in "tT"
    if re.fullmatch(r"0o[0-7]+", text):
        return int(text[2:], 8)
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return int(text[2:], 16)
    if re.fullmatch(r"[-+]?[0-9]+", text):
        # Python refuses ints with thousands of digits.
        return int(text) if len(text) < 400 else float(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return float(text.replace(".", ""))
    return text
