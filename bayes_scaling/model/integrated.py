"""The model with the discrepancy integrated out: exact, and with far fewer coordinates, where noise is normal.

Given the other parameters theta, the increments z of the discrepancy are standard normal and the residuals of log loss
from the law are tau basis z plus normal noise. So the residuals alone are normal, and so are the increments given them:

    log density = sum log N(e; 0, 1) - sum log scale - log det(P) / 2 + b' P^-1 b / 2
    z given all else ~ Normal(P^-1 b, P^-1),  P = 1 + tau^2 W' W,  b = tau W' e

with e and W the residual and the basis as independent rows of unit scale (`Noise.whitened`). The sampler sees theta
alone; increments are drawn afterwards, one exact draw for each draw of theta. The funnel between tau and the
increments, which takes long to sample, is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpyro
from jax.scipy.linalg import cho_solve, cholesky, solve_triangular

from bayes_scaling.base.programs import STORE
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import BASIS, LOG_LOSS, Priors
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model


@dataclasses.dataclass(frozen=True, eq=False)
class Integrated(Model):
    """A model whose increments are integrated out; its coordinates are those of the whole model without them.

    Attributes
    ----------
    whole : the model with increments, whose last coordinates they are
    """

    whole: Model

    def _observe(self, theta: Mapping[str, Any], data: Observations) -> None:
        numpyro.factor(LOG_LOSS, self.log_likelihood(theta, data))

    def log_likelihood(self, theta: Mapping[str, Any], data: Observations) -> Array:
        """Return the log density of the log losses at ``theta``, whatever the increments are."""
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

    def increments_given(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, Array]:
        """Return mean, ``(size,)``, and lower Cholesky factor of the precision, of the increments given all else."""
        _, _, factor, pull = self._learned(theta, data)
        return cho_solve((factor, True), pull), factor

    def completed(self, u: Array, white: Array, data: Observations, priors: Priors) -> Array:
        """Return the increments, ``(size,)``, of a draw ``u`` and of standard normals ``white``, ``(size,)``."""
        mean, factor = self.increments_given(self.constrain(u, data, priors), data)
        increments: Array = mean + solve_triangular(factor, white, lower=True, trans="T")
        return increments

    def _learned(self, theta: Mapping[str, Any], data: Observations) -> tuple[Array, Array, Array, Array]:
        """Return residuals as independent rows, log scales, and the Cholesky factor of P, and b."""
        residual = data.log_loss - self.log_course(theta, data.columns)
        noise = self._by_row({row.name: theta[row.name] for row in self.noise.parameters}, data.columns)
        white, log_scale = self.noise.whitened(residual, data.columns[BASIS], noise, data.columns, data.weight)
        left, basis = white[:, 0], theta["tau"] * white[:, 1:]
        factor = cholesky(jnp.eye(basis.shape[1]) + basis.T @ basis, lower=True)
        return left, log_scale, factor, basis.T @ left


def integrated(model: Model) -> Integrated:
    """Return a model with its increments integrated out; one object for each model."""
    shared = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    return STORE.model((Integrated, model), lambda: Integrated(**{**shared, "increments": 0}, whole=model))
