"""The table of metrics: what each gives, how it is written, and which direction is better.

A metric is a file with a function `measure(signals) -> {name: score}` and a line in `BUILT_IN`. All
else is read from here: the names that `metrics:` of a scenario may hold, the columns of a run, the
rows of its table and page, the columns of sweeps, evaluations and comparisons, and their labels.
Other packages add theirs by the entry-point group `hasim.metrics`, programs by `register`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import isfinite
from typing import Annotated, Literal

from numpy import ndarray

from hasim.config.ears import EARS
from hasim.config.plug_ins import plug_ins
from hasim.config.spec import one_of
from hasim.metrics import cues, pesq, si_sar, si_sdr, si_sir, snr, stoi
from hasim.metrics.signals import Score, Scores, Signals, Unscored

UNITS = {"": "", "dB": "_db", "µs": "_us", "ms": "_ms", "s": "_s", "Hz": "_hz"}
"""Unit -> how it stands in the name of a number."""

State = Literal["", "noisy", "enhanced", "improvement"]
"""What a number is measured of; empty for a number of the whole run, and for that of a stage."""
STATES: tuple[State, ...] = ("noisy", "enhanced", "improvement")


@dataclass(frozen=True)
class Quantity:
    """A number that a metric gives.

    Raises ValueError for a name that is not lower case with underscores, and for a unit that is not
    in `UNITS`.
    """

    name: str
    """Without unit, state and ear: `si_sdr`."""
    label: str
    """As a reader writes it, without the unit: `SI-SDR`."""
    unit: str = ""
    digits: int = 2
    """Decimals in tables."""
    better: Literal["higher", "lower"] | None = "higher"
    """None: a count that says how a score was made; it is kept with the numbers of a run, but is in
    no table of scores."""
    per_ear: bool = True
    """One number for each ear; otherwise one for both ears together."""
    compared: bool = True
    """Measured of the noisy microphone and of the output, with the improvement, and of every stage;
    otherwise a number of the whole run."""
    headline: bool = True
    """Among the numbers shown where there is room for a few only: the top of a run's page, the
    table on a sweep's page, `hasim compare`."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", self.name):
            raise ValueError(f"name: must be lower case with underscores (got {self.name!r})")
        if self.unit not in UNITS:
            known = ", ".join(map(repr, UNITS))
            raise ValueError(f"{self.name}: unit must be among {known} (got {self.unit!r})")

    @property
    def ears(self) -> tuple[str, ...]:
        """`left` and `right`, or one empty name for both ears together."""
        return EARS if self.per_ear else ("",)

    @property
    def title(self) -> str:
        """Label and unit: `SI-SDR (dB)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def columns(self) -> list[str]:
        """The names under which `measure` gives it."""
        return [self.column("", ear) for ear in self.ears]

    def column(self, state: State = "", ear: str = "") -> str:
        """The name of the number in results.

        >>> Quantity("si_sdr", "SI-SDR", "dB").column("enhanced", "left")
        'si_sdr_enhanced_db_left'
        """
        of_state, of_ear = (f"_{part}" if part else "" for part in (state, ear))
        return f"{self.name}{of_state}{UNITS[self.unit]}{of_ear}"


Measure = Callable[[Signals], Scores]
"""A pure function of the signals: `estimate` against the others. It answers with a score for every
quantity and ear, under the names that `Quantity.column` gives: `si_sdr_db_left`."""


@dataclass(frozen=True)
class Metric:
    """A name in `metrics:` of a scenario, the function behind it, and the numbers that it gives."""

    name: str
    measure: Measure
    quantities: tuple[Quantity, ...]
    measure_together: Callable[[Signals, Sequence[ndarray]], Sequence[Scores]] | None = None
    """The same for several estimates at once, for a metric that has to see them together."""

    @property
    def is_compared(self) -> bool:
        """It scores any waveform, so noisy, enhanced and stages."""
        return any(quantity.compared for quantity in self.quantities)

    def scores(self, signals: Signals, estimates: Sequence[ndarray]) -> list[dict[str, Score]]:
        """The answer of `measure` for each of `estimates` (ear, sample) in place of the signals'.

        A number that is not finite becomes `Unscored`. Raises ValueError where the function gives
        other numbers than the metric's quantities; those of the whole run may be missing.
        """
        each = [dataclasses.replace(signals, estimate=estimate) for estimate in estimates]
        if self.measure_together is None:
            return [self._checked(self.measure(one)) for one in each]
        return [self._checked(found) for found in self.measure_together(signals, estimates)]

    def _checked(self, scores: Scores) -> dict[str, Score]:
        known = {column for quantity in self.quantities for column in quantity.columns}
        needed = {column for one in self.quantities if one.compared for column in one.columns}
        if scores.keys() - known or needed - scores.keys():
            raise ValueError(
                f"metric {self.name}: must give {', '.join(sorted(known))} "
                f"(gives {', '.join(sorted(scores)) or 'nothing'})"
            )
        return {
            name: score
            if isinstance(score, Unscored)
            else float(score)
            if isfinite(score)
            else Unscored(f"the metric gives {score}")
            for name, score in scores.items()
        }


_OfRun = partial(Quantity, compared=False, headline=False)

BUILT_IN = (
    Metric("si_sdr", si_sdr.measure, (Quantity("si_sdr", "SI-SDR", "dB", 1),)),
    Metric("si_sir", si_sir.measure, (Quantity("si_sir", "SI-SIR", "dB", 1, headline=False),)),
    Metric("si_sar", si_sar.measure, (Quantity("si_sar", "SI-SAR", "dB", 1, headline=False),)),
    Metric("stoi", stoi.measure, (Quantity("stoi", "STOI", digits=3),)),
    Metric("estoi", stoi.measure_extended, (Quantity("estoi", "ESTOI", digits=3),)),
    Metric(
        "pesq",
        pesq.measure,
        (
            Quantity("pesq", "PESQ", digits=2),
            _OfRun("pesq_segments", "PESQ segments", digits=0, better=None),
        ),
        pesq.measure_together,
    ),
    Metric(
        "snr",
        snr.measure,
        (
            _OfRun("snr_improvement", "SNR improvement", "dB", 1),
            _OfRun("noise_reduction", "noise reduction", "dB", 1),
            _OfRun("speech_distortion", "speech distortion", "dB", 1, "lower"),
        ),
    ),
    Metric(
        "cues",
        cues.measure,
        (
            _OfRun("ild_error_target", "talker ILD error", "dB", 1, "lower", per_ear=False),
            _OfRun("itd_error_target", "talker ITD error", "µs", 0, "lower", per_ear=False),
            _OfRun("ild_error_noise", "noise ILD error", "dB", 1, "lower", per_ear=False),
            _OfRun("itd_error_noise", "noise ITD error", "µs", 0, "lower", per_ear=False),
        ),
    ),
)
"""The metrics of hasim, in the order of all tables."""

_registered: dict[str, Metric] = {}


def register(metric: Metric) -> None:
    """Make a metric known in this process under its name, in place of one registered before.

    Processes that work beside this one do not know it: a sweep with `--jobs` above 1 needs the
    entry point `hasim.metrics`. Raises ValueError where its name, or that of a quantity, belongs to
    hasim.
    """
    _registered[_own_name(metric)] = metric


def unregister(name: str) -> None:
    """Forget a registered metric; KeyError where there is none of this name."""
    del _registered[name]


def metrics() -> dict[str, Metric]:
    """All metrics by their name: those of hasim, of other packages, and registered ones."""
    known = {metric.name: metric for metric in BUILT_IN}
    return known | plug_ins("hasim.metrics", _own_name) | _registered


def _own_name(metric: Metric) -> str:
    """The name of a metric from outside; ValueError where it or a quantity's is one of hasim's."""
    own = {metric.name, *(quantity.name for quantity in metric.quantities)}
    taken = {one.name for one in BUILT_IN}
    taken |= {quantity.name for one in BUILT_IN for quantity in one.quantities}
    if own & taken:
        raise ValueError(f"metrics: hasim has {', '.join(sorted(own & taken))}; take another name")
    return metric.name


def names() -> tuple[str, ...]:
    """What `metrics:` of a scenario may hold."""
    return tuple(metrics())


MetricName = Annotated[str, one_of(names)]


def find(name: str) -> Metric:
    """The metric of this name; ValueError where there is none."""
    known = metrics()
    if name not in known:
        raise ValueError(f"metrics: must be among {', '.join(known)} (got {name!r})")
    return known[name]


def quantities(*, compared: bool | None = None) -> list[Quantity]:
    """All quantities that have a direction, in the order of tables.

    With `compared` only those that are measured of every waveform, or only those of a whole run.
    """
    return [
        quantity
        for metric in metrics().values()
        for quantity in metric.quantities
        if quantity.better and compared in (None, quantity.compared)
    ]


def headline_columns() -> list[str]:
    """The columns of results to show where there is room for a few only, without the ear."""
    shown = [quantity for quantity in quantities() if quantity.headline]
    return [one.column("improvement" if one.compared else "") for one in shown]


@dataclass(frozen=True)
class Column:
    """A column of results that holds a quantity."""

    quantity: Quantity
    state: State

    @property
    def larger_is_better(self) -> bool:
        """An improvement is positive where the run is better, whatever the direction."""
        return self.state == "improvement" or self.quantity.better == "higher"


def column(name: str) -> Column | None:
    """What a column of results holds, whatever its stage and ear; None where it is no score.

    >>> column("mn_dnn.si_sdr_db_left").quantity.label, column("latency_ms")
    ('SI-SDR', None)
    """
    name = name.rpartition(".")[2]
    for ear in EARS:
        name = name.removesuffix(f"_{ear}")
    return _columns(tuple(quantities())).get(name)


@cache
def _columns(known: tuple[Quantity, ...]) -> dict[str, Column]:
    return {
        quantity.column(state): Column(quantity, state)
        for quantity in known
        for state in ("", *(STATES if quantity.compared else ()))
    }
