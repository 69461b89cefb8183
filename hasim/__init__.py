"""hasim: hearing-aid DSP simulation, from the binaural scene to the radio between the ears.

Everything in `__all__` is public and stays; all else may move. `import hasim` imports nothing
heavy: a name is imported when it is used for the first time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hasim.acoustics.scene import Scene
    from hasim.config.diagnostics import ScenarioError, ScenarioWarning
    from hasim.config.spec import InputError, LimitError, Spec
    from hasim.dsp.stft import FrontEndSpec
    from hasim.experiment.result import RunResult
    from hasim.experiment.scenario import Scenario
    from hasim.metrics.catalogue import Metric, Quantity
    from hasim.metrics.signals import Signals, Unscored
    from hasim.networks.contract import MaskEstimator, MaskNetwork, NetworkCost, Role
    from hasim.nodes.blocks import buffers, raw_exchange, synthesis
    from hasim.nodes.exchange import Exchange
    from hasim.nodes.frame_by_frame import FrameByFrame
    from hasim.nodes.mask_driven import MaskDrivenNode
    from hasim.nodes.node import Enhanced, Node
    from hasim.nodes.reception import Received, Reception
    from hasim.reporting.run_folder import load
    from hasim.simulation.device.device import DeviceSpec
    from hasim.simulation.device.memory import Item
    from hasim.simulation.feasibility import Verdict
    from hasim.simulation.latency import Latency
    from hasim.simulation.link.air import Air, Piece
    from hasim.simulation.link.codecs import Codec, CodecSpec, Pcm
    from hasim.simulation.link.constant_rate import ConstantRate
    from hasim.simulation.link.link import Link
    from hasim.simulation.link.losses import Bernoulli, LossSpec
    from hasim.simulation.playout_spec import PlayoutSpec
    from hasim.simulation.program import Compute, Receive, Send
    from hasim.simulation.simulate import simulate
    from hasim.simulation.timeline import Deliveries, Mode, Status, Timeline
    from hasim.studies.from_python import evaluate, pareto, sweep
    from hasim.studies.pareto import Front
    from hasim.studies.tables import Evaluation, Table

_HOMES = {
    "Air": "simulation.link.air",
    "Bernoulli": "simulation.link.losses",
    "Codec": "simulation.link.codecs",
    "CodecSpec": "simulation.link.codecs",
    "Compute": "simulation.program",
    "ConstantRate": "simulation.link.constant_rate",
    "Deliveries": "simulation.timeline",
    "DeviceSpec": "simulation.device.device",
    "Enhanced": "nodes.node",
    "Evaluation": "studies.tables",
    "Exchange": "nodes.exchange",
    "FrameByFrame": "nodes.frame_by_frame",
    "Front": "studies.pareto",
    "FrontEndSpec": "dsp.stft",
    "InputError": "config.spec",
    "Item": "simulation.device.memory",
    "Latency": "simulation.latency",
    "LimitError": "config.spec",
    "Link": "simulation.link.link",
    "LossSpec": "simulation.link.losses",
    "MaskDrivenNode": "nodes.mask_driven",
    "MaskEstimator": "networks.contract",
    "MaskNetwork": "networks.contract",
    "Metric": "metrics.catalogue",
    "Mode": "simulation.timeline",
    "NetworkCost": "networks.contract",
    "Node": "nodes.node",
    "Pcm": "simulation.link.codecs",
    "Piece": "simulation.link.air",
    "PlayoutSpec": "simulation.playout_spec",
    "Quantity": "metrics.catalogue",
    "Receive": "simulation.program",
    "Received": "nodes.reception",
    "Reception": "nodes.reception",
    "RunResult": "experiment.result",
    "Scenario": "experiment.scenario",
    "ScenarioError": "config.diagnostics",
    "ScenarioWarning": "config.diagnostics",
    "Scene": "acoustics.scene",
    "Send": "simulation.program",
    "Signals": "metrics.signals",
    "Spec": "config.spec",
    "Status": "simulation.timeline",
    "Table": "studies.tables",
    "Timeline": "simulation.timeline",
    "Unscored": "metrics.signals",
    "Verdict": "simulation.feasibility",
    "buffers": "nodes.blocks",
    "evaluate": "studies.from_python",
    "load": "reporting.run_folder",
    "pareto": "studies.from_python",
    "raw_exchange": "nodes.blocks",
    "simulate": "simulation.simulate",
    "sweep": "studies.from_python",
    "synthesis": "nodes.blocks",
}
"""Public name -> the module that it is imported from on first use."""

__all__ = [
    "Air",
    "Bernoulli",
    "Codec",
    "CodecSpec",
    "Compute",
    "ConstantRate",
    "Deliveries",
    "DeviceSpec",
    "Enhanced",
    "Evaluation",
    "Exchange",
    "FrameByFrame",
    "Front",
    "FrontEndSpec",
    "InputError",
    "Item",
    "Latency",
    "LimitError",
    "Link",
    "LossSpec",
    "MaskDrivenNode",
    "MaskEstimator",
    "MaskNetwork",
    "Metric",
    "Mode",
    "NetworkCost",
    "Node",
    "Pcm",
    "Piece",
    "PlayoutSpec",
    "Quantity",
    "Receive",
    "Received",
    "Reception",
    "RunResult",
    "Scenario",
    "ScenarioError",
    "ScenarioWarning",
    "Scene",
    "Send",
    "Signals",
    "Spec",
    "Status",
    "Table",
    "Timeline",
    "Unscored",
    "Verdict",
    "__version__",
    "buffers",
    "evaluate",
    "load",
    "pareto",
    "raw_exchange",
    "run",
    "simulate",
    "sweep",
    "synthesis",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("hasim")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(f"hasim.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'hasim' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    *,
    set: Mapping[str, Any] | None = None,
    algorithm: Node | None = None,
    link: Link | None = None,
    codec: Codec | None = None,
    networks: Mapping[Role, MaskNetwork] | None = None,
    metrics: Sequence[Metric] = (),
    out: str | Path | None = "runs",
    progress: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run a scenario (a file, a mapping or a `Scenario`) and write the folder that `hasim run`
    writes, report included, below `out`.

    `set` overrides dotted paths, as `{"algorithm.mu": 2}`; `algorithm`, `link` and `codec` are
    objects of any class that fulfils the contract, in place of the scenario's own; `networks` are
    mask networks of one's own by their role ("sn_dnn", "mn_dnn"), in place of those that
    `algorithm.masks` says; `metrics` are metrics of one's own, measured beside the scenario's. With
    `out=None` nothing is written. The folder is `result.folder`.
    `progress` is called with the name of every stage.

    Raises:
        ScenarioError: all mistakes of the scenario, of `set` and of the objects.
        InputError, LimitError: a file that the scenario names cannot be used.
        OSError: the folder cannot be written.
    """
    import dataclasses
    from collections.abc import Mapping

    from hasim.experiment import run as experiment
    from hasim.experiment import scenario as scenarios
    from hasim.metrics import catalogue
    from hasim.networks.registry import register
    from hasim.reporting.run_folder import write_run

    if networks and algorithm is not None:
        raise ValueError("networks: must be the key `networks` of the `algorithm` that is given")
    for metric in metrics:
        catalogue.register(metric)
    own = {f"algorithm.networks.{role}": register(one) for role, one in (networks or {}).items()}
    set = {**(set or {}), **own}
    if isinstance(scenario, Mapping | scenarios.Scenario):
        resolved = scenarios.replace(scenario, set)
    else:
        resolved = scenarios.load(scenario, set)
    if metrics:
        names = [*resolved.metrics, *(metric.name for metric in metrics)]
        resolved = scenarios.replace(resolved, {"metrics": list(dict.fromkeys(names))})
    if algorithm is not None or link is not None or codec is not None:
        resolved = scenarios.with_parts(resolved, algorithm=algorithm, link=link, codec=codec)
    result = experiment.run(resolved, progress)
    if out is None:
        return result
    return dataclasses.replace(result, folder=write_run(result, out))
