"""Compiled functions of a model over many draws."""

from __future__ import annotations

from typing import Any

import jax

from bayes_scaling.base.programs import compiled
from bayes_scaling.model.program import Model


@compiled
def potentials(model: Model) -> Any:
    """Return the compiled potential of unconstrained vectors, ``(n, site)`` to ``(n,)``."""
    return jax.jit(jax.vmap(model.potential, (0, None, None)))


@compiled
def placed(model: Model) -> Any:
    """Return the compiled function from draws of the sampled sites to unconstrained vectors and parameters."""
    return jax.jit(jax.vmap(model.place, (0, None, None)))


@compiled
def constrained(model: Model) -> Any:
    """Return the compiled function from unconstrained draws ``(n, site)`` to parameters."""
    return jax.jit(jax.vmap(model.constrain, (0, None, None)))


@compiled
def log_mean_and_scale(model: Model) -> Any:
    """Return the compiled function from draws and columns to log mean and scale of the scatter, (draw, row) each."""
    return jax.jit(jax.vmap(model.log_mean_and_scale, (0, None)))


@compiled
def at_observations(model: Model) -> Any:
    """Return the compiled function from draws and a table to what `Model.at_rows` says, (draw, row) each."""
    return jax.jit(jax.vmap(model.at_rows, (0, None)))


@compiled
def in_groups(model: Model) -> Any:
    """Return the compiled function from unconstrained draws to parameters in other cells of groups."""
    return jax.jit(jax.vmap(model.in_groups, (0, 0, None, None)))


@compiled
def log_priors(model: Model) -> Any:
    """Return the compiled function from unconstrained draws to log prior densities by site, (draw,) each."""
    return jax.jit(jax.vmap(model.log_prior, (0, None)))
