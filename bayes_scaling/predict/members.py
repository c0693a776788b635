"""Members of ensembles: the draws of one law, its discrepancy and its noise, that predict any run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.scope import scope
from bayes_scaling.data.columns import Points
from bayes_scaling.errors import ForecastError
from bayes_scaling.inference.compiled import log_mean_and_scale
from bayes_scaling.inference.result import Fit
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import CELL
from bayes_scaling.model.observations import model_columns
from bayes_scaling.predict.paths import Paths
from bayes_scaling.predict.predictive import Predictive, Residuals

POINTS_AT_ONCE = 32  # points that are evaluated together


def padded(draws: np.ndarray | Array) -> Array:
    """Return draws as a JAX array, the last one repeated until their number is a power of two.

    How many draws a law has in an ensemble follows from its weight. Programs are compiled for few such numbers.
    """
    beyond = (1 << (len(draws) - 1).bit_length()) - len(draws)
    return jnp.asarray(np.concatenate([draws, np.repeat(draws[-1:], beyond, axis=0)]) if beyond else draws)


def law_and_scale(
    fit: Fit, theta: Mapping[str, np.ndarray | Array], points: Points, cell: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of the law and the scale of the noise at points, ``(n_draw, n_point)`` each, block by block.

    Parameters
    ----------
    theta : draws of law and noise parameters, ``(n_draw,)``, or ``(n_draw, n_cell)`` where groups differ
    points : columns of measured or planned runs; rows without ``run`` are runs of their own
    cell : (n_point,) which cell of groups each point is in; by default there is only one

    Raises
    ------
    ForecastError
        When the noise reads a size that the points lack.
    """
    if "noise.relative_size" in fit.noise.columns and fit.yardstick.size not in points:
        raise ForecastError(f"noise that grows towards small runs needs {fit.yardstick.size} of each planned run")
    count, most = len(next(iter(points.values()))), len(next(iter(theta.values())))
    columns = model_columns(fit.law, fit.noise, {"run": np.arange(count), **points}, fit.yardstick)
    columns[CELL] = np.zeros(count, int) if cell is None else cell
    blocks = {
        name: np.concatenate([x, np.repeat(x[-1:], -count % POINTS_AT_ONCE, axis=0)]) for name, x in columns.items()
    }
    laws, scales = [], []
    with scope():
        device = {name: padded(values) for name, values in theta.items()}
        for start in range(0, count, POINTS_AT_ONCE):
            given = {name: jnp.asarray(values[start : start + POINTS_AT_ONCE]) for name, values in blocks.items()}
            law, scale = log_mean_and_scale(fit.model)(device, given)
            laws.append(np.asarray(law)[:most])
            scales.append(np.asarray(scale)[:most])
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
    draws : (n_draw,) which draws of the fit these are
    """

    fit: Fit
    weight: float
    theta: Mapping[str, np.ndarray]
    paths: Paths
    residuals: Residuals
    deviation: np.ndarray
    draws: np.ndarray

    @classmethod
    @validated
    def of(cls, fit: Fit, weight: float, seed: Seed, group: Mapping[str, str] | None, unconverged: bool) -> Member:
        """Draw the paths of a fit."""
        fit.require_convergence(unconverged)
        theta = fit.theta(group, seed)
        count = len(next(iter(theta.values())))
        residuals = Residuals.of(fit.noise.scatter_family, theta, count, seed)
        deviation = theta["sigma_curve"] if fit.noise.correlated else np.zeros(count)
        return cls(fit, weight, theta, Paths.on_grid(fit, seed), residuals, deviation[:, None], np.arange(count))

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
            draws=self.draws[draws],
        )

    @functools.cached_property
    def device(self) -> dict[str, Array]:
        """The draws as JAX arrays, in float64, `padded`."""
        with scope():
            return {name: padded(values) for name, values in self.theta.items()}

    def law_and_scale(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of the law and the scale of the noise at each point, ``(n_draw, n_point)`` each."""
        law, scale = law_and_scale(self.fit, self.device, points)
        return law[: len(self)], scale[: len(self)]

    def discrepancy(self, points: Points) -> np.ndarray:
        """Return the discrepancy, ``(n_draw, n_point)``, constant beyond the grid."""
        return self.paths.at(self.fit.discrepancy.places(self.fit.law, points))

    def new_run(self, points: Points) -> Predictive:
        """Return the distribution of the log loss of one new run at each point."""
        law, scale = self.law_and_scale(points)
        return Predictive.of(law + self.discrepancy(points), scale, self.residuals, self.deviation)

    @property
    def reads_batch(self) -> bool:
        """Whether the law reads the batch size, or the steps that follow from it."""
        return bool({"steps", "batch_tokens"} & set(self.fit.law.inputs))
