"""What every parameter set of hasim has in common: frozen, closed to unknown keys, finite numbers.

A `Spec` stands beside the behaviour it describes. YAML, defaults, validation, `--set`, the JSON
Schema and the reference page are all read from the Specs. Units are part of the field names.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Discriminator


class Spec(BaseModel):
    """A frozen set of parameters; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


def by_kind(default: str) -> Discriminator:
    """Choose among Specs by their key `kind`; where the key is missing, it is `default`."""

    def kind_of(value: Any) -> Any:
        if isinstance(value, dict):
            return value.get("kind", default)
        return getattr(value, "kind", None)

    return Discriminator(kind_of)


class InputError(ValueError):
    """A file that a run needs (audio, SOFA, weights) is missing, broken or of the wrong kind."""


class LimitError(ValueError):
    """A file or a run asks for more time or memory than hasim is willing to spend."""
