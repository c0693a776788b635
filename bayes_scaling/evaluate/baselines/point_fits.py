"""Point fits of a law, the way practitioners make them, as predictive distributions that are scored like our posterior.

A point fit has no prior: the constants that fit best, a bootstrap over runs for their spread, and the size of the
residuals for the scatter of a new run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import shown
from bayes_scaling.base.programs import compiled
from bayes_scaling.base.scope import scope
from bayes_scaling.base.streams import POINT_FITS, stream
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import Origin, numeric
from bayes_scaling.errors import DataError, FitError
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import Parameter, resolve
from bayes_scaling.laws.priors import as_distribution, draw_prior
from bayes_scaling.model.composition import Composition, Priors, priors_of
from bayes_scaling.model.discrepancy import Discrepancy
from bayes_scaling.model.noise import Noise
from bayes_scaling.model.observations import Observations, observe
from bayes_scaling.model.program import Model, model_of
from bayes_scaling.predict.predictive import Predictive, Residuals

LOSSES: Mapping[str, str] = {"huber": "Huber point fit", "squares": "least squares"}
"""What a point fit can minimise, and what it is then called."""

DELTA = 1e-3  # log loss where Huber's loss turns from a parabola into a line; the unit of residuals below
STARTS = 24  # draws of the prior that are descended from
REACH = 12.0  # how far beyond those draws, on the line, an optimum may lie: shares of 0 or 1 would run off for ever
AT_ONCE = 24  # descents; the slowest of them keeps the others waiting
MOST_STEPS = 200  # of a descent; 40 settle nearly all, small tables under Huber's loss creep along its corners
LONGEST = 2.0  # step on the line; a doubling of an exponent is 0.7
LEAST_GAIN = 1e-8  # share of the cost that a step takes away, below which a descent has settled
LEAST_GAIN_AT_LAST = 1e-12  # the same, of the table itself
MOST_DAMPING = 1e9
LEAST_SIGMA = 1e-12  # of log loss: a law that passes through every run still has a density


@dataclasses.dataclass(frozen=True, eq=False)
class PointFit:
    """A law at the constants that fit best, with a bootstrap over runs.

    Attributes
    ----------
    label : what was minimised, and the law
    law : the law
    theta : value of every parameter of the law at the optimum
    bootstrap : (n_boot,) by parameter, optima of tables whose runs were drawn with replacement, with all their rows
    sigma : scale of the residuals of log loss at the optimum: 1.4826 times the median of their sizes for Huber's
        loss, their root mean square for least squares
    objective : sum over rows, at the optimum, of ``r^2 / 2`` for ``|r| <= 1e-3`` and ``1e-3 (|r| - 1e-3 / 2)`` beyond
        (Huber; r is the residual of log loss), or of ``r^2 / 2`` throughout (least squares)
    """

    label: str
    law: Law
    theta: dict[str, float]
    bootstrap: dict[str, np.ndarray]
    sigma: float
    objective: float

    @validated
    def predict(self, points: Mapping[str, Any]) -> Predictive:
        """Return the predictive distribution of the loss of new runs, a mixture over the bootstrap.

        Parameters
        ----------
        points : (n_point,) by input of the law, in raw units; and ``run``, where the law reads whole curves

        Returns
        -------
        Predictive
            Normal in log loss, ``(n_boot, n_point)``: the law at each replicate's constants, and `sigma` around it.

        Raises
        ------
        DataError
            When an input of the law is missing, or is not a positive number.
        """
        location = log_losses(self.law, self.bootstrap, points)
        return Predictive.of(location, np.full(location.shape, self.sigma), Residuals.normal(len(location)))


def log_losses(law: Law, theta: Mapping[str, np.ndarray], points: Mapping[str, Any]) -> np.ndarray:
    """Return the log of the law at points, ``(n_draw, n_point)``.

    Parameters
    ----------
    theta : (n_draw,) by parameter
    points : as of `PointFit.predict`
    """
    missing = [name for name in law.inputs if name not in points]
    if missing:
        raise DataError(f"law {law.label} needs {', '.join(law.inputs)} of each point; {missing[0]} is missing")
    given = pd.DataFrame({name: np.atleast_1d(points[name]) for name in law.inputs})
    given = numeric(given, law.inputs, Origin("the points", {}), law.may_be_zero)
    table = {name: given[name].to_numpy(float) for name in law.inputs}
    if "run" in points:
        table["run"] = pd.factorize(np.asarray(points["run"]))[0]
    with scope():
        columns = {name: jnp.asarray(values) for name, values in law.arrays(table).items()}
        draws = {name: jnp.asarray(values) for name, values in theta.items()}
        return np.asarray(_log_law(model_of(_composition(law)))(draws, columns))


@validated
def point_fit(
    law: Law, runs: Runs, *, loss: str = "huber", bootstrap: int = 200, seed: Seed = 0, like_rows: int | None = None
) -> PointFit:
    """Fit a law's constants by minimising a loss of the residuals of log loss, without any prior.

    With ``huber`` and the Chinchilla law this is approach 3 of Hoffmann et al. 2022 (arXiv 2203.15556), done to the end
    as in Besiroglu et al. 2024 (arXiv 2404.10102). Priors only say where to start, and the bijections of their supports
    on which line to search. Replicates of the bootstrap descend from the optimum of the table.

    Parameters
    ----------
    law : the law
    runs : the table
    loss : ``huber``, with its corner at 1e-3, or ``squares``
    bootstrap : number of replicates
    seed : of the starts and of the bootstrap
    like_rows : compile for a table of this many rows, so that fits to parts of one table share a program

    Raises
    ------
    DataError
        When the table lacks a column that the law reads, or has no more rows than the law has parameters.
    FitError
        When there is no such loss, no replicate, or no start at which the law gives losses.
    """
    if loss not in LOSSES:
        raise FitError(f"loss {shown(loss)} of a point fit is not known; choose one of {', '.join(LOSSES)}")
    if bootstrap < 1:
        raise FitError(f"a bootstrap of {bootstrap} replicates is empty; take at least 1, usually 200")
    if len(runs) <= len(law.sampled):
        raise DataError(
            f"{runs.source} has {len(runs)} rows for the {len(law.sampled)} parameters of law {law.label}; a point fit "
            "needs more rows than parameters"
        )
    composition = _composition(law)
    drawn = _bootstrap_counts(runs, bootstrap, seed)
    with scope():
        model, data, priors = model_of(composition), observe(composition, runs, like_rows), priors_of(composition)
        starts = _starts(law, stream(seed, POINT_FITS))
        bounds = starts.min(axis=0) - REACH, starts.max(axis=0) + REACH
        own = np.resize(data.weight, (STARTS, len(data.log_loss)))
        least_gain = np.full(STARTS, LEAST_GAIN)
        ends, costs = _descended(model, loss, (starts, own, least_gain), bounds, data, priors)
        if not np.isfinite(costs.min()):
            raise FitError(
                f"law {law.label} gives no losses for {runs.source} at any of {STARTS} draws of its prior; "
                "check its priors"
            )
        # The table itself goes along as the first replicate, which polishes the optimum at no cost.
        weight = np.zeros((1 + bootstrap, len(data.log_loss)))
        weight[0], weight[1:, : len(runs)] = data.weight, drawn
        again = np.resize(ends[np.argmin(costs)], (len(weight), ends.shape[1]))
        least_gain = np.append(LEAST_GAIN_AT_LAST, np.full(bootstrap, LEAST_GAIN))
        settled, _ = _descended(model, loss, (again, weight, least_gain), bounds, data, priors)
        constants, residuals = _at(model)(settled, data, priors)
        theta = {name: np.array(values) for name, values in constants.items()}
        residual = np.asarray(residuals)[0, : len(runs)]
        objective = DELTA**2 * float(jnp.sum(_rho(loss, jnp.asarray(residual))))
    size = 1.4826 * np.median(np.abs(residual)) if loss == "huber" else np.sqrt(np.mean(residual**2))
    return PointFit(
        label=f"{LOSSES[loss]} of {law.label}",
        law=law,
        theta={name: float(values[0]) for name, values in theta.items()},
        bootstrap={name: values[1:] for name, values in theta.items()},
        sigma=max(DELTA * float(size), LEAST_SIGMA),
        objective=objective,
    )


def _bootstrap_counts(runs: Runs, replicates: int, seed: int) -> np.ndarray:
    """Draw runs with replacement, and return how often each row is in each replicate, ``(n_replicate, n_row)``.

    The stream is of its own, so that every law sees the same replicates of a table.
    """
    run = pd.factorize(np.array(runs.labels))[0]
    count = run.max() + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)[:, run]


def _composition(law: Law) -> Composition:
    """Return the law alone; noise has no part in a point fit, and normal noise has the fewest parameters to carry."""
    return Composition(law, Noise("normal"), Discrepancy("none"), {})


def _starts(law: Law, rng: np.random.Generator) -> np.ndarray:
    """Draw points on the line from the prior, ``(n_start, n_site)``."""
    lines = [dist.biject_to(row.prior.support).inv(draw_prior(row.prior, rng, STARTS)) for row in law.sampled]
    return np.stack([np.asarray(line, float) for line in lines], axis=1)


def _descended(
    model: Model,
    loss: str,
    each: tuple[np.ndarray, np.ndarray, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
    data: Observations,
    priors: Priors,
) -> tuple[np.ndarray, np.ndarray]:
    """Descend from every start, `AT_ONCE` by one program, whatever their number.

    Parameters
    ----------
    each : start, ``(n_start, n_site)``, weights of rows, ``(n_start, n_padded)``, and least gain, ``(n_start,)``

    Returns
    -------
    tuple
        Where each ended, ``(n_start, n_site)``, and the cost there, ``(n_start,)``, infinite without losses.
    """
    descend, count, ends, costs = _descend(model, loss), len(each[0]), [], []
    for first in range(0, count, AT_ONCE):
        some = np.arange(first, first + AT_ONCE) % count
        end, cost = descend(*(values[some] for values in each), *bounds, data, priors)
        ends.append(np.asarray(end))
        costs.append(np.asarray(cost))
    return np.concatenate(ends)[:count], np.concatenate(costs)[:count]


# --- compiled functions, one per model and loss -------------------------------------------------------------------


class Descent(NamedTuple):
    """Where a descent is: place, cost, damping, what the last step taken gained, and how many were tried."""

    u: Array
    value: Array
    damping: Array
    gain: Array
    steps: Array


def _constants(model: Model, u: Any, data: Observations, priors: Priors) -> dict[str, Array]:
    """Return the law's parameters at a point of the line, ``(n_site,)``."""
    rows = [row for row in model.law_rows if isinstance(row, Parameter)]
    supports = [as_distribution(priors[row.site]).support for row in rows]
    draws = {
        row.site: dist.biject_to(support)(u[i]) for i, (row, support) in enumerate(zip(rows, supports, strict=True))
    }
    values = resolve(model.law_rows, draws, data.at)
    return {name: values[name] for name in model.law_names}


def _residual(model: Model, u: Any, data: Observations, priors: Priors) -> Array:
    """Return the residual of log loss of each row in units of `DELTA`, ``(n_padded,)``.

    In these units the mean cost is about one, and the corner of Huber's loss lies at one.
    """
    residual: Array = (data.log_loss - model.log_law(_constants(model, u, data, priors), data.columns)) / DELTA
    return residual


def _rho(loss: str, residual: Array) -> Array:
    """Return what each residual costs, in units of ``DELTA**2``."""
    size = jnp.abs(residual)
    return jnp.where(size <= 1, residual**2 / 2, size - 0.5) if loss == "huber" else residual**2 / 2


def _reweighting(loss: str, residual: Array) -> Array:
    """Return the weight with which a square stands in for what each residual costs."""
    return 1 / jnp.maximum(jnp.abs(residual), 1.0) if loss == "huber" else jnp.ones_like(residual)


@compiled
def _at(model: Model) -> Any:
    """Return the compiled function from points of the line to constants and residuals."""

    def at(u: Any, data: Observations, priors: Priors) -> tuple[dict[str, Array], Array]:
        return _constants(model, u, data, priors), _residual(model, u, data, priors)

    return jax.jit(jax.vmap(at, (0, None, None)))


@compiled
def _log_law(model: Model) -> Any:
    return jax.jit(jax.vmap(model.log_law, (0, None)))


@compiled
def _descend(model: Model, loss: str) -> Any:
    """Return the compiled descents, each from its start, ``(n_site,)``, with its weights of rows, ``(n_padded,)``.

    Damped Gauss-Newton steps (Levenberg-Marquardt), on squares that are reweighted at every step for Huber's loss. A
    step that does not lower the objective, or is not a number, is not taken.
    """

    def descend(
        start: Any, weight: Any, least_gain: Any, low: Any, high: Any, data: Observations, priors: Priors
    ) -> tuple[Array, Array]:
        def residual(u: Any) -> Array:
            return _residual(model, u, data, priors)

        def cost(u: Any) -> Array:
            mean: Array = jnp.sum(weight * _rho(loss, residual(u))) / jnp.sum(weight)
            return jnp.where(jnp.isfinite(mean), mean, jnp.inf)

        def goes_on(state: Descent) -> Array:
            moves: Array = (state.gain > least_gain) & (state.damping < MOST_DAMPING) & (state.steps < MOST_STEPS)
            return moves

        def step(state: Descent) -> Descent:
            u, damping = state.u, state.damping
            now, slopes = residual(u), jax.jacfwd(residual)(u)
            reweighted = weight * _reweighting(loss, now)
            uphill = slopes.T @ (reweighted * now)
            curvature = slopes.T @ (reweighted[:, None] * slopes)
            # What would leave the bounds stays, so that the others move as if it were not there.
            free = jnp.where(uphill > 0, u > low, u < high)
            curvature = curvature * free * free[:, None]
            scale = jnp.diag(curvature)
            # The second term keeps directions that the replicate does not inform where they are.
            ridge = jnp.diag(jnp.where(free, damping * scale + 1e-12 * jnp.max(scale), 1.0))
            move = -jnp.linalg.solve(curvature + ridge, uphill * free)
            move = move * jnp.minimum(1.0, LONGEST / jnp.linalg.norm(move))
            tried = jnp.clip(u + move, low, high)
            reached = cost(tried)
            better = reached < state.value
            return Descent(
                jnp.where(better, tried, u),
                jnp.where(better, reached, state.value),
                jnp.clip(jnp.where(better, damping / 5, damping * 5), 1e-9, MOST_DAMPING),
                jnp.where(better, 1 - reached / state.value, state.gain),
                state.steps + 1,
            )

        first = Descent(start, cost(start), jnp.asarray(1e-3), jnp.asarray(jnp.inf), jnp.asarray(0))
        last = jax.lax.while_loop(goes_on, step, first)
        return last.u, last.value

    return jax.jit(jax.vmap(descend, (0, 0, 0, None, None, None, None)))
