"""Contract checks: what a part from outside has to fulfil, tested point by point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hasim.config.spec import Spec


@dataclass(frozen=True)
class Check:
    """One point of a contract and what is wrong with it; empty where the point holds."""

    name: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}" if self.problem else self.name


class Checks:
    """Runs the points of a contract one after the other and collects the outcomes.

    A point is a function that returns what is wrong, or None; an exception is a problem as well.
    """

    def __init__(self) -> None:
        self.done: list[Check] = []

    def run(self, name: str, point: Callable[[], str | None]) -> bool:
        """Whether the point holds."""
        try:
            problem = point() or ""
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        self.done.append(Check(name, problem))
        return not problem


def spec_problem(part: object) -> str | None:
    """What keeps an object from being a Spec that a scenario can choose by its `kind`."""
    if not isinstance(part, Spec):
        return f"{type(part).__name__} must derive from hasim.config.spec.Spec"
    kind = type(part).model_fields.get("kind")
    if kind is None or not isinstance(kind.default, str) or "Literal" not in str(kind.annotation):
        return 'needs a literal kind: `kind: Literal["name"] = "name"`'
    try:
        type(part)()
    except ValueError as error:
        return f"every key needs a default that is valid: {error}"
    if type(part).model_validate_json(part.model_dump_json()) != part:
        return "written as JSON and read back it is another"
    return None
