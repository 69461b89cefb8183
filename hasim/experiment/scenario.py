"""The scenario: reading, overriding, validating and writing scenario files.

No heavy library is imported here. All mistakes in a file are reported together.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema

from hasim.acoustics.scene import SceneSpec
from hasim.config import overrides as settings_from_outside
from hasim.config.diagnostics import (
    ScenarioError,
    ScenarioWarning,
    Shape,
    problems_of,
)
from hasim.config.ears import EARS
from hasim.config.paths import missing_files, rooted
from hasim.config.presets import expand
from hasim.config.spec import Spec, described_fields
from hasim.config.yaml_reader import Place, Problem, YamlNode, node_of, read_file, write
from hasim.dsp.stft import FrontEndSpec, samples_in_ns
from hasim.metrics.catalogue import MetricName
from hasim.metrics.scoring import ScoringSpec
from hasim.networks import pretrained
from hasim.nodes import AlgorithmSpec, MnTango, Node
from hasim.nodes.mask_driven import MaskDrivenNode
from hasim.simulation.device.device import DevicesSpec
from hasim.simulation.fitting import FittingSpec, algorithmic_ns
from hasim.simulation.link.codecs import Codec
from hasim.simulation.link.link import Link
from hasim.simulation.link.traffic import ConstantRate, LinkSpec, offered_kbps
from hasim.simulation.playout_spec import PlayoutSpec
from hasim.simulation.program import Compute, Program

SCHEMA_VERSION = 1


class Scenario(Spec):
    """One experiment: a scene, an algorithm on two devices, and the link between them."""

    schema_version: Literal[1] = 1
    """The version of this format."""
    name: str = Field("scenario", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Names the result folder."""
    seed: int = Field(0, ge=0, le=2**63 - 1)
    """All chance comes from it: excerpts, losses, jitter, mismatch."""
    duration_s: float = Field(8.0, ge=0.5, le=600)
    """Length of the sound."""
    sample_rate_hz: Literal[16000] = 16000
    """Of all signals; recordings and responses are converted."""
    scene: SceneSpec = SceneSpec()
    front_end: FrontEndSpec = FrontEndSpec()
    algorithm: AlgorithmSpec = MnTango()
    devices: DevicesSpec = DevicesSpec()
    link: LinkSpec = ConstantRate()
    playout: PlayoutSpec = PlayoutSpec()
    fitting: FittingSpec = FittingSpec()
    metrics: tuple[MetricName, ...] = ("si_sdr", "si_sir", "si_sar", "stoi", "pesq", "snr", "cues")
    """The scores to compute."""
    scoring: ScoringSpec = ScoringSpec()

    @model_validator(mode="after")
    def _parts_go_together(self) -> Self:
        """The link must be able to carry the payloads of this algorithm at all, and the algorithm
        must have what the devices' `overload` uses."""
        offered_kbps(self.programs, self.link, self.hop_ns)
        steps = [step for step in self.programs[0] if isinstance(step, Compute)]
        mistakes = []
        for ear in EARS:
            overload = getattr(self.devices, ear).overload
            key = f"devices.{ear}.overload: {overload}"
            if overload == "hold_filter" and not any(step.renews for step in steps):
                mistakes.append(f"{key} needs a filter; {self.algorithm.kind} has none")
            if overload == "degrade" and all(step.spare_macs is None for step in steps):
                mistakes.append(f"{key} needs a smaller network; algorithm.spare_groups names one")
            if overload == "degrade" and getattr(self.algorithm, "masks", "") == "trained":
                mistakes.append(f"{key} needs masks: oracle, which stand for both networks")
        spec = self.algorithm
        if isinstance(spec, MaskDrivenNode):
            roles = spec.roles(self.front_end, self.link.codec)
            mistakes += [
                f"algorithm.networks.{role}: {spec.kind} runs {' and '.join(roles)} alone"
                for role in spec.networks.names()
                if role not in roles
            ]
        if (
            isinstance(spec, MaskDrivenNode)
            and spec.trained_roles(self.front_end, self.link.codec)
            and not isinstance(spec.weights, Path)
        ):
            why = pretrained.missing(
                spec.kind, spec.groups, self.front_end, self.sample_rate_hz, spec.weights
            )
            if why:
                answer = "set algorithm.masks to oracle, or algorithm.weights to your own"
                mistakes.append(f"algorithm.masks: {why}; {answer}")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def __repr__(self) -> str:
        """Name, algorithm, link, seed, and the keys that are not at their defaults."""
        head = f"{self.name}: {self.algorithm.kind} over {self.link.kind}, seed {self.seed}"
        text = "; ".join([head, *_changed(self, type(self)(), "")])
        return f"<Scenario {text if len(text) <= 300 else text[:297] + '...'}>"

    __str__ = __repr__

    @property
    def programs(self) -> tuple[Program, Program]:
        """What the left and the right device have to do for every frame."""
        program = self.algorithm.program(self.front_end, self.link.codec)
        return (program, program)

    @property
    def samples(self) -> int:
        """Length of the sound."""
        return round(self.duration_s * self.sample_rate_hz)

    @property
    def window_ns(self) -> int:
        """The synthesis window: what of a frame is played, and the least latency."""
        return samples_in_ns(self.front_end.synthesis_samples, self.sample_rate_hz)

    @property
    def algorithmic_ns(self) -> int:
        """Latency without the time for computing and sending."""
        return algorithmic_ns(self.programs[0], self.window_ns, self.hop_ns)

    @property
    def hop_ns(self) -> int:
        """From one frame to the next."""
        return samples_in_ns(self.front_end.hop, self.sample_rate_hz)


def _changed(spec: Any, other: Any, path: str) -> Iterator[str]:
    """`key=value` of every key below `path` in which one Spec differs from another."""
    for name in type(spec).model_fields:
        key, value, default = f"{path}{name}", getattr(spec, name), getattr(other, name, None)
        if value == default or key in ("name", "seed", "algorithm.kind", "link.kind"):
            continue
        if isinstance(value, Spec) and type(value) is type(default):
            yield from _changed(value, default, f"{key}.")
        else:
            yield f"{key}={value!r}"


def load(
    path: str | os.PathLike[str], overrides: Mapping[str, Any] | Sequence[str] = ()
) -> Scenario:
    """Read a file and set `overrides`: `{"link.rate_kbps": 64}` or `["link.rate_kbps=64"]`.

    Relative paths in the file and in the overrides start at the file's folder; what they name must
    exist.

    Raises:
        ScenarioError: all mistakes in the file and the overrides.
    """
    file = os.fspath(path)
    document = read_file(file)
    for warning in document.warnings:
        warnings.warn(str(warning), ScenarioWarning, stacklevel=2)
    settings, problems = settings_from_outside.parse(overrides, Place("--set"))
    if document.root is None:
        raise ScenarioError([*document.problems, *problems])
    root = document.root if document.root.value is not None else YamlNode({}, document.root.place)
    _refuse_other_versions(root)
    folder = Path(os.path.abspath(file)).parent
    root, wrong = _filled(root, settings, folder)
    return _scenario(root, [*document.problems, *problems, *wrong], folder)


def from_mapping(mapping: Mapping[str, Any]) -> Scenario:
    """A scenario from nested mappings, sequences and numbers (also NumPy's).

    Missing keys take their defaults. Relative paths start at the working directory.

    Raises:
        ScenarioError: all mistakes.
    """
    return replace(mapping, {})


def replace(scenario: Scenario | Mapping[str, Any], changes: Mapping[str, Any]) -> Scenario:
    """A scenario with other values at dotted paths: `{"link.loss.mean_loss": 0.2}`.

    Entries of lists are numbers (`scene.noises.0.azimuth_deg`). A new `kind` keeps the keys that it
    shares with the old one. Relative paths start at the working directory.

    Raises:
        ScenarioError: all mistakes.
    """
    try:
        root = node_of(scenario, Place())
    except ValueError as error:
        raise ScenarioError([Problem(Place(), "", str(error))]) from error
    settings, problems = settings_from_outside.parse(changes, Place())
    _refuse_other_versions(root)
    root, wrong = _filled(root, settings, None)
    return _scenario(root, [*problems, *wrong], None)


def with_parts(
    scenario: Scenario,
    *,
    algorithm: Node | None = None,
    link: Link | None = None,
    codec: Codec | None = None,
) -> Scenario:
    """A scenario with parts that are objects, of classes that need not be in any scenario file.

    `codec` becomes the codec of the link.

    Raises:
        ScenarioError: a part lacks what its contract asks for, or the parts do not go together.
    """
    contracts: dict[str, tuple[Any, type]] = {
        "algorithm": (algorithm, Node),
        "link": (link, Link),
        "link.codec": (codec, Codec),
    }
    problems = [
        Problem(Place(), key, f"not a {contract.__name__}", type(part).__name__, why)
        for key, (part, contract) in contracts.items()
        if part is not None and (why := _missing_from_contract(part, contract))
    ]
    if problems:
        raise ScenarioError(problems)
    parts: dict[str, Any] = {name: getattr(scenario, name) for name in Scenario.model_fields}
    parts["algorithm"] = algorithm or scenario.algorithm
    parts["link"] = link or scenario.link
    if codec is not None:
        parts["link"] = parts["link"].model_copy(update={"codec": codec})
    try:
        return Scenario.model_validate(parts)
    except ValidationError as error:
        root = node_of(parts, Place())
        raise ScenarioError(problems_of(error.errors(include_url=False), root, _shape())) from error


def _missing_from_contract(part: Any, contract: type) -> str:
    """What an object lacks to be a Spec that fulfils `contract`; nothing where it lacks nothing."""
    if not isinstance(part, Spec):
        return "its class must derive from hasim.config.spec.Spec"
    asked = [name for name in vars(contract) if not name.startswith("_")]
    missing = [name for name in asked if not hasattr(part, name)]
    if missing:
        return f"it has no {', '.join(missing)}"
    return "" if isinstance(part, contract) else f"its class must derive from {contract.__name__}"


def dump(scenario: Scenario) -> str:
    """The scenario as YAML with every key, defaults included; `load` gives it back."""
    return write(scenario.model_dump(mode="json"))


def canonical_json(scenario: Scenario) -> str:
    """The scenario as one line of JSON, the same for the same content: sorted keys, no spaces."""
    values = scenario.model_dump(mode="json")
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a scenario file, for editors and for error messages."""
    schema = Scenario.model_json_schema(schema_generator=_AnyOfKinds)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _AnyOfKinds(GenerateJsonSchema):
    """A part without a `kind` takes the default kind, yet may fit several: `anyOf`, not `oneOf`.

    Keys have the descriptions of their fields.
    """

    def model_schema(self, schema: Any) -> dict[str, Any]:
        generated = super().model_schema(schema)
        for name, field in described_fields(schema["cls"]).items():
            if field.description and name in generated.get("properties", {}):
                generated["properties"][name].setdefault("description", field.description)
        return generated

    def tagged_union_schema(self, schema: Any) -> dict[str, Any]:
        generated = super().tagged_union_schema(schema)
        generated.pop("discriminator", None)
        return {"anyOf" if key == "oneOf" else key: value for key, value in generated.items()}


def _filled(
    root: YamlNode, settings: Sequence[settings_from_outside.Override], folder: Path | None
) -> tuple[YamlNode, list[Problem]]:
    """The file's values with those of its presets, and with others set; paths start at `folder`."""
    root, problems = expand(root, folder)
    if not settings:
        return root, problems
    # The JSON Schema is made only where there are settings.
    root, wrong = settings_from_outside.apply(root, _shape(), settings, folder)
    return root, problems + wrong


def _shape() -> Shape:
    schema = json_schema()
    return Shape(schema, schema["$defs"])


def _scenario(root: YamlNode, problems: list[Problem], folder: Path | None) -> Scenario:
    """Validate, and let relative paths start at `folder`."""
    scenario = None
    try:
        # Strict JSON: text is no number, but lists become tuples and text becomes paths.
        scenario = Scenario.model_validate_json(json.dumps(root.plain()), strict=True)
    except ValidationError as error:
        problems = problems + problems_of(error.errors(include_url=False), root, _shape())
    if scenario is not None and folder is not None:
        scenario = rooted(scenario, folder, root)
        problems = problems + list(missing_files(scenario, root))
    if scenario is None or problems:
        raise ScenarioError(sorted(problems, key=lambda problem: _reading_order(problem.place)))
    return scenario


def _refuse_other_versions(root: YamlNode) -> None:
    """A file for a newer hasim may have any keys: only its version is reported."""
    if not isinstance(root.value, dict) or "schema_version" not in root.value:
        return
    node = root.value["schema_version"]
    if node.plain() != SCHEMA_VERSION or isinstance(node.value, bool):
        right = f"this hasim reads version {SCHEMA_VERSION}"
        if isinstance(node.value, int) and node.value > SCHEMA_VERSION:
            right += "; a newer hasim is needed"
        raise ScenarioError(
            [Problem(node.place, "schema_version", "unknown version", node.printed(), right)]
        )


def _reading_order(place: Place) -> tuple[bool, Place]:
    return place.line == 0, place
