"""What draws of a fit say of the rows of its table, in pieces whose memory does not grow with draws times rows.

A posterior of a very large table is so narrow that few draws say what all of them would of a band over rows. What is
said of a single row, or of replicated tables, needs more draws: it is worked out in blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.scope import scope
from bayes_scaling.inference.compiled import AT_ONCE, at_observations, constrained
from bayes_scaling.inference.draws import by_row, device_draws, posterior_of
from bayes_scaling.model.composition import INCREMENTS

if TYPE_CHECKING:
    from bayes_scaling.inference.result import Fit

BLOCK = 5_000_000  # numbers in an array of a block
ENOUGH = 100  # draws of each chain, to judge a single row or a replicated table


@dataclasses.dataclass(frozen=True, eq=False)
class AtRows:
    """Some draws at some rows of the fitted table, ``(n_draw, n_row)`` each unless it says otherwise.

    Attributes
    ----------
    rows : which rows
    draws : (n_draw,) which draws, as indices of chain * draw
    theta : noise and law parameters, (n_draw,), or (n_draw, n_row) where they vary
    log_mean, row_scale : log of the expected loss, and scale of the scatter of single rows of log loss
    expected, scale : the same given the rows of a run before it, where rows are correlated
    log_density : of the observed log loss
    """

    rows: slice
    draws: np.ndarray
    theta: Mapping[str, np.ndarray]
    log_mean: np.ndarray
    row_scale: np.ndarray
    expected: np.ndarray
    scale: np.ndarray
    log_density: np.ndarray


def kept_draws(fit: Fit, least: int = 1) -> np.ndarray:
    """Return the draws, as indices of chain * draw, that make 10 million numbers with all rows.

    Parameters
    ----------
    least : of each chain, however many numbers they make
    """
    chains, draws = fit.unconstrained.shape[:2]
    most = max(AT_ONCE // (chains * len(fit.runs)), least, 1)  # of each chain
    every = -(-draws // most)
    return np.arange(chains * draws).reshape(chains, draws)[:, ::every].reshape(-1)


def with_few_draws(fit: Fit, rows: int, most: int = AT_ONCE) -> Fit:
    """Keep the draws that make at most so many numbers with some rows, and 100 of each chain at least."""
    return fit.thinned(max(most // rows, ENOUGH * len(fit.unconstrained)))


def few_of(draws: np.ndarray, rows: int, most: int = AT_ONCE) -> np.ndarray:
    """Keep of some draws, evenly, those that make at most so many numbers with some rows, and 100 at least."""
    return draws[:: -(-len(draws) // max(most // rows, ENOUGH))]


def at_rows(fit: Fit, draws: np.ndarray, rows: slice = slice(None)) -> AtRows:
    """Evaluate some draws at some rows; all rows where they are correlated."""
    count = len(fit.runs)
    inside = slice(*rows.indices(count))
    with scope():
        model, data, priors = posterior_of(fit.composition, fit.runs)
        if fit.pooling:
            u = jnp.asarray(fit.unconstrained.reshape(-1, len(model.sites))[draws])
            theta = constrained(model)(u, data, priors)
        else:
            theta = device_draws({name: values[draws] for name, values in fit.flat().items()})
            theta[INCREMENTS] = jnp.asarray(fit.increments[draws])
        if inside != slice(0, count, 1):
            columns = {name: values[inside] for name, values in data.columns.items()}
            data = dataclasses.replace(
                data, columns=columns, log_loss=data.log_loss[inside], weight=data.weight[inside]
            )
        found = at_observations(model)(theta, data)
        values = [np.asarray(value)[:, : inside.stop - inside.start] for value in found]
    named, cell = fit.in_groups(fit.runs.table, fit.runs.source)
    noise = by_row({name: drawn[draws] for name, drawn in named.items()}, cell[inside])
    return AtRows(inside, draws, noise, *values)


def by_rows(fit: Fit) -> Iterator[AtRows]:
    """Go over the rows in blocks, each with enough draws to judge single rows; correlated rows are one block."""
    if fit.noise.correlated:
        yield fit.at_rows
        return
    draws = kept_draws(fit, ENOUGH)
    if len(draws) * len(fit.runs) <= AT_ONCE:
        yield fit.at_rows
        return
    most = max(BLOCK // len(draws), 1)
    for start in range(0, len(fit.runs), most):
        yield at_rows(fit, draws, slice(start, start + most))


def by_draws(fit: Fit) -> Iterator[AtRows]:
    """Go over draws in blocks, each with all rows; together enough draws to judge replicated tables."""
    draws = kept_draws(fit, ENOUGH)
    if len(draws) * len(fit.runs) <= AT_ONCE:
        yield fit.at_rows
        return
    most = max(BLOCK // len(fit.runs), 1)
    for start in range(0, len(draws), most):
        yield at_rows(fit, draws[start : start + most])
