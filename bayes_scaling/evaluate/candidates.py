"""What is compared: candidates, and the cuts above which the largest runs are held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bayes_scaling.base.arguments import check_fields
from bayes_scaling.base.messages import counted, shown
from bayes_scaling.base.names import ALONGSIDE, USUALLY_ALONGSIDE, SamplerName
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError
from bayes_scaling.inference.sampler import SamplerChoice
from bayes_scaling.laws.catalogue import load_law
from bayes_scaling.laws.law import Law
from bayes_scaling.model.choices import DiscrepancyChoice, NoiseChoice
from bayes_scaling.model.discrepancy import size_inputs
from bayes_scaling.predict.ensemble import ALONE

CUTS = (3.0, 10.0, 30.0)  # default cuts: the largest run over these
FEWEST_BELOW, FEWEST_ABOVE = 8, 3  # rows that a default cut leaves on either side

FAST: SamplerName = "laplace"  # below cuts, where a fit only has to be good enough for a weight (benchmarks/weights.py)

POSTERIOR, EXACT, TOGETHER = "posterior", "exact", "together"
BASELINES: Mapping[str, str] = {
    "huber": "huber point fit",
    "squares": "squares point fit",
    "laplace": "normal approximation",
    "conformal": "conformal",
}
"""Baselines, and how they are labelled behind their law."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A way to forecast: a law with its discrepancy and noise, a baseline, or several laws together.

    Attributes
    ----------
    label : shown in tables
    law : what is fitted
    method : ``posterior``, or a baseline: ``huber`` (Huber loss, bootstrap), ``squares`` (least squares, bootstrap),
        ``laplace`` (without a discrepancy, normal approximation at the mode), ``conformal`` (split-conformal) or
        ``together`` (its members, weighed anew below every cut)
    discrepancy, noise, sampler : of a posterior, as of `fit`
    held_out_sampler : of its fits below cuts; by default as ``sampler``
    members : what laws together are; none of a single one
    """

    label: str
    law: Law
    method: str = POSTERIOR
    discrepancy: DiscrepancyChoice = "brownian"
    noise: NoiseChoice = "auto"
    sampler: SamplerChoice = "auto"
    held_out_sampler: SamplerChoice | None = None
    members: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "members", tuple(self.members))
        methods = (POSTERIOR, *BASELINES, TOGETHER)
        if self.method not in methods:
            raise DataError(f"method of a candidate is {shown(self.method)}; expected any of {', '.join(methods)}")
        if (self.method == TOGETHER) != bool(self.members):
            raise DataError(
                f"{self.label} has {counted(len(self.members), 'member')} and method {self.method}; several laws "
                f"together have members and method {TOGETHER}, any other candidate has neither"
            )

    @property
    def held_out(self) -> Candidate:
        """The candidate as it is fitted below cuts."""
        return self if self.held_out_sampler is None else dataclasses.replace(self, sampler=self.held_out_sampler)

    @property
    def weighted(self) -> bool:
        """Whether it takes part in the mixture of laws; baselines, and the mixture itself, are only shown."""
        return self.method == POSTERIOR


@dataclasses.dataclass(frozen=True)
class Cut:
    """Runs with ``column <= at`` are fitted, those above are forecast."""

    column: str
    at: float

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def label(self) -> str:
        """In words."""
        return f"{self.column} <= {self.at:.4g}"


def candidates_of(
    laws: Sequence[str | Law | Candidate], alongside: Sequence[str] = USUALLY_ALONGSIDE
) -> tuple[Candidate, ...]:
    """List what is compared: each law with its discrepancy, and what is shown beside it; see `together` for all laws.

    Parameters
    ----------
    laws : names, laws, or candidates, which are taken as they are
    alongside : what each law is shown with, see `compare`

    Raises
    ------
    DataError
        When there is no law, or when something else is asked for beside it.
    """
    unknown = [name for name in alongside if name not in ALONGSIDE]
    if unknown:
        raise DataError(f"alongside has {shown(unknown[0])}; expected any of {', '.join(ALONGSIDE)}")
    found: dict[str, Candidate] = {}
    for given in laws:
        if isinstance(given, Candidate):
            found[given.label] = given
            continue
        law = load_law(given) if isinstance(given, str) else given
        found[law.label] = Candidate(law.label, law)
        if EXACT in alongside:
            label = law.label + ALONE
            found[label] = Candidate(label, law, discrepancy="none")
        for method in (name for name in alongside if name in BASELINES):
            label = f"{law.label}, {BASELINES[method]}"
            found[label] = Candidate(label, law, method)
    if not found:
        raise DataError("no law to compare; name one or more, like chinchilla,kaplan_joint,nesting")
    return tuple(found.values())


def together(members: Sequence[Candidate]) -> Candidate:
    """Return all members as one candidate: what a forecast by them would have said from the runs below a cut alone."""
    return Candidate("laws together", members[0].law, TOGETHER, members=tuple(members))


def default_cuts(law: Law, runs: Runs) -> tuple[Cut, ...]:
    """Return cuts at a 3rd, a 10th and a 30th of the largest run, where enough rows lie on both sides.

    Raises
    ------
    DataError
        When there are too few sizes to hold out the largest.
    """
    cuts = usual_cuts(law, runs)
    if not cuts:
        if (column := cut_column(law, runs)) is None:
            raise DataError(
                f"law {law.label} reads no size, so there are no largest runs to hold out; give cuts, such as "
                f"{law.inputs[0]}={np.median(runs.column(law.inputs[0])):.3g}"
            )
        values = runs.column(column)
        raise DataError(
            f"{runs.source} has too few sizes to hold out the largest ({len(runs)} rows, {column} from "
            f"{values.min():.3g} to {values.max():.3g}); give cuts, like flops=1e20"
        )
    return cuts


def apart(cuts: Sequence[Cut]) -> tuple[Cut, ...]:
    """Return cuts that a comparison can be made at; refuse none at all, and two that go by one name."""
    if not len(cuts):
        raise DataError(
            "no cut to hold runs out above; give one, like flops=1e20, or leave cuts out for the usual ones"
        )
    labels = [cut.label for cut in cuts]
    for label in labels:
        if labels.count(label) > 1:
            raise DataError(f"two cuts are {label}; give each once, and cuts that differ in their first four digits")
    return tuple(cuts)


def cut_column(law: Law, runs: Runs) -> str | None:
    """Return the column whose largest runs are held out; None where the law has no size."""
    if "flops" in runs and {"params", "tokens"} <= set(law.inputs):
        return "flops"
    # Of a model that is described by its depth and width, the longest runs are held out.
    return next(iter(sorted(size_inputs(law), key=("layers", "width").count)), None)


def usual_cuts(law: Law, runs: Runs) -> tuple[Cut, ...]:
    """Return the cuts of `default_cuts`; none where there is no size, or too few sizes."""
    if (column := cut_column(law, runs)) is None:
        return ()
    values = runs.column(column)
    cuts: dict[int, Cut] = {}
    for factor in CUTS:
        cut = Cut(column, float(values.max() / factor))
        below = int((values <= cut.at).sum())
        if below >= FEWEST_BELOW and len(values) - below >= FEWEST_ABOVE:
            cuts.setdefault(below, cut)
    if not cuts:
        # Few or close runs: leave out the largest quarter.
        at = float(np.quantile(values, 0.75, method="lower"))
        if not (values > at).any() or (values <= at).sum() < 3:
            return ()
        return (Cut(column, at),)
    return tuple(cuts.values())
