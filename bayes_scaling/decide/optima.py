"""Optima: the best run of every draw, on one budget, vectorised over draws and compiled once per law.

The discrepancy is a function of size that shifts the loss; the split of a budget is a trade-off within the law. So only
the law is minimised here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.programs import compiled
from bayes_scaling.base.scope import scope
from bayes_scaling.decide.space import Space, log_batch, log_tokens, run_columns
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.program import Formula
from bayes_scaling.predict.ensemble import Ensemble
from bayes_scaling.predict.members import Member
from bayes_scaling.predict.solvers import minimise

EDGES = (0.0, 1.0)  # of the share
ROUNDS, ROUGHLY = 31, 12  # of a search over N and batch: for the place, and for the loss alone
SIDE = 5  # places along each side of the grid
INSIDE = 1e-3  # distance from the edge of the batch range at which the slope is tested, as a share of that range
LESS = 8.0  # e-folds down to the smallest budget whose best loss is interpolated
NODES = 4 - 4 * np.cos(np.pi * np.arange(6) / 5)  # of a polynomial in log budget; its gaps are right to 0.03 %


@dataclasses.dataclass(frozen=True, eq=False)
class Optima:
    """Every draw's own best run on a budget.

    Attributes
    ----------
    log_params : (n_draw,) log N
    share : (n_draw,) position of the batch in its range, from 0 to 1; 0 where a law does not read it
    log_loss : (n_draw,) log of the law there, without the discrepancy
    """

    log_params: np.ndarray
    share: np.ndarray
    log_loss: np.ndarray


def optima_of(ensemble: Ensemble, space: Space) -> Optima:
    """Return every draw's own optimum on a budget, ``(n_draw,)`` each.

    The discrepancy shifts the loss and leaves the split as it is.
    """
    found = [best(member, space) for member in ensemble.members.values()]
    columns = zip(*((o.log_params, o.share, o.log_loss) for o in found), strict=True)
    return Optima(*(np.concatenate(column) for column in columns))


def share_of_batch(ensemble: Ensemble, optima: Optima) -> np.ndarray:
    """Return the position of every draw's best batch, ``(n_draw,)``; NaN for draws of laws that do not read it."""
    reads = np.concatenate([np.full(len(member), member.reads_batch) for member in ensemble.members.values()])
    return np.where(reads, optima.share, np.nan)


def optima_with_less(ensemble: Ensemble, space: Space, optima: Optima, less: np.ndarray) -> np.ndarray:
    """Return log loss of every draw's optimum, without discrepancy, on budgets smaller by exp(-less).

    The shape is ``(n_draw, n_less)``.

    Parameters
    ----------
    optima : of the whole budget
    """
    out, start = [], 0
    for member in ensemble.members.values():
        end = start + len(member)
        own = Optima(optima.log_params[start:end], optima.share[start:end], optima.log_loss[start:end])
        out.append(best_with_less(member, space, own, less))
        start = end
    return np.concatenate(out)


def best(member: Member, space: Space) -> Optima:
    """Return the optimum of every draw of a law; only the constraints on the batch count."""
    where = math.log(space.surface.spend), space.setting, *space.log_range()
    with scope():
        for edge in EDGES:
            found, falls = _at_edge(member, *where, edge)
            if not (member.reads_batch and space.choice_of_batch and falls.any()):
                return found
        return _on_grid(member, *where, ROUNDS)


def best_with_less(member: Member, space: Space, optima: Optima, less: np.ndarray) -> np.ndarray:
    """Return log of the law at the optimum of budgets smaller by exp(-less), ``(n_draw, n_less)``.

    A polynomial in log budget interpolates the optima of six budgets, down to exp(-8) of the whole.

    Parameters
    ----------
    optima : of the whole budget; where all draws are at one edge of the batch, smaller budgets stay there
    """
    nodes = NODES * min(1.0, 0.9 * math.log(space.surface.most_params) / LESS)
    edge = float(optima.share[0])
    at_edge = edge in EDGES and bool((optima.share == edge).all())
    held = [optima.log_loss]
    with scope():
        for node in nodes[1:]:
            where = math.log(space.surface.spend) - node, space.setting, *space.log_range(node)
            if at_edge:
                held.append(_at_edge(member, *where, edge)[0].log_loss)
            else:
                held.append(_on_grid(member, *where, ROUGHLY).log_loss)
    return np.asarray(np.stack(held, axis=1) @ _lagrange(nodes, np.minimum(less, nodes[-1])))


def _at_edge(
    member: Member,
    log_spend: float,
    setting: Mapping[str, Any],
    low: float,
    high: float,
    edge: float,
) -> tuple[Optima, np.ndarray]:
    """Return the optima with the batch at an edge, and for which draws the loss falls away from that edge."""
    found = _along_edge(member.fit.model.formula)(_of_law(member), log_spend, setting, low, high, edge, 0.5 - edge)
    x, loss, falls = (np.asarray(part)[: len(member)] for part in found)
    return Optima(x, np.full(len(x), edge), loss), falls


def _on_grid(
    member: Member,
    log_spend: float,
    setting: Mapping[str, Any],
    low: float,
    high: float,
    rounds: int,
) -> Optima:
    found = _over_both(member.fit.model.formula)(_of_law(member), log_spend, setting, low, high, rounds)
    return Optima(*(np.asarray(part)[: len(member)] for part in found))


def _of_law(member: Member) -> dict[str, Array]:
    """Return the draws of the parameters of the law alone, on the device."""
    return {name: member.device[name] for name in member.fit.law.parameter_names}


def _lagrange(nodes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the weight of each node in the value of the polynomial at each place, ``(n_node, n_place)``."""
    weight = np.array([1 / np.prod(x - np.delete(nodes, i)) for i, x in enumerate(nodes)])
    apart = places - nodes[:, None]
    exact = np.abs(apart) < 1e-12
    terms = weight[:, None] / np.where(exact, 1.0, apart)
    terms = np.where(exact.any(axis=0), exact, terms)
    return np.asarray(terms / terms.sum(axis=0))


# --- one draw ---------------------------------------------------------------------------------------------------------


def _log_loss(formula: Formula, theta: Any, log_spend: Any, setting: Any, log_params: Any, share: Any) -> Array:
    """Return the log of the law at a place."""
    tokens = log_tokens(log_spend, log_params, setting["demand"])
    batch = jnp.exp(log_batch(tokens, share, setting["batch"], jnp))[None] if "batch" in setting else None
    columns = run_columns(jnp.exp(log_params)[None], jnp.exp(tokens)[None], batch, setting["given"], jnp)
    return formula.log(theta, columns)[0]


def _grid(function: Any, low: Any, high: Any, rounds: Any) -> tuple[Array, Array, Array]:
    """Minimise a function over N and share on grids that shrink around the best place: N, share, value."""
    offsets = jnp.linspace(-1.0, 1.0, SIDE)

    def shrink(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, y, _value, width, height = state
        xs, ys = jnp.clip(x + width * offsets, low, high), jnp.clip(y + height * offsets, 0.0, 1.0)
        values = jax.vmap(lambda x: jax.vmap(lambda y: function(x, y))(ys))(xs)
        row, column = jnp.unravel_index(jnp.argmin(values), values.shape)
        return xs[row], ys[column], values[row, column], width / 2, height / 2

    low, high = jnp.asarray(low, float), jnp.asarray(high, float)
    middle = (low + high) / 2
    state = (middle, jnp.asarray(0.5), jnp.asarray(jnp.inf), (high - low) / 2, jnp.asarray(0.5))
    x, y, value, *_ = jax.lax.fori_loop(0, rounds, shrink, state)
    return x, y, value


# --- compiled, one program per law ------------------------------------------------------------------------------------


@compiled
def _along_edge(formula: Formula) -> Any:
    """Compile the search over N with the batch at an edge: log N, log loss, and whether it falls away from the edge."""

    def one(theta: Any, log_spend: Any, setting: Any, low: Any, high: Any, edge: Any, inward: Any) -> Any:
        at = functools.partial(_log_loss, formula, theta, log_spend, setting)
        x, value = minimise(lambda x: at(x, edge), low, high)
        return x, value, at(x, edge + 2 * INSIDE * inward) < value

    return jax.jit(jax.vmap(one, (0, *[None] * 6)))


@compiled
def _over_both(formula: Formula) -> Any:
    """Compile the search over N and batch: log N, share and log loss."""

    def one(theta: Any, log_spend: Any, setting: Any, low: Any, high: Any, rounds: Any) -> Any:
        return _grid(functools.partial(_log_loss, formula, theta, log_spend, setting), low, high, rounds)

    return jax.jit(jax.vmap(one, (0, *[None] * 5)))
