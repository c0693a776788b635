"""Ensembles: posterior draws of one law, or of several laws with weights, that predict any run.

Each draw has one law, one path of its discrepancy and one scale of the noise. A path is drawn once and stored, so that
it is the same function wherever it is evaluated.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Expected, FilePath, Seed, validated
from bayes_scaling.base.messages import shown
from bayes_scaling.base.streams import MIXTURE, stream
from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.law import Law
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.schedule import missing_inputs
from bayes_scaling.predict.evidence import Evidence, EvidenceOfLaw
from bayes_scaling.predict.members import Member
from bayes_scaling.predict.predictive import Predictive
from bayes_scaling.predict.saving import Saved, load_ensemble, save_ensemble

LEAST_WEIGHT = 1e-3  # laws with less weight are left out
TREND = ", trend"  # ends the label of a law with a smooth discrepancy, beside itself with a rough one
ALONE = ", law alone"  # ends the label of a law without a discrepancy, beside itself with a discrepancy


class WeightedFits(Protocol):
    """Several fits of one table with weights, as a comparison provides them."""

    @property
    def fits(self) -> Mapping[str, Fit]:
        """Posterior of every law, by label."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of every law, by label; they sum to one."""
        ...

    @property
    def runs(self) -> Runs:
        """The table that all laws were fitted to."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """What several laws say together of the loss of any run: their posterior draws, mixed by weight; or one law.

    Attributes
    ----------
    members : by label, the laws with their weights; their draws are concatenated in this order
    loss_unit : unit of the losses
    best_loss : the lowest loss in the fitted table
    group : the group that the draws are for, where fits are pooled
    seed : of discrepancy paths and noise
    evidence : why each law has its weight; None where weights were given
    taken : whether these are some draws of an ensemble, chosen by `take`: each law's weight is then its share of them
    """

    members: Mapping[str, Member]
    loss_unit: str
    best_loss: float
    group: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seed: int = 0
    evidence: Evidence | None = None
    taken: bool = False
    EXPECTED: ClassVar[str] = "an Ensemble, as from fit(runs) or Ensemble.load(path)"

    @classmethod
    @validated
    def of(
        cls,
        source: Source,
        seed: Seed = 0,
        *,
        group: Mapping[str, str] | None = None,
        unconverged: bool = False,
    ) -> Ensemble:
        """Take the draws of a fit, or draws of every law of a comparison in proportion to its weight.

        Parameters
        ----------
        source : a fit, or several with weights: a comparison; or an ensemble, which keeps the draws of its posteriors
        seed : of discrepancy paths and noise, and of which draws of several fits are used; the same seed gives the same
            ensemble
        group : which group of a pooled fit, ``{"dataset": "c4"}``; by default an ensemble keeps its own
        unconverged : accept fits that did not converge

        Raises
        ------
        ConvergenceError
            When a fit did not converge; whoever made an ensemble accepted that.
        FitError
            When a fit is pooled and no group is given, or a group is given and it is not.
        """
        group = group_of(source, group)
        members = {
            name: Member.of(share.fit, share.weight, seed, group, True).take(share.draws)
            for name, share in shares_of(source, seed, unconverged).items()
        }
        return cls._with(
            members, group, seed, getattr(source, "evidence", None), isinstance(source, Ensemble) and source.taken
        )

    @classmethod
    def _with(
        cls,
        members: Mapping[str, Member],
        group: Mapping[str, str] | None,
        seed: int,
        evidence: Evidence | None,
        taken: bool,
    ) -> Ensemble:
        runs = next(iter(members.values())).fit.runs
        return cls(members, runs.loss_unit, float(runs.loss.min()), dict(group or {}), seed, evidence, taken)

    @classmethod
    @validated
    def load(cls, path: FilePath, laws: Sequence[Law] = (), *, noise: Noise | None = None) -> Ensemble:
        """Read an ensemble that `save` wrote. Nothing in the file runs: it names laws of the catalogue, or none.

        Parameters
        ----------
        path : the netCDF file
        laws : the laws that were fitted, as far as they are your own: ``[load_law("my_law.py")]``
        noise : the noise model, where its family is one of your own

        Returns
        -------
        Ensemble
            With the same draws, to the bit.

        Raises
        ------
        FitError
            In one line, for a file that is truncated, foreign, changed, of another format, or fitted with other laws.
        """
        saved = load_ensemble(Path(path), laws, noise)
        members = {
            name: Member.of(fit, saved.weights[name], saved.seed, saved.group or None, True).take(saved.draws[name])
            for name, fit in saved.fits.items()
        }
        return cls._with(members, saved.group, saved.seed, saved.evidence, saved.taken)

    @validated
    def save(self, path: FilePath) -> None:
        """Write the ensemble as one netCDF file; an existing file is replaced only when the new one is whole."""
        saved = Saved(self.fits, self.weights, self.draws, self.seed, self.group, self.evidence, self.taken)
        save_ensemble(saved, Path(path))

    @property
    def fits(self) -> dict[str, Fit]:
        """The posterior of each law, by label."""
        return {name: member.fit for name, member in self.members.items()}

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each law, by label."""
        return {name: member.weight for name, member in self.members.items()}

    @property
    def draws(self) -> dict[str, np.ndarray]:
        """Which draws of the posterior of each law these are, by label."""
        return {name: member.draws for name, member in self.members.items()}

    @property
    def runs(self) -> Runs:
        """The table that the laws were fitted to."""
        return self.leading.runs

    @property
    def leading(self) -> Fit:
        """The fit with most weight."""
        return max(self.members.values(), key=lambda member: member.weight).fit

    def to_frame(self) -> pd.DataFrame:
        """List the laws, the heaviest first.

        Returns
        -------
        pandas.DataFrame
            One row per law, with its discrepancy and without one: ``member`` (its label), ``law``, ``weight``,
            ``log_score`` (mean log density of held-out rows), ``error`` (root mean square of the log error there),
            ``inside_90`` (share of held-out runs inside their 90 % intervals), ``refits`` below cuts, how many of them
            are ``unconverged``, and ``why`` in a sentence.
        """
        given = [EvidenceOfLaw(name, fit.law.label, why="its weight was given") for name, fit in self.fits.items()]
        evidence = self.evidence or Evidence((), 0, "weights were given", tuple(given))
        return evidence.to_frame(self.weights)

    @property
    def label(self) -> str:
        """Names of the laws, with their weights if there are several."""
        return label_of(self.weights)

    def __len__(self) -> int:
        return sum(len(member) for member in self.members.values())

    def __repr__(self) -> str:
        return f"<Ensemble: {self.label}, fitted to {self.runs.counted}, {len(self)} draws>"

    @validated
    def take(self, draws: Sequence[int] | np.ndarray) -> Ensemble:
        """Keep some draws, by index over all members; the weight of each law is then its share of them.

        Raises
        ------
        ForecastError
            When there is no draw of an index, or none is chosen.
        """
        wanted, start, members = np.asarray(draws), 0, {}
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise ForecastError(f"draws are counted from 0 to {len(self) - 1}; got {shown(draws)}")
        for name, member in self.members.items():
            inside = (wanted >= start) & (wanted < start + len(member))
            if inside.any():
                kept = dataclasses.replace(member, weight=float(inside.mean()))
                members[name] = kept.take(wanted[inside] - start)
            start += len(member)
        if not wanted.size or wanted.min() < 0 or wanted.max() >= start:
            raise ForecastError(f"draws are counted from 0 to {start - 1}; got {wanted.tolist()[:5]}")
        return dataclasses.replace(self, members=members, taken=True)

    @validated
    def only(self, name: str) -> Ensemble:
        """Keep one of the laws: ``"chinchilla"`` with its discrepancy, or ``"chinchilla, law alone"``.

        Raises
        ------
        ForecastError
            When there is no law of this label.
        """
        if name not in self.members:
            raise ForecastError(f"the ensemble has no law {shown(name)}; it has {'; '.join(self.members)}")
        return self.without([one for one in self.members if one != name])

    @validated
    def without(self, names: Sequence[str]) -> Ensemble:
        """Leave out laws, by label; the weights of the others grow in proportion.

        Raises
        ------
        ForecastError
            When there is no law of a label, or no law is left.
        """
        unknown = [name for name in names if name not in self.members]
        kept = {name: member for name, member in self.members.items() if name not in names}
        if unknown or not kept:
            what = f"no law {shown(unknown[0])}" if unknown else "no law but these"
            raise ForecastError(f"the ensemble has {what}; it has {'; '.join(self.members)}")
        total = sum(member.weight for member in kept.values())
        members = {name: dataclasses.replace(one, weight=one.weight / total) for name, one in kept.items()}
        evidence = None if self.evidence is None else self.evidence.of(members)
        return dataclasses.replace(self, members=members, evidence=evidence)

    @validated
    def points(self, **inputs: Any) -> Points:
        """Return planned runs as checked columns, one for each input that the laws read.

        Parameters
        ----------
        inputs : in raw units, numbers or rows of equal length; an input that follows from others (FLOPs from params
            and tokens, tokens from steps and batch, steps from tokens and batch) may be left out

        Raises
        ------
        ForecastError
            When an input is missing or not a positive number.
        """
        may_be_zero = {name for member in self.members.values() for name in member.fit.law.may_be_zero}
        try:
            given = {name: np.atleast_1d(np.asarray(values, float)) for name, values in inputs.items()}
            given = dict(zip(given, np.broadcast_arrays(*given.values()), strict=True))
        except (TypeError, ValueError, OverflowError):
            raise ForecastError("inputs of a run: expected numbers, or rows of equal length") from None
        for name, values in given.items():
            least = 0.0 if name in may_be_zero else math.ulp(0.0)
            if values.ndim != 1 or not (values.size and np.isfinite(values).all() and (values >= least).all()):
                got = "" if values.size else "got no numbers, "
                raise ForecastError(f"{name} of a run: {got}expected positive numbers, or one row of them")
        given = derive_missing(given)[0]
        for member in self.members.values():
            missing = missing_inputs(member.fit.law, given, member.fit.yardstick.schedule)
            if missing:
                raise ForecastError(
                    f"law {member.fit.law.label} needs {', '.join(member.fit.law.inputs)} of each run; "
                    f"{missing[0]} is missing"
                )
        return given

    def log_law(self, points: Points) -> np.ndarray:
        """Return the log of the law at each point, ``(n_draw, n_point)``, without its discrepancy."""
        return np.concatenate([member.law_and_scale(points)[0] for member in self.members.values()])

    def discrepancy(self, points: Points) -> np.ndarray:
        """Return the discrepancy at each point, in log loss, ``(n_draw, n_point)``."""
        return np.concatenate([member.discrepancy(points) for member in self.members.values()])

    def log_mean(self, points: Points) -> np.ndarray:
        """Return the log of the expected loss at each point, ``(n_draw, n_point)``: law plus discrepancy."""
        return np.asarray(self.log_law(points) + self.discrepancy(points))

    def new_run(self, points: Points) -> Predictive:
        """Return the distribution of the log loss of one new run at each point."""
        return Predictive.mixture([member.new_run(points) for member in self.members.values()])


def used(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the laws that are used: a law without weight may have failed to converge."""
    return {name: weight for name, weight in weights.items() if weight >= LEAST_WEIGHT}


def label_of(weights: Mapping[str, float]) -> str:
    """Name the laws, with their weights if there are several; a law counts once, with its discrepancy and without."""
    laws: dict[str, float] = {}
    for name, weight in weights.items():
        law = name.removesuffix(ALONE).removesuffix(TREND)
        laws[law] = laws.get(law, 0.0) + weight
    if len(weights) == 1 or len(laws) == 1:
        return next(iter(weights if len(weights) == 1 else laws))
    return "ensemble of " + ", ".join(f"{name} {weight:.0%}" for name, weight in laws.items())


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """The draws that one law has in a mixture.

    Attributes
    ----------
    fit : its posterior
    weight : weight of the law
    draws : (n_draw,) which draws of the fit are used, by index
    """

    fit: Fit
    weight: float
    draws: np.ndarray


type Compared = Annotated[WeightedFits, Expected(lambda _: True, "a Comparison, as from compare(laws, runs)")]
type Source = Fit | Compared | Ensemble
"""What answers rest on: one fit, several with weights, or draws of either."""


def draws_of(
    source: Source, seed: int, *, group: Mapping[str, str] | None = None, unconverged: bool = False
) -> Ensemble:
    """Return the ensemble that an answer rests on: of a seed and a group, as `Ensemble.of` makes it.

    An ensemble of this seed and group is given back as it is. Of another one the draws of its posteriors stay, and what
    a seed draws, discrepancy paths and noise, is drawn by this seed: as `forecast` does.

    Parameters
    ----------
    group, unconverged : as of `Ensemble.of`
    """
    wanted = (seed, dict(group_of(source, group) or {}))
    if isinstance(source, Ensemble) and (source.seed, dict(source.group)) == wanted:
        return source
    return Ensemble.of(source, seed, group=group, unconverged=unconverged)


def group_of(source: Source, group: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return the group that is asked for: by default that of an ensemble."""
    return group or (source.group if isinstance(source, Ensemble) else None) or None


def shares_of(source: Source, seed: int, unconverged: bool) -> dict[str, Share]:
    """Return which draws of which fits a source is made of, by label; their concatenation is the mixture.

    Every answer from a source begins here: a fit is all its draws, an ensemble those that it has, several fits with
    weights are drawn from.

    Raises
    ------
    ConvergenceError
        When a fit did not converge; whoever made an ensemble accepted that.
    """
    if isinstance(source, Fit):
        source.require_convergence(unconverged)
        return {source.law.label: Share(source, 1.0, np.arange(_count(source)))}
    if isinstance(source, Ensemble):
        return {name: Share(member.fit, member.weight, member.draws) for name, member in source.members.items()}
    weights = used(source.weights)
    for name in weights:
        source.fits[name].require_convergence(unconverged)
    chosen = drawn_by_weight(weights, {name: _count(source.fits[name]) for name in weights}, seed)
    return {name: Share(source.fits[name], weight, chosen[name]) for name, weight in weights.items()}


def _count(fit: Fit) -> int:
    """Return the number of draws of a fit, of all chains."""
    return int(np.prod(fit.unconstrained.shape[:2]))


def drawn_by_weight(weights: Mapping[str, float], counts: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Choose draws of each law by its weight, as indices; their total is the number of draws of the largest fit."""
    rng = stream(seed, MIXTURE)
    wanted = _divided(np.array(list(weights.values())), max(counts.values()))
    return {
        name: rng.choice(counts[name], share, replace=bool(share > counts[name]))
        for name, share in zip(weights, wanted, strict=True)
    }


def _divided(weights: np.ndarray, count: int) -> np.ndarray:
    """Divide a number of draws by weight, rounding up the largest remainders; each law gets at least one."""
    exact = weights / weights.sum() * count
    whole: np.ndarray = np.maximum(np.floor(exact).astype(int), 1)
    for index in np.argsort(whole - exact)[: max(count - int(whole.sum()), 0)]:
        whole[index] += 1
    return whole
