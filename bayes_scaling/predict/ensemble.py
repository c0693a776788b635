"""Ensembles: posterior draws of one law, or of several laws with weights, that predict any run.

Each draw has one law, one path of its discrepancy and one scale of the noise. A path is drawn once and stored, so that
it is the same function wherever it is evaluated.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import shown
from bayes_scaling.base.scope import scope
from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import PlanError
from bayes_scaling.inference.compiled import log_mean_and_scale
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import CELL
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.observations import model_columns, size_of
from bayes_scaling.predict.predictive import Predictive, Residuals

BEYOND, STEPS = (
    30.0,
    256,
)  # how far paths extend beyond the largest fitted size, in e-folds, and the number of places there
BLOCK = 32  # points that are evaluated together
LEAST_WEIGHT = 1e-3  # laws with less weight are left out


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
class Paths:
    """The discrepancy of a law along the size of runs, one path per draw.

    Attributes
    ----------
    sizes : (n_place,) log sizes at which paths are stored, sorted
    learned : (n_draw, n_place) part of the discrepancy that the fitted runs determine, in log loss
    unresolved : (n_draw, n_place) the rest of it; both are 0 for a law that is assumed to be exact
    """

    sizes: np.ndarray
    learned: np.ndarray
    unresolved: np.ndarray

    @classmethod
    def drawn(cls, fit: Fit, sizes: np.ndarray, seed: int) -> Paths:
        """Draw the paths of a fit at some log sizes, sorted."""
        grid = fit.discrepancy_grid
        count = len(fit.unconstrained) * fit.unconstrained.shape[1]
        if not grid.size:
            nothing = np.zeros((count, len(sizes)))
            return cls(sizes, nothing, nothing)
        tau = fit.flat()["tau"][:, None]
        fresh = grid.unresolved(sizes, len(tau), np.random.default_rng([seed, 4]))
        return cls(sizes, tau * (fit.increments @ grid.basis(sizes).T), tau * fresh)

    @classmethod
    def on_grid(cls, fit: Fit, seed: int) -> Paths:
        """Draw the paths of a fit from its smallest size to 30 e-folds beyond its largest."""
        fitted = fitted_sizes(fit)
        return cls.drawn(fit, np.linspace(fitted.min(), fitted.max() + BEYOND, STEPS), seed)

    def __len__(self) -> int:
        return len(self.learned)

    @validated
    def take(self, draws: np.ndarray) -> Paths:
        """Keep some draws, by index."""
        return Paths(self.sizes, self.learned[draws], self.unresolved[draws])

    @functools.cached_property
    def total(self) -> np.ndarray:
        """The whole discrepancy where paths are stored, in log loss, ``(n_draw, n_place)``."""
        return np.asarray(self.learned + self.unresolved)

    def at(self, values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Interpolate values stored at the places, ``(n_draw, n_place)``, at log sizes; constant beyond the ends."""
        if len(self.sizes) == 1:
            return np.repeat(values, len(sizes), axis=1)
        before = np.clip(np.searchsorted(self.sizes, sizes, side="right") - 1, 0, len(self.sizes) - 2)
        share = np.clip((sizes - self.sizes[before]) / (self.sizes[before + 1] - self.sizes[before]), 0.0, 1.0)
        return np.asarray((1 - share) * values[:, before] + share * values[:, before + 1])


def fitted_sizes(fit: Fit) -> np.ndarray:
    """Return the log sizes of the fitted runs, ``(n_row,)``."""
    return log_size(fit.law, {name: fit.runs.column(name) for name in fit.law.inputs})


def law_and_scale(
    fit: Fit, theta: Mapping[str, np.ndarray | Array], points: Points, cell: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of the law and the scale of the noise at points, ``(n_draw, n_point)`` each, block by block.

    Parameters
    ----------
    theta : draws of law and noise parameters, ``(n_draw,)``, or ``(n_draw, n_cell)`` where groups differ
    points : columns of measured or planned runs
    cell : (n_point,) which cell of groups each point is in; by default there is only one
    """
    columns = model_columns(fit.law, fit.noise, points, size_of(fit.runs))
    count = len(next(iter(columns.values())))
    columns[CELL] = np.zeros(count, int) if cell is None else cell
    padded = {name: np.concatenate([x, np.repeat(x[-1:], -count % BLOCK, axis=0)]) for name, x in columns.items()}
    laws, scales = [], []
    with scope():
        device = {name: jnp.asarray(values) for name, values in theta.items()}
        for start in range(0, count, BLOCK):
            given = {name: jnp.asarray(values[start : start + BLOCK]) for name, values in padded.items()}
            law, scale = log_mean_and_scale(fit.model)(device, given)
            laws.append(np.asarray(law))
            scales.append(np.asarray(scale))
    return np.concatenate(laws, axis=1)[:, :count], np.concatenate(scales, axis=1)[:, :count]


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One law's part of an ensemble.

    Attributes
    ----------
    fit : the posterior
    weight : weight of the law
    theta : (n_draw,) draws of law and noise parameters
    paths : discrepancy of the law
    residuals : standardised residuals of new runs
    deviation : (n_draw, 1) standard deviation that all rows of a run share, 0 where rows are independent
    """

    fit: Fit
    weight: float
    theta: Mapping[str, np.ndarray]
    paths: Paths
    residuals: Residuals
    deviation: np.ndarray

    @classmethod
    @validated
    def of(cls, fit: Fit, weight: float, seed: Seed, group: Mapping[str, str] | None, unconverged: bool) -> Member:
        """Draw the paths of a fit."""
        fit.require_convergence(unconverged)
        theta = fit.theta(group, seed)
        count = len(next(iter(theta.values())))
        residuals = Residuals.of(fit.noise.shape, theta, count, seed)
        deviation = theta["sigma_curve"] if fit.noise.correlated else np.zeros(count)
        return cls(fit, weight, theta, Paths.on_grid(fit, seed), residuals, deviation[:, None])

    def __len__(self) -> int:
        return len(self.paths)

    @validated
    def take(self, draws: np.ndarray) -> Member:
        """Keep some draws, by index."""
        return dataclasses.replace(
            self,
            theta={name: values[draws] for name, values in self.theta.items()},
            paths=self.paths.take(draws),
            residuals=self.residuals.take(draws),
            deviation=self.deviation[draws],
        )

    @functools.cached_property
    def device(self) -> dict[str, Array]:
        """The draws as JAX arrays, in float64."""
        with scope():
            return {name: jnp.asarray(values) for name, values in self.theta.items()}

    def law_and_scale(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of the law and the scale of the noise at each point, ``(n_draw, n_point)`` each."""
        return law_and_scale(self.fit, self.device, points)

    def discrepancy(self, points: Points) -> np.ndarray:
        """Return the discrepancy, ``(n_draw, n_point)``, constant beyond the grid."""
        return self.paths.at(self.paths.total, log_size(self.fit.law, points))

    def new_run(self, points: Points) -> Predictive:
        """Return the distribution of the log loss of one new run at each point."""
        law, scale = self.law_and_scale(points)
        return Predictive.of(law + self.discrepancy(points), scale, self.residuals, self.deviation)

    @property
    def reads_batch(self) -> bool:
        """Whether the law reads the batch size, or the steps that follow from it."""
        return bool({"steps", "batch_tokens"} & set(self.fit.law.inputs))


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Posterior draws of the loss of any run, under one law or several.

    Attributes
    ----------
    members : by label, the laws with their weights; their draws are concatenated in this order
    loss_unit : unit of the losses
    best_loss : the lowest loss in the fitted table
    group : the group that the draws are for, where fits are pooled
    """

    members: Mapping[str, Member]
    loss_unit: str
    best_loss: float
    group: Mapping[str, str] = dataclasses.field(default_factory=dict)
    EXPECTED: ClassVar[str] = "an Ensemble, as from Ensemble.of(fit)"

    @classmethod
    @validated
    def of(
        cls,
        source: Fit | WeightedFits,
        seed: Seed = 0,
        *,
        group: Mapping[str, str] | None = None,
        unconverged: bool = False,
    ) -> Ensemble:
        """Take the draws of a fit, or draws of every law of a comparison in proportion to its weight.

        Parameters
        ----------
        source : a fit, or several with weights
        seed : of discrepancy paths and noise; the same seed gives the same ensemble
        group : which group of a pooled fit, ``{"dataset": "c4"}``
        unconverged : accept fits that did not converge

        Raises
        ------
        ConvergenceError
            When a fit did not converge.
        """
        runs = source.runs
        if isinstance(source, Fit):
            members = {source.law.label: Member.of(source, 1.0, seed, group, unconverged)}
            return cls(members, runs.loss_unit, float(runs.loss.min()), dict(group or {}))
        weights = used(source.weights)
        members = {name: Member.of(source.fits[name], w, seed, group, unconverged) for name, w in weights.items()}
        chosen = drawn_by_weight(weights, {name: len(member) for name, member in members.items()}, seed)
        members = {name: member.take(chosen[name]) for name, member in members.items()}
        return cls(members, runs.loss_unit, float(runs.loss.min()), dict(group or {}))

    @property
    def label(self) -> str:
        """Names of the laws, with their weights if there are several."""
        return label_of({name: member.weight for name, member in self.members.items()})

    def __len__(self) -> int:
        return sum(len(member) for member in self.members.values())

    @validated
    def take(self, draws: Sequence[int] | np.ndarray) -> Ensemble:
        """Keep some draws, by index over all members."""
        wanted, start, members = np.asarray(draws), 0, {}
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise PlanError(f"draws are counted from 0 to {len(self) - 1}; got {shown(draws)}")
        for name, member in self.members.items():
            inside = (wanted >= start) & (wanted < start + len(member))
            if inside.any():
                members[name] = member.take(wanted[inside] - start)
            start += len(member)
        if not wanted.size or wanted.min() < 0 or wanted.max() >= start:
            raise PlanError(f"draws are counted from 0 to {start - 1}; got {wanted.tolist()[:5]}")
        return dataclasses.replace(self, members=members)

    @validated
    def only(self, name: str) -> Ensemble:
        """Keep one of the laws."""
        if name not in self.members:
            raise PlanError(f"the ensemble has no law {shown(name)}; it has {', '.join(self.members)}")
        return dataclasses.replace(self, members={name: dataclasses.replace(self.members[name], weight=1.0)})

    @validated
    def points(self, **inputs: Any) -> Points:
        """Return planned runs as checked columns, one for each input that the laws read.

        Parameters
        ----------
        inputs : in raw units, numbers or rows of equal length; an input that follows from others (FLOPs from params
            and tokens, tokens from steps and batch, steps from tokens and batch) may be left out

        Raises
        ------
        PlanError
            When an input is missing or not a positive number.
        """
        may_be_zero = {name for member in self.members.values() for name in member.fit.law.may_be_zero}
        try:
            given = {name: np.atleast_1d(np.asarray(values, float)) for name, values in inputs.items()}
            given = dict(zip(given, np.broadcast_arrays(*given.values()), strict=True))
        except (TypeError, ValueError, OverflowError):
            raise PlanError("inputs of a run: expected numbers, or rows of equal length") from None
        for name, values in given.items():
            least = 0.0 if name in may_be_zero else math.ulp(0.0)
            if values.ndim != 1 or not (np.isfinite(values).all() and (values >= least).all()):
                raise PlanError(f"{name} of a run: expected positive numbers, or one row of them")
        given = derive_missing(given)[0]
        for member in self.members.values():
            missing = [name for name in member.fit.law.inputs if name not in given]
            if missing:
                raise PlanError(
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
    """Name the laws, with their weights if there are several."""
    if len(weights) == 1:
        return next(iter(weights))
    return "stack of " + ", ".join(f"{name} {weight:.0%}" for name, weight in weights.items())


def drawn_by_weight(weights: Mapping[str, float], counts: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Choose draws of each law by its weight, as indices; their total is the number of draws of the largest fit."""
    rng = np.random.default_rng([seed, 6])
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
