"""Checks of a fit and its table: which runs are outliers, which ones move the answer, what cannot be learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.special

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.blas import ONE_THREAD
from bayes_scaling.base.messages import counted
from bayes_scaling.base.scope import scope
from bayes_scaling.data.runs import Runs
from bayes_scaling.inference.at_rows import AtRows, by_rows
from bayes_scaling.inference.many import fit_many
from bayes_scaling.inference.result import Fit
from bayes_scaling.inference.sampler import Sampler
from bayes_scaling.inference.weights import pareto_smoothed, unreliable
from bayes_scaling.laws.law import Law
from bayes_scaling.laws.parameters import ReferencePoint, resolve
from bayes_scaling.laws.priors import prior_quantile
from bayes_scaling.model.observations import law_table, reference_point, rows_read

MOST_SHIFT = 0.5  # posterior standard deviations that a run may move a parameter before it counts as influential
OUTLIER_RATE = 0.01  # expected number of false flags in a clean table, whatever its size


@validated
def find_outliers(fit: Fit) -> pd.DataFrame:
    """Find runs that lie further from the law than the bulk of the scatter explains.

    A Student-t noise model accounts for outliers by heavy tails, so a tail probability under that model never looks
    small. Each residual is therefore compared with a normal of the same central width (its 68 % range), which is what
    the scatter would be without outliers.

    Returns
    -------
    pandas.DataFrame
        One row per row of the table, most extreme first: ``run``, ``loss``, ``expected`` (median of the mean curve;
        where rows of a run are correlated, given the rows before), ``residual`` (log loss), ``tail_probability``
        (posterior mean, two-sided), ``outlier`` (probability below 0.01 / number of rows).
    """
    expected, scale = fit.expected
    residual = np.log(fit.runs.loss) - expected
    core = scale * fit.noise.scatter_family.central_half_width(fit.at_rows.theta)
    tail = 2 * scipy.special.ndtr(-np.abs(residual) / core).mean(axis=0)
    table = pd.DataFrame(
        {
            "run": fit.runs.labels,
            "loss": fit.runs.loss,
            "expected": np.exp(np.median(expected, axis=0)),
            "residual": np.median(residual, axis=0),
            "tail_probability": tail,
            "outlier": tail < OUTLIER_RATE / len(fit.runs),
        }
    )
    return table.sort_values("tail_probability", kind="stable")


@ONE_THREAD.on()
@validated
def find_influential(fit: Fit) -> pd.DataFrame:
    """Estimate how far each parameter of the law would move without each run, by reweighting draws (no refits).

    Returns
    -------
    pandas.DataFrame
        One row per row of the table, most influential first: ``run``, ``k_hat`` (above 0.7, or missing, the shift is
        not reliable, and the run is influential), ``shift`` (largest move of a parameter in its posterior standard
        deviations), ``parameter`` (the one that moves most), ``influential`` (shift above 0.5 or bad k-hat).
    """
    names = fit.law_names
    flat = {name: _unbounded(values) for name, values in fit.flat().items() if name in names}
    shifts, k_hats = [], []
    for at, log_weight, k_hat in leave_one_out_weights(fit):
        values = np.stack([flat[name][at.draws] for name in names])
        with np.errstate(invalid="ignore", divide="ignore"):  # of draws that are all the same
            shifts.append((np.exp(log_weight) @ values.T - values.mean(1)) / values.std(1))
        k_hats.append(k_hat)
    moved, k_hat = np.concatenate(shifts), np.concatenate(k_hats)
    largest = np.abs(moved).argmax(axis=1)
    shift = moved[np.arange(len(fit.runs)), largest]
    table = pd.DataFrame(
        {
            "run": fit.runs.labels,
            "k_hat": k_hat,
            "shift": shift,
            "parameter": [names[i] for i in largest],
            "influential": unreliable(k_hat) | ~(np.abs(shift) <= MOST_SHIFT),
        }
    )
    unknown_first = np.where(np.isnan(shift), np.inf, np.abs(shift))
    return table.reindex(np.argsort(-unknown_first, kind="stable"))


@validated
def leave_one_out(fit: Fit) -> np.ndarray:
    """Return the PSIS-LOO log score of every run, ``(n_row,)``: log density of its loss given all other runs."""
    return leave_one_out_scores(fit)[0]


def leave_one_out_scores(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the PSIS-LOO log score of every row and the k-hat of its weights, ``(n_row,)`` each."""
    scores, k_hats = [], []
    for at, log_weight, k_hat in leave_one_out_weights(fit):
        scores.append(scipy.special.logsumexp(log_weight + at.log_density.T, axis=1))
        k_hats.append(k_hat)
    return np.concatenate(scores) - np.log(fit.runs.loss), np.concatenate(k_hats)


def leave_one_out_weights(fit: Fit) -> Iterator[tuple[AtRows, np.ndarray, np.ndarray]]:
    """Go over the rows in blocks: smoothed log weights that take each run out, and their k-hat.

    A row of a curve that the sampler did not read is not in the posterior, so nothing is to be taken out. Most rows of
    long curves are such rows, and smoothing takes a third of a millisecond for each.

    Yields
    ------
    the block, its weights, ``(n_row, n_draw)``, summing to one, and their k-hat, ``(n_row,)``
    """
    read = np.zeros(len(fit.runs), bool)
    read[rows_read(fit.composition, fit.runs)] = True
    for at in by_rows(fit):
        here = read[at.rows]
        log_weight, k_hat = np.full(at.log_density.T.shape, -np.log(len(at.draws))), np.zeros(len(here))
        if here.any():
            log_weight[here], k_hat[here] = pareto_smoothed(-at.log_density.T[here])
        yield at, log_weight, k_hat


def fits_without(fit: Fit, groups: Sequence[np.ndarray], sampler: Sampler, seed: int) -> list[Fit]:
    """Fit again without each group of rows, in the order of the groups; with the batched sampler all at once.

    Parameters
    ----------
    groups : numbers of the rows to leave out, ``(n_left_out,)`` each
    sampler, seed : as of `bayes_scaling.fit`
    """
    rows = np.arange(len(fit.runs))
    tables = [fit.runs.where(~np.isin(rows, group)) for group in groups]
    return fit_many(
        fit.law,
        tables,
        noise=fit.noise,
        discrepancy=fit.discrepancy,
        pooling=fit.pooling,
        sampler=dataclasses.replace(sampler, like_rows=len(rows)),
        seed=seed,
        progress=False,
    )


def _unbounded(values: np.ndarray) -> np.ndarray:
    """Put positive values on the log scale."""
    return np.log(values) if (values > 0).all() else values


@validated
def identifiability(law: Law, runs: Runs) -> tuple[str, ...]:
    """Find, before any sampling, what a table cannot say about a law.

    Looks at the law's slopes with respect to its parameters at the prior medians: a parameter without slope, or a
    direction without slope, stays where the prior puts it.

    Returns
    -------
    tuple of str
        One sentence per problem; empty when every parameter can be learned in principle.
    """
    said = []
    for name in law.inputs:
        values = runs.column(name)
        if len(np.unique(values)) == 1:
            exponents = " and ".join(_exponents_of(law, runs, name))
            said.append(
                f"{name} takes one value ({values[0]:g}) in {'all ' if len(runs) > 1 else ''}{runs.counted}"
                + (f": {exponents} cannot be learned, so the prior decides" if exponents else "")
            )
        elif name not in law.may_be_zero and values.max() / values.min() < 10:
            said.append(f"{name} spans less than a decade ({values.min():.3g} to {values.max():.3g})")
    positive = [name for name in law.inputs if name not in law.may_be_zero]
    if len(positive) > 1:
        logs = np.log(np.stack([runs.column(name) for name in positive]))
        varying = np.ptp(logs, axis=1) > 1e-9  # the standard deviation of equal numbers may not be 0
        if varying.sum() == 2:
            correlation = float(np.corrcoef(logs[varying])[0, 1])
            if abs(correlation) > 0.95:
                pair = " and ".join(np.array(positive)[varying])
                said.append(f"{pair} move together (correlation of their logs {correlation:.2f})")
    points = len(pd.DataFrame({name: runs.column(name) for name in law.inputs}).drop_duplicates())
    if points < len(law.parameter_names):
        said.append(
            f"{counted(points, 'distinct run')} for {counted(len(law.parameter_names), 'parameter')}: "
            "the prior will dominate what they do not fix"
        )
    else:
        said.extend(_flat_directions(law, runs))
    return tuple(dict.fromkeys(said))  # two directions may be of the same parameters


def _exponents_of(law: Law, runs: Runs, column: str) -> list[str]:
    """Return the exponents whose effect on the loss depends on one input column."""
    at = reference_point(law, runs)
    table = law_table(law, runs)
    with scope():
        theta = resolve(law.parameters, {row.site: prior_quantile(row.prior, 0.5) for row in law.sampled}, at)
        theta = {name: theta[name] for name in law.parameter_names}

        def loss(theta: dict[str, jax.Array], arrays: dict[str, Any]) -> jax.Array:
            return jnp.sum(law.mean(**{name: arrays[c] for name, c in law.arguments}, **theta))

        slope = jax.jit(jax.grad(loss))
        here, there = (slope(theta, law.arrays({**table, column: factor * table[column]})) for factor in (1.0, 2.0))
        return [
            name
            for name in law.exponents
            if name in here and not np.isclose(here[name], there[name], rtol=1e-6, atol=0)
        ]


def _flat_directions(law: Law, runs: Runs) -> list[str]:
    """Name parameters, or combinations, that do not move the law at any run."""
    at = reference_point(law, runs)
    steps = {}
    with scope():
        columns = {name: jnp.asarray(values) for name, values in law.arrays(law_table(law, runs)).items()}

        def log_mean(quantiles: dict[str, jax.Array]) -> jax.Array:
            theta = resolve(law.parameters, quantiles, ReferencePoint(at.loss, at.inputs))
            inputs = {name: columns[column] for name, column in law.arguments}
            return jnp.log(law.mean(**inputs, **{name: theta[name] for name in law.parameter_names}))

        medians = {row.site: jnp.asarray(prior_quantile(row.prior, 0.5)) for row in law.sampled}
        slopes = jax.jit(jax.jacfwd(log_mean))(medians)
        # One prior standard deviation of each parameter is the unit in which slopes are compared.
        for row in law.sampled:
            deviation = (prior_quantile(row.prior, 0.84) - prior_quantile(row.prior, 0.16)) / 2
            steps[row.name] = np.asarray(slopes[row.site]) * deviation
    names = list(steps)
    matrix = np.stack([steps[name] for name in names], axis=1)
    said = []
    silent = [name for name in names if np.abs(steps[name]).max() < 1e-6]
    if silent:
        said.append(
            f"no run informs {', '.join(silent)}: the posterior of {'it' if len(silent) == 1 else 'each'} is its prior"
        )
    informed = [i for i, name in enumerate(names) if name not in silent]
    # The triangle of the matrix has its singular values and directions, at the size of the parameters, not of the rows.
    triangle = np.linalg.qr(matrix[:, informed], mode="r")
    _, size, directions = np.linalg.svd(triangle)
    for i in range(len(informed)):
        if i >= len(size) or size[i] < 1e-6 * size[0]:
            together = [names[informed[j]] for j in np.flatnonzero(np.abs(directions[i]) > 0.1)]
            said.append(f"{', '.join(together)} cannot be told apart with these runs")
    return said
