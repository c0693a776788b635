"""Compiled functions of a model over many draws; a large table is passed over in batches of draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.base.programs import Once, compiled
from bayes_scaling.laws.arithmetic import Array
from bayes_scaling.model.composition import Priors
from bayes_scaling.model.integrated import Integrated
from bayes_scaling.model.observations import Observations
from bayes_scaling.model.program import Model

AT_ONCE = 10_000_000  # numbers in an array of draws by rows


def over_draws(function: Callable[..., Any], mapped: int, per_row: int = 1) -> Any:
    """Return the compiled function over draws: its first arguments have an axis of draws, the others are shared.

    Draws are taken all at once, unless draws by rows are so many that memory would grow with their product.

    Parameters
    ----------
    mapped : number of arguments that have an axis of draws
    per_row : numbers that the function holds for each row of a draw
    """

    def call(*given: Any) -> Any:
        draws, shared = given[:mapped], given[mapped:]
        count = len(jax.tree.leaves(draws)[0])
        rows = max((max(jnp.shape(leaf), default=1) for leaf in jax.tree.leaves(shared)), default=1)
        most = max(AT_ONCE // (rows * per_row), 1)
        if count <= most:
            return jax.vmap(function, (*(0 for _ in draws), *(None for _ in shared)))(*given)
        return jax.lax.map(lambda one: function(*one, *shared), draws, batch_size=most)

    return jax.jit(call)


@compiled
def potentials(model: Model) -> Any:
    """Return the compiled potential of unconstrained vectors, ``(n, site)`` to ``(n,)``."""
    return over_draws(model.potential, 1, _per_row(model))


@compiled
def placed(model: Model) -> Any:
    """Return the compiled function from draws of the sampled sites to unconstrained vectors and parameters."""
    return over_draws(model.place, 1)


@compiled
def constrained(model: Model) -> Any:
    """Return the compiled function from unconstrained draws ``(n, site)`` to parameters."""
    return over_draws(model.constrain, 1)


@compiled
def log_mean_and_scale(model: Model) -> Any:
    """Return the compiled function from draws and columns to log mean and scale of the scatter, (draw, row) each."""
    return over_draws(model.log_mean_and_scale, 1)


@compiled
def at_observations(model: Model) -> Any:
    """Return the compiled function from draws and a table to what `Model.at_rows` says, (draw, row) each."""
    return over_draws(model.at_rows, 1)


@compiled
def in_groups(model: Model) -> Any:
    """Return the compiled function from unconstrained draws to parameters in other cells of groups."""
    return over_draws(model.in_groups, 2)


@compiled
def log_priors(model: Model) -> Any:
    """Return the compiled function from unconstrained draws to log prior densities by site, (draw,) each."""
    return over_draws(model.log_prior, 1)


@compiled
def moved(model: Model) -> Any:
    """Return the compiled function from unconstrained vectors in one geometry to those in another."""
    return over_draws(model.moved, 1)


@compiled
def completed(model: Integrated) -> Any:
    """Return the compiled function from draws without what is linear, and standard normals, to what is linear."""
    return over_draws(model.completed, 2, _per_row(model))


def _per_row(model: Model) -> int:
    """Return how many numbers the potential holds for each row of a draw."""
    # Of what is integrated out: the basis, laid out, whitened, and the state of the filter that does it.
    return 4 * (1 + model.size) if isinstance(model, Integrated) else 1


class Posterior(NamedTuple):
    """What a posterior is computed from.

    Attributes
    ----------
    model : the compiled model
    data, priors : its arguments
    """

    model: Model
    data: Observations
    priors: Priors


def value_and_gradient(posterior: Posterior) -> Callable[[np.ndarray], Any]:
    """Return the compiled function from one ``u``, ``(site,)``, to the potential and its gradient, ``(site,)``.

    Called from Python it costs what is handed over, not what is computed: so one array goes in and one comes out.
    """
    model, data, priors = posterior
    leaves, structure = jax.tree.flatten((data, priors))
    packed = np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in leaves])
    shapes = tuple(np.shape(leaf) for leaf in leaves)
    function = _value_and_gradient(model, structure, shapes)
    on_device = jax.device_put(packed)
    _compiling(model).do((structure, shapes), lambda: function(np.zeros(len(model.sites)), on_device))

    def call(u: np.ndarray) -> tuple[float, np.ndarray]:
        out = np.asarray(function(u, on_device))
        return float(out[0]), out[1:]

    return call


@compiled
def _compiling(model: Model) -> Once:
    return Once()


@compiled
def _value_and_gradient(model: Model, structure: Any, shapes: tuple[tuple[int, ...], ...]) -> Any:
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1].tolist()

    def packed_value_and_gradient(u: Array, packed: Array) -> Array:
        pieces = jnp.split(packed, ends)
        leaves = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        value, gradient = jax.value_and_grad(model.potential)(u, *jax.tree.unflatten(structure, leaves))
        return jnp.concatenate([value[None], gradient])

    return jax.jit(packed_value_and_gradient)
