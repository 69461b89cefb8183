"""A scenario as a list of settings, each with its default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hasim.config.spec import described_fields
from hasim.experiment.scenario import Scenario

ABSENT = object()


@dataclass(frozen=True)
class Setting:
    """One dotted path of a scenario."""

    path: str
    value: str
    default: str
    """Empty where there is none."""
    changed: bool
    about: str

    @property
    def part(self) -> str:
        """The part of the scenario that it belongs to; empty at the top."""
        head, dot, _ = self.path.partition(".")
        return head if dot else ""


def settings(scenario: Scenario) -> list[Setting]:
    """All settings in the order of the Specs.

    A default is that of the part's own kind: another algorithm counts as one change, not as many.
    """
    return list(_settings(scenario, Scenario(), ""))


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A number for readers: fixed digits, a real minus, a dash for what is missing.

    >>> number(-0.004), number(None), number(2.5, 1, sign=True), number(-3.25, 1)
    ('0.00', '–', '+2.5', '−3.2')
    """
    if value is None:
        return "–"
    # Adding zero turns -0.0 into 0.0.
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")


def _settings(part: BaseModel, default: Any, prefix: str) -> Iterator[Setting]:
    alike = type(default) is type(part)
    for name, field in described_fields(type(part)).items():
        value = getattr(part, name)
        usual = getattr(default, name) if alike else field.get_default(call_default_factory=True)
        if name == "kind" and default is not ABSENT:
            usual = getattr(default, "kind", usual)
        about = field.description or ""
        yield from _setting(value, ABSENT if field.is_required() else usual, prefix + name, about)


def _setting(value: Any, default: Any, path: str, about: str) -> Iterator[Setting]:
    if isinstance(value, BaseModel):
        yield from _settings(value, default, f"{path}.")
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        usual = default if isinstance(default, tuple) else ()
        for place, item in enumerate(value):
            own = usual[place] if place < len(usual) else ABSENT
            yield from _setting(item, own, f"{path}.{place}", about)
    else:
        known = default is not ABSENT and not isinstance(default, BaseModel)
        changed = not known or value != default
        yield Setting(path, _words(value), _words(default) if known else "", changed, about)


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, BaseModel):
        return ", ".join(f"{k}: {_words(getattr(value, k))}" for k in type(value).model_fields)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.12g}" if isinstance(value, float) else str(value)
