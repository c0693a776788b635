"""Solvers for functions of one number, in JAX: minimum and root, vectorised over draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bayes_scaling.laws.arithmetic import Array

GOLDEN, SECANT = 30, 2  # steps of the golden section, and of the secant on the slope that follows
STEPS, HALVINGS = 40, 34  # of the range in which a function is met, and of the step in which it is


def minimise(function: Callable[[Any], Any], low: Any, high: Any) -> tuple[Array, Array]:
    """Minimise a function on an interval: golden section, then the root of the slope within its last bracket.

    Returns
    -------
    the argument and the value of the minimum
    """
    ratio = (math.sqrt(5) - 1) / 2

    def shrink(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, left, right, at_left, at_right = state
        lower = at_left < at_right
        low, high = jnp.where(lower, low, left), jnp.where(lower, right, high)
        new = jnp.where(lower, high - ratio * (high - low), low + ratio * (high - low))
        value = function(new)
        left, right = jnp.where(lower, new, right), jnp.where(lower, left, new)
        at_left, at_right = jnp.where(lower, value, at_right), jnp.where(lower, at_left, value)
        return low, high, left, right, at_left, at_right

    def across(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        before, x, slope_before, slope = state
        bend = (slope - slope_before) / jnp.where(x == before, 1.0, x - before)
        new = jnp.clip(x - slope / jnp.where(bend > 0, bend, jnp.inf), first, last)
        return x, new, slope, slope_of(new)

    slope_of = jax.grad(function)
    low, high = jnp.asarray(low, float), jnp.asarray(high, float)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    state = (low, high, left, right, function(left), function(right))
    first, last, *_ = jax.lax.fori_loop(0, GOLDEN, shrink, state)
    _, x, _, _ = jax.lax.fori_loop(0, SECANT, across, (first, last, slope_of(first), slope_of(last)))
    return x, function(x)


def first_met(function: Callable[[Any], Any], target: Any, top: Any) -> Array:
    """Return the first x between 0 and ``top`` at which a function is at most ``target``; ``top`` where there is none.

    The function may rise again beyond: steps from 0 up find where it is first met, and bisection is within that step.
    """
    ends = jnp.linspace(jnp.zeros_like(jnp.asarray(top, float)), top, STEPS + 1)

    def step(found: tuple[Array, Array], end: Array) -> tuple[tuple[Array, Array], None]:
        low, high = found
        met = function(end) <= target
        waiting = high > top
        return (jnp.where(waiting & ~met, end, low), jnp.where(waiting & met, end, high)), None

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        above = function(middle) > target
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    (last, first), _ = jax.lax.scan(step, (ends[0], jnp.full_like(ends[0], jnp.inf)), ends)
    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (last, jnp.minimum(first, top)))
    return jnp.where(jnp.isinf(first), top, (low + high) / 2)
