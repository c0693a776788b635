"""Ensemble: what the posterior says of the loss of any run.

Each draw is one law, one path along which the truth leaves it, and one width of the scatter of runs. The path is drawn
once, on a fixed grid of log sizes, so that it is the same function wherever it is asked.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
import scipy.special

from bayes_scaling.base.scope import scope
from bayes_scaling.data.columns import Points, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import PlanError
from bayes_scaling.inference.result import Fit, location_and_width
from bayes_scaling.laws.law import Array
from bayes_scaling.model.discrepancy import log_size
from bayes_scaling.model.noise import Scatter
from bayes_scaling.model.program import model_columns, size_of
from bayes_scaling.predict.forecast import departures_at
from bayes_scaling.predict.stacking import shares as draws_by_weight
from bayes_scaling.predict.stacking import weighted

BEYOND, STEPS = 30.0, 256  # e-folds beyond the largest fitted size along which paths are followed, and places there
PARTS = 4  # normal parts by which each draw's Student-t is represented
FAILED = 20.0  # widths: a run that scatters more than some such has failed, and is started again
BLOCK = 32  # points that are looked at together


class WeightedFits(Protocol):
    """Several fits of one table with weights, as a comparison hands them on."""

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
        """The table that all were fitted to."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Predictive:
    """Distribution of the log loss of one new run at each point: normal given a draw and a part of it.

    Attributes
    ----------
    location : (n_draw, n_point) centre of log loss
    width : (n_draw, n_part, n_point) scale of each part; parts of a draw count the same
    """

    location: np.ndarray
    width: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Centres as they broadcast over parts, ``(n_draw, 1, n_point)``."""
        return self.location[:, None]

    def standardised(self, loss: np.ndarray | float) -> np.ndarray:
        """Return the distance of a loss from each centre in widths, ``(n_draw, n_part, n_point)``."""
        return np.asarray((np.log(loss) - self.centre) / self.width)

    def losses(self, seed: int = 0) -> np.ndarray:
        """Draw one loss of each part, ``(n_draw * n_part, n_point)``."""
        noise = np.random.default_rng([seed, 12]).standard_normal(self.width.shape[:2])[:, :, None]
        return np.asarray(np.exp(self.centre + self.width * noise).reshape(-1, self.location.shape[1]))

    def some(self, every: int) -> Predictive:
        """Keep every so many draws."""
        return self if every == 1 else Predictive(self.location[::every], self.width[::every])

    def point(self, index: int) -> Predictive:
        """Return the distribution at one point."""
        return Predictive(self.location[:, [index]], self.width[:, :, [index]])


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One law's part of the beliefs.

    Attributes
    ----------
    fit : the posterior
    weight : share of belief in it
    theta : (n_draw,) draws of law and noise parameters
    grid : (n_grid,) log sizes where paths are held
    path : (n_draw, n_grid) log loss that the truth adds to the law there
    stretch : (n_draw, n_part) factors on the width of the noise: a Student-t is a normal of random width
    slow : (n_draw, 1, 1) further scatter that all rows of a run share, 0 where rows are independent
    """

    fit: Fit
    weight: float
    theta: Mapping[str, np.ndarray]
    grid: np.ndarray
    path: np.ndarray
    stretch: np.ndarray
    slow: np.ndarray

    @classmethod
    def of(cls, fit: Fit, weight: float, seed: int, group: Mapping[str, str] | None, unconverged: bool) -> Member:
        """Draw the paths of a fit."""
        fit.require_convergence(unconverged)
        theta = fit.theta(group, seed)
        count = len(next(iter(theta.values())))
        fitted = log_size(fit.law, {name: fit.runs.column(name) for name in fit.law.inputs})
        grid = np.linspace(fitted.min(), fitted.max() + BEYOND, STEPS)
        path = np.asarray(sum(departures_at(fit, grid, seed)))
        stretch = normal_parts(theta.get("nu", np.full(count, np.inf)), seed)
        slow = theta["sigma_curve"] if fit.noise.rows == "correlated" else np.zeros(count)
        return cls(fit, weight, theta, grid, np.broadcast_to(path, (count, STEPS)), stretch, slow[:, None, None])

    def take(self, draws: np.ndarray) -> Member:
        """Keep some draws, by index."""
        theta = {name: values[draws] for name, values in self.theta.items()}
        return dataclasses.replace(
            self, theta=theta, path=self.path[draws], stretch=self.stretch[draws], slow=self.slow[draws]
        )

    @functools.cached_property
    def device(self) -> dict[str, Array]:
        """The draws as JAX arrays; for use inside the scope."""
        return {name: jnp.asarray(values) for name, values in self.theta.items()}

    def law_and_width(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of the law and the width of the noise at each point, ``(n_draw, n_point)`` each."""
        columns = model_columns(self.fit.law, self.fit.noise, points, size_of(self.fit.runs))
        count = len(next(iter(points.values())))
        columns["cell"] = np.zeros(count, int)
        padded = {name: np.concatenate([x, np.repeat(x[-1:], -count % BLOCK, axis=0)]) for name, x in columns.items()}
        laws, widths = [], []
        with scope():
            for start in range(0, count, BLOCK):
                given = {name: jnp.asarray(values[start : start + BLOCK]) for name, values in padded.items()}
                law, width = location_and_width(self.fit.model)(self.device, given)
                laws.append(np.asarray(law))
                widths.append(np.asarray(width))
        return np.concatenate(laws, axis=1)[:, :count], np.concatenate(widths, axis=1)[:, :count]

    def departure(self, points: Points) -> np.ndarray:
        """Return how far the truth lies from the law, ``(n_draw, n_point)``, held constant off the grid."""
        sizes = log_size(self.fit.law, points)
        place = np.clip((sizes - self.grid[0]) / (self.grid[1] - self.grid[0]), 0, STEPS - 1)
        before = np.minimum(place.astype(int), STEPS - 2)
        share = place - before
        return np.asarray((1 - share) * self.path[:, before] + share * self.path[:, before + 1])

    @property
    def reads_batch(self) -> bool:
        """Whether the law reads the batch, or the steps that follow from it."""
        return bool({"steps", "batch_tokens"} & set(self.fit.law.inputs))


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Draws of what any run would reach.

    Attributes
    ----------
    members : by label, the laws that share the belief; their draws stand one after the other
    loss_unit : of the losses
    best_loss : the lowest loss in the fitted table
    """

    members: Mapping[str, Member]
    loss_unit: str
    best_loss: float

    @classmethod
    def of(
        cls,
        source: Fit | WeightedFits,
        seed: int = 0,
        *,
        group: Mapping[str, str] | None = None,
        unconverged: bool = False,
    ) -> Ensemble:
        """Take the beliefs of a fit, or those of a comparison: its laws, by their weights.

        Parameters
        ----------
        source : posterior, or several with weights
        seed : of paths and noise; the same seed gives the same beliefs
        group : which group of a pooled fit, ``{"dataset": "c4"}``
        unconverged : go on with fits that did not converge

        Raises
        ------
        ConvergenceError
            When a fit did not converge.
        """
        runs = source.runs
        if isinstance(source, Fit):
            members = {source.law.label: Member.of(source, 1.0, seed, group, unconverged)}
            return cls(members, runs.loss_unit, float(runs.loss.min()))
        asked = weighted(source.weights)
        members = {name: Member.of(source.fits[name], w, seed, group, unconverged) for name, w in asked.items()}
        count = max(len(member.path) for member in members.values())
        rng = np.random.default_rng([seed, 6])
        for name, share in zip(asked, draws_by_weight(np.array(list(asked.values())), count), strict=True):
            there = len(members[name].path)
            members[name] = members[name].take(rng.choice(there, share, replace=share > there))
        return cls(members, runs.loss_unit, float(runs.loss.min()))

    @property
    def label(self) -> str:
        """Names of the laws, with their weights where there are several."""
        if len(self.members) == 1:
            return next(iter(self.members))
        return "stack of " + ", ".join(f"{name} {member.weight:.0%}" for name, member in self.members.items())

    def __len__(self) -> int:
        return sum(len(member.path) for member in self.members.values())

    def take(self, draws: Sequence[int] | np.ndarray) -> Ensemble:
        """Keep some draws, by their index over all members."""
        wanted, start, members = np.asarray(draws, int), 0, {}
        for name, member in self.members.items():
            inside = (wanted >= start) & (wanted < start + len(member.path))
            if inside.any():
                members[name] = member.take(wanted[inside] - start)
            start += len(member.path)
        if not wanted.size or wanted.min() < 0 or wanted.max() >= start:
            raise PlanError(f"draws are counted from 0 to {start - 1}; got {wanted.tolist()[:5]}")
        return dataclasses.replace(self, members=members)

    def only(self, name: str) -> Ensemble:
        """Believe one of the laws."""
        return dataclasses.replace(self, members={name: dataclasses.replace(self.members[name], weight=1.0)})

    def points(self, **inputs: Any) -> Points:
        """Return runs by what the laws read of them, one row of numbers for each input, checked.

        Parameters
        ----------
        inputs : in raw units, numbers or equally long rows; what follows from the others (FLOPs from params and
            tokens, tokens from steps and batch, steps from tokens and batch) may be left out

        Raises
        ------
        PlanError
            When an input is missing or not a positive number.
        """
        may_be_zero = {name for member in self.members.values() for name in member.fit.law.may_be_zero}
        try:
            given = {name: np.atleast_1d(np.asarray(values, float)) for name, values in inputs.items()}
            given = dict(zip(given, np.broadcast_arrays(*given.values()), strict=True))
        except (TypeError, ValueError):
            raise PlanError("inputs of a run: expected numbers, or equally long rows of them") from None
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
        """Return the log of the law at each point, ``(n_draw, n_point)``, without the path of the truth."""
        return np.concatenate([member.law_and_width(points)[0] for member in self.members.values()])

    def departure(self, points: Points) -> np.ndarray:
        """Return how far the truth lies from the law at each point, in log loss, ``(n_draw, n_point)``."""
        return np.concatenate([member.departure(points) for member in self.members.values()])

    def log_mean(self, points: Points) -> np.ndarray:
        """Return the log of the expected loss at each point, ``(n_draw, n_point)``: law and path."""
        return np.asarray(self.log_law(points) + self.departure(points))

    def new_run(self, points: Points) -> Predictive:
        """Return the distribution of the log loss of one new run at each point, in normal parts."""
        parts = max(member.stretch.shape[1] for member in self.members.values())
        locations, widths = [], []
        for member in self.members.values():
            law, width = member.law_and_width(points)
            locations.append(law + member.departure(points))
            spread = np.hypot(width[:, None] * member.stretch[:, :, None], member.slow)
            widths.append(np.broadcast_to(spread, (len(law), parts, law.shape[1])))
        return Predictive(np.concatenate(locations), np.concatenate(widths))

    def scatter(self, points: Points) -> Scatter:
        """Return the distribution of the log loss of one new run at each point, as Student-t."""
        locations, widths, tails = [], [], []
        for member in self.members.values():
            law, width = member.law_and_width(points)
            locations.append(law + member.departure(points))
            widths.append(np.hypot(width, member.slow[:, 0]))
            nu = member.theta["nu"] if member.fit.noise.family == "student_t" else np.full(len(law), np.inf)
            tails.append(np.broadcast_to(nu[:, None], law.shape))
        return Scatter(np.concatenate(locations), np.concatenate(widths), np.concatenate(tails))


def normal_parts(nu: np.ndarray, seed: int) -> np.ndarray:
    """Return factors on the width of normals that together are a Student-t of each draw, ``(n_draw, n_part)``.

    Parameters
    ----------
    nu : (n_draw,) degrees of freedom, all infinite for a normal
    """
    if np.isinf(nu).all():
        return np.ones((len(nu), 1))
    rng = np.random.default_rng([seed, 11])
    shares = (np.arange(PARTS) + rng.uniform(size=(len(nu), PARTS))) / PARTS
    half = nu[:, None] / 2
    return np.asarray(np.sqrt(half / np.maximum(scipy.special.gammaincinv(half, shares), half / FAILED**2)))
