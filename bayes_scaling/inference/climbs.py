"""Climbing to the mode of a posterior inside one compiled program, for many posteriors at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bayes_scaling.inference.mode import LEAST_CURVATURE, MOST_CURVATURE
from bayes_scaling.laws.arithmetic import Array

MOST_TRIES = 1000  # evaluations of one climb
FLAT = 1e-4  # largest slope at a mode, as of `find_mode`
SHORTEST = 1e-10  # share of a step below which it is given up
LONGEST = 3.0  # length of a first step, in standard deviations of the prior
DIFFERENCE = 1e-5  # of coordinates, for second derivatives


class Climbs(NamedTuple):
    """Where climbs ended.

    Attributes
    ----------
    u : (climb, site)
    value : (climb,) potential
    gradient : (climb, site)
    covariance : (site, site) of the normal approximation at the best
    """

    u: Array
    value: Array
    gradient: Array
    covariance: Array


class _Climb(NamedTuple):
    """Where a climb is, and the step that it tries next."""

    u: Array
    value: Array
    gradient: Array
    inverse: Array  # of the second derivatives, as far as they are known
    direction: Array
    share: Array  # of the direction that is tried
    steps: Array  # taken
    tries: Array


def climbs(potential: Callable[[Array], Array], count: int) -> Callable[[Array, Array], Climbs]:
    """Return the function that climbs with BFGS from the best of several starts.

    Parameters
    ----------
    potential : minus the log density of an unconstrained vector, ``(site,)``
    count : number of starts that are climbed from

    Returns
    -------
    from starts, ``(start, site)``, and standard deviations of the prior, ``(site,)``
    """
    slopes = jax.value_and_grad(potential)

    def tried(climb: _Climb) -> _Climb:
        """Look at the next place: go there if the potential falls enough, or shorten the step."""
        u = climb.u + climb.share * climb.direction
        value, gradient = slopes(u)
        promised = climb.share * climb.direction @ climb.gradient
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        falls = finite & (value <= climb.value + 1e-4 * promised)
        there = _onward(climb, u, value, gradient)
        held = climb._replace(share=climb.share / 3, tries=climb.tries + 1)
        after: _Climb = jax.tree.map(lambda a, b: jnp.where(falls, a, b), there, held)
        return after

    def goes_on(climb: _Climb) -> Array:
        steep = (climb.steps == 0) | (jnp.max(jnp.abs(climb.gradient)) > FLAT)
        return steep & (climb.tries < MOST_TRIES) & (climb.share > SHORTEST)

    def climb(u: Array, spread: Array) -> _Climb:
        nothing, zero = jnp.zeros_like(u), jnp.zeros((), int)
        start = _Climb(u, jnp.asarray(jnp.inf), nothing, jnp.diag(spread**2), nothing, jnp.ones(()), zero, zero)
        return jax.lax.while_loop(goes_on, tried, start)

    def found(starts: Array, spread: Array) -> Climbs:
        values = jax.lax.map(potential, starts)
        best_first = jnp.argsort(jnp.where(jnp.isfinite(values), values, jnp.inf))
        ended = jax.lax.map(lambda u: climb(u, spread), starts[best_first[:count]])
        best = ended.u[jnp.argmin(ended.value)]
        apart = DIFFERENCE * jnp.eye(len(best))
        beside = jax.lax.map(jax.grad(potential), best + jnp.concatenate([apart, -apart]))
        rows = (beside[: len(best)] - beside[len(best) :]) / (2 * DIFFERENCE)
        bend, axes = jnp.linalg.eigh((rows + rows.T) / 2)
        covariance = (axes / jnp.clip(bend, LEAST_CURVATURE, MOST_CURVATURE)) @ axes.T
        return Climbs(ended.u, ended.value, ended.gradient, covariance)

    return found


def _onward(climb: _Climb, u: Array, value: Array, gradient: Array) -> _Climb:
    """Learn from a step that was taken, and point to the next one."""
    s, y = u - climb.u, gradient - climb.gradient
    product = s @ y
    bends = (climb.steps > 0) & (product > 1e-12 * jnp.sqrt((s @ s) * (y @ y)))
    product = jnp.where(bends, product, 1.0)
    away = climb.inverse @ y
    scale = jnp.where(climb.steps == 1, product / jnp.where(bends, y @ away, 1.0), 1.0)
    away = scale * away
    crossed = jnp.outer(away, s)
    update = (product + y @ away) / product**2 * jnp.outer(s, s) - (crossed + crossed.T) / product
    inverse = jnp.where(bends, scale * climb.inverse + update, climb.inverse)
    direction = -inverse @ gradient
    # Rounding may turn it uphill; a first step is as long as the prior allows.
    direction = jnp.where(direction @ gradient < 0, direction, -gradient)
    length = jnp.sqrt(jnp.abs(direction @ gradient))
    direction = jnp.where(climb.steps == 0, jnp.minimum(1.0, LONGEST / length), 1.0) * direction
    return _Climb(u, value, gradient, inverse, direction, jnp.ones(()), climb.steps + 1, climb.tries + 1)
