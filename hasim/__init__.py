"""hasim: hearing-aid DSP simulation, from the binaural scene to the radio between the ears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hasim.experiment.result import RunResult
    from hasim.experiment.scenario import Scenario
    from hasim.nodes import Node
    from hasim.simulation.link.codecs import Codec
    from hasim.simulation.link.link import Link

__all__ = ["run"]


def run(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    *,
    set: Mapping[str, Any] | None = None,
    algorithm: Node | None = None,
    link: Link | None = None,
    codec: Codec | None = None,
    out: str | Path | None = "runs",
    progress: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run a scenario (a file, a mapping or a `Scenario`) and write a folder with everything below
    `out`.

    `set` overrides dotted paths, as `{"algorithm.mu": 2}`; `algorithm`, `link` and `codec` are
    objects of any class that fulfils the contract, in place of the scenario's own; with `out=None`
    nothing is written. The folder is `result.folder`.
    `progress` is called with the name of every stage.

    Raises:
        ScenarioError: all mistakes of the scenario, of `set` and of the objects.
        InputError, LimitError: a file that the scenario names cannot be used.
    """
    import dataclasses

    from hasim.experiment import run as experiment
    from hasim.experiment import scenario as scenarios
    from hasim.reporting.run_folder import write_run

    if isinstance(scenario, (str, Path)):
        resolved = scenarios.load(scenario, set or {})
    else:
        if isinstance(scenario, Mapping):
            scenario = scenarios.from_mapping(scenario)
        resolved = scenarios.replace(scenario, set or {})
    if algorithm is not None or link is not None or codec is not None:
        resolved = scenarios.with_parts(resolved, algorithm=algorithm, link=link, codec=codec)
    result = experiment.run(resolved, progress)
    if out is None:
        return result
    return dataclasses.replace(result, folder=write_run(result, out))
