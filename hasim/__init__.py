"""hasim: hearing-aid DSP simulation, from the binaural scene to the radio between the ears.

Everything in `__all__` is public and stays; all else may move. `import hasim` imports nothing
heavy: a name is imported when it is used for the first time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hasim.acoustics.scene import Scene
    from hasim.config.diagnostics import ScenarioError, ScenarioWarning
    from hasim.config.spec import InputError, LimitError, Spec
    from hasim.dsp.stft import FrontEndSpec
    from hasim.experiment.result import RunResult
    from hasim.experiment.scenario import Scenario
    from hasim.networks.contract import MaskEstimator, MaskNetwork, NetworkCost, Role
    from hasim.nodes.blocks import buffers, raw_exchange, synthesis
    from hasim.nodes.exchange import Exchange
    from hasim.nodes.frame_by_frame import FrameByFrame
    from hasim.nodes.mask_driven import MaskDrivenNode
    from hasim.nodes.node import Enhanced, Node
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
    "Exchange": "nodes.exchange",
    "FrameByFrame": "nodes.frame_by_frame",
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
    "Mode": "simulation.timeline",
    "NetworkCost": "networks.contract",
    "Node": "nodes.node",
    "Pcm": "simulation.link.codecs",
    "Piece": "simulation.link.air",
    "PlayoutSpec": "simulation.playout_spec",
    "Receive": "simulation.program",
    "RunResult": "experiment.result",
    "Scenario": "experiment.scenario",
    "ScenarioError": "config.diagnostics",
    "ScenarioWarning": "config.diagnostics",
    "Scene": "acoustics.scene",
    "Send": "simulation.program",
    "Spec": "config.spec",
    "Status": "simulation.timeline",
    "Timeline": "simulation.timeline",
    "Verdict": "simulation.feasibility",
    "buffers": "nodes.blocks",
    "load": "reporting.run_folder",
    "raw_exchange": "nodes.blocks",
    "simulate": "simulation.simulate",
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
    "Exchange",
    "FrameByFrame",
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
    "Mode",
    "NetworkCost",
    "Node",
    "Pcm",
    "Piece",
    "PlayoutSpec",
    "Receive",
    "RunResult",
    "Scenario",
    "ScenarioError",
    "ScenarioWarning",
    "Scene",
    "Send",
    "Spec",
    "Status",
    "Timeline",
    "Verdict",
    "__version__",
    "buffers",
    "load",
    "raw_exchange",
    "run",
    "simulate",
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
    out: str | Path | None = "runs",
    progress: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Run a scenario (a file, a mapping or a `Scenario`) and write the folder that `hasim run`
    writes, report included, below `out`.

    `set` overrides dotted paths, as `{"algorithm.mu": 2}`; `algorithm`, `link` and `codec` are
    objects of any class that fulfils the contract, in place of the scenario's own; `networks` are
    mask networks of one's own by their role ("sn_dnn", "mn_dnn"), in place of those that
    `algorithm.masks` says. With `out=None` nothing is written. The folder is `result.folder`.
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
    from hasim.networks.registry import register
    from hasim.reporting.run_folder import write_run

    if networks and algorithm is not None:
        raise ValueError("networks: must be the key `networks` of the `algorithm` that is given")
    own = {f"algorithm.networks.{role}": register(one) for role, one in (networks or {}).items()}
    set = {**(set or {}), **own}
    if isinstance(scenario, Mapping | scenarios.Scenario):
        resolved = scenarios.replace(scenario, set)
    else:
        resolved = scenarios.load(scenario, set)
    if algorithm is not None or link is not None or codec is not None:
        resolved = scenarios.with_parts(resolved, algorithm=algorithm, link=link, codec=codec)
    result = experiment.run(resolved, progress)
    if out is None:
        return result
    return dataclasses.replace(result, folder=write_run(result, out))
