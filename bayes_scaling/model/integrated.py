"""The model with all that is linear integrated out: exact, and with far fewer coordinates, where noise is normal.

Given the other parameters theta, the increments of the discrepancy and the coefficients of the start of curves are
normal, and log losses are the log of the law plus a linear function of them plus normal noise. With z the increments,
and the coefficients over their prior scale s, all standard normal, the residuals of log loss from the law are W z plus
noise; columns of W are the basis of each path times its tau, and s times what a coefficient multiplies. So the
residuals alone are normal, and so is z given them:

    log density = sum log N(e; 0, 1) - sum log scale - log det(P) / 2 + b' P^-1 b / 2
    z given all else ~ Normal(P^-1 b, P^-1),  P = 1 + W' W,  b = W' e

with e and W as independent rows of unit scale (`Noise.whitened`). The sampler sees theta alone; z is drawn afterwards,
one exact draw for each draw of theta. The funnel between tau and the increments, which takes long to sample, is gone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
from jax.scipy.linalg import cho_solve, cholesky, solve_triangular

from bayes_scaling.base.programs import STORE
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.laws.parameters import Derived, Parameter
from bayes_scaling.model.composition import BASIS, LOG_LOSS, Priors
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

AT_A_TIME = 8  # increments, as which more are compiled


@dataclasses.dataclass(frozen=True, eq=False)
class Integrated(Model):
    """A model with what is linear integrated out; its coordinates are those of the whole model without that.

    Attributes
    ----------
    whole : the model with increments and with coefficients of the start of curves
    learned : increments of each path that a table says something about, its first ones, rounded up so that few shapes
        are compiled
    """

    whole: Model
    learned: tuple[int, ...]

    @functools.cached_property
    def coefficients(self) -> Mapping[str, float]:
        """Coefficients of the start of curves with the scale of their normal prior; none where groups differ in one."""
        start_of_curves = self.noise.start_of_curves
        if start_of_curves is None or any(name in self.pools for name in start_of_curves.terms):
            return {}
        return {
            row.name: float(row.prior.scale) for row in start_of_curves.parameters if row.name in start_of_curves.terms
        }

    @functools.cached_property
    def rows(self) -> tuple[Parameter | Derived, ...]:
        """Rows of the whole model without the coefficients."""
        return tuple(row for row in self.whole.rows if row.name not in self.coefficients)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters of the whole model without the coefficients."""
        return tuple(name for name in self.whole.names if name not in self.coefficients)

    @functools.cached_property
    def kept(self) -> np.ndarray:
        """Positions of the coordinates among those of the whole model, ``(n_coordinate,)``."""
        return np.array([self.whole.sites.index(site) for site in self.sites])

    @functools.cached_property
    def chosen(self) -> np.ndarray:
        """Positions of the increments that are learned among those of the whole model."""
        starts = np.cumsum([0, *(axis.most_knots for axis in self.whole.axes)])
        blocks = [start + np.arange(count) for start, count in zip(starts, self.learned, strict=False)]
        return np.concatenate([np.zeros(0, int), *blocks])

    @property
    def size(self) -> int:
        """How many standard normals are integrated out: increments, then coefficients."""
        return len(self.chosen) + len(self.coefficients)

    def whole_coordinates(self, u: np.ndarray, standard: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the coordinates of the whole model, ``(n, coordinate)``, in the standard geometry.

        Parameters
        ----------
        u : (n, coordinate of this model)
        standard : (n, size) draws of what was integrated out, as of `completed`
        rng : for increments that the table says nothing about
        """
        sites, increments = self.whole.sites, self.whole.increments
        whole = np.empty((len(u), len(sites)))
        whole[:, self.kept] = u
        if increments:
            whole[:, -increments:] = rng.standard_normal((len(u), increments))
            whole[:, len(sites) - increments + self.chosen] = standard[:, : len(self.chosen)]
        for (name, scale), values in zip(self.coefficients.items(), standard.T[len(self.chosen) :], strict=True):
            whole[:, sites.index(name)] = scale * values
        return whole

    def _observe(self, theta: Mapping[str, Any], data: Observations) -> None:
        numpyro.factor(LOG_LOSS, self.log_likelihood(theta, data))

    def log_likelihood(self, theta: Mapping[str, Any], data: Observations) -> Array:
        """Return the log density of the log losses at ``theta``, whatever is linear may be."""
        left, log_scale, factor, pull = self._learned(theta, data)
        gained = solve_triangular(factor, pull, lower=True)
        half_log_two_pi = 0.5 * jnp.log(2 * jnp.pi) * jnp.sum(data.weight)
        likelihood: Array = (
            (gained @ gained - left @ left) / 2
            - jnp.sum(jnp.log(jnp.diag(factor)))
            - jnp.sum(log_scale)
            - half_log_two_pi
        )
        return likelihood

    def standard_given(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, Array]:
        """Return mean, ``(size,)``, and lower Cholesky factor of the precision, of what is linear given all else."""
        _, _, factor, pull = self._learned(theta, data)
        return cho_solve((factor, True), pull), factor

    def completed(self, u: Array, white: Array, data: Observations, priors: Priors) -> Array:
        """Return a draw of what is linear, ``(size,)``, given a draw ``u`` and standard normals ``white``, ``(size,)``.

        Increments come first, then coefficients over their scale.
        """
        mean, factor = self.standard_given(self.constrain(u, data, priors), data)
        standard: Array = mean + solve_triangular(factor, white, lower=True, trans="T")
        return standard

    def _learned(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, Array, Array, Array]:
        """Return residuals as independent rows, log scales, and the Cholesky factor of P, and b."""
        of_noise = [row.name for row in self.noise.parameters if row.name not in self.coefficients]
        noise = self._by_row({name: theta[name] for name in of_noise}, data.columns)
        residual = data.log_loss - self.log_law(theta, data.columns)
        multiplied, scales = [], []
        if self.learned:
            multiplied.append(data.columns[BASIS][:, self.chosen])
            for axis, count in zip(self.whole.axes, self.learned, strict=True):
                scales.append(jnp.broadcast_to(theta[axis.scale], (count,)))
        if self.coefficients and self.noise.start_of_curves is not None:
            columns = self.noise.start_of_curves.design(noise, data.columns)
            multiplied.append(jnp.stack([columns[name] for name in self.coefficients], axis=1))
            scales.append(jnp.array([*self.coefficients.values()]))
        white, log_scale = self.noise.whitened(residual, multiplied, noise, data.columns, data.weight)
        left, basis = white[:, 0], jnp.concatenate(scales) * white[:, 1:]
        factor = cholesky(jnp.eye(self.size) + basis.T @ basis, lower=True)
        return left, log_scale, factor, basis.T @ left


def integrated(model: Model, data: Observations) -> Integrated:
    """Return a model with what is linear integrated out, for tables like this one; one object for each model."""
    told = np.any(np.asarray(data.columns[BASIS]) != 0, axis=0) if model.axes else np.zeros(0, bool)
    of_paths = np.split(told, np.cumsum([axis.most_knots for axis in model.axes])[:-1]) if model.axes else []
    learned = tuple(
        min(max(-(-int(own.sum()) // AT_A_TIME), 1) * AT_A_TIME, axis.most_knots)
        for axis, own in zip(model.axes, of_paths, strict=True)
    )
    shared = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    pieces = {**shared, "axes": ()}
    return STORE.model((Integrated, model, learned), lambda: Integrated(**pieces, whole=model, learned=learned))
