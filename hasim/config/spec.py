"""What every parameter set of hasim has in common: frozen, closed to unknown keys, finite numbers.

A `Spec` stands beside the behaviour it describes. YAML, defaults, validation, `--set`, the JSON
Schema and the reference page are all read from the Specs. Units are part of the field names.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import operator
import textwrap
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from hasim.config.plug_ins import plug_ins


class Spec(BaseModel):
    """A frozen set of parameters; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        defer_build=True,
    )

    def __repr__(self) -> str:
        """Class and the keys that are not at their defaults, at most 300 characters."""
        fields = type(self).model_fields
        changed = [
            f"{name}={value!r}"
            for name, value in self
            if value != fields[name].get_default(call_default_factory=True)
        ]
        text = f"{type(self).__name__}({', '.join(changed)})"
        return text if len(text) <= 300 else f"{text[:296]}...)"

    __str__ = __repr__


@functools.cache
def described_fields(spec: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a Spec, each with the text below it in the source as its description.

    Reading the source takes longer than everything else that a scenario file needs, so it is done
    where descriptions are shown (JSON Schema, reference page, report), not when classes are made.
    """
    texts: dict[str, str] = {}
    for one in reversed(spec.__mro__):
        if issubclass(one, Spec) and one is not Spec:
            texts |= _texts_below(one)
    for name, field in spec.model_fields.items():
        field.description = field.description or texts.get(name)
    return spec.model_fields


def _texts_below(spec: type[BaseModel]) -> dict[str, str]:
    """Name -> the string that follows its annotation in the body of a class."""
    try:
        source = textwrap.dedent(inspect.getsource(spec))
    except (OSError, TypeError):
        # made without a file, in an interactive session for instance
        return {}
    body = next(one for one in ast.parse(source).body if isinstance(one, ast.ClassDef)).body
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


class by_kind:
    """Choose among Specs by their key `kind`; where the key is missing, it is `default`.

    A closed choice is a union, `Annotated[Wait | Stale, by_kind("wait")]`. A choice that other
    packages may add to has a protocol (or a base class) in place of the union and lists its own
    classes: `Annotated[Link, by_kind("constant_rate", ConstantRate, Tdma, group="hasim.links")]`.
    `group` is the entry-point group of the plug-ins. From Python an object of any class that
    satisfies the protocol is taken as it is.
    """

    def __init__(self, default: str, *classes: type[Spec], group: str | None = None) -> None:
        self.default = default
        self.classes = classes
        self.group = group

    def kinds(self, source: Any) -> dict[str, type[Spec]]:
        """The classes of a choice annotated as `Annotated[source, self]`, plug-ins included."""
        kinds = {kind_name(one): one for one in self.classes or get_args(source)}
        plugged = {} if self.group is None else plug_ins(self.group, kind_name)
        return kinds | {kind: one for kind, one in plugged.items() if kind not in kinds}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The tagged union; plug-ins are loaded now, when a Spec with such a field is used."""
        choices: list[Any] = [Annotated[one, Tag(kind)] for kind, one in self.kinds(source).items()]
        union: Any = functools.reduce(operator.or_, choices)
        schema = handler.generate_schema(Annotated[union, Discriminator(self._kind_of)])
        if self.group is None:
            return schema

        def validate(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            is_object = isinstance(value, Spec) and isinstance(value, source)
            return value if is_object else inner(value)

        return core_schema.json_or_python_schema(
            json_schema=schema,
            python_schema=core_schema.no_info_wrap_validator_function(validate, schema),
            serialization=core_schema.simple_ser_schema("any"),
        )

    def _kind_of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return value.get("kind", self.default)
        return getattr(value, "kind", None)


class one_of:
    """Text that must be a name of a table which may grow: `Annotated[str, one_of(names)]`.

    `names` is called whenever a value is validated, so it may know more names later.
    """

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        self.names = names

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def validate(value: Any) -> str:
            if not isinstance(value, str) or value not in self.names():
                expected = ", ".join(map(repr, self.names()))
                raise PydanticKnownError("literal_error", {"expected": expected})
            return value

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.simple_ser_schema("str")
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self.names()), "type": "string"}


def kind_name(spec: type[BaseModel]) -> str:
    """The `kind` by which a scenario chooses this class."""
    return str(spec.model_fields["kind"].default)


class InputError(ValueError):
    """A file that a run needs (audio, SOFA, weights) is missing, broken or of the wrong kind."""


class LimitError(ValueError):
    """A file or a run asks for more time or memory than hasim is willing to spend."""
