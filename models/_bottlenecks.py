"""Parameters and data as bottlenecks of the reducible loss, for laws that add to `nesting` of two terms."""

from collections.abc import Callable
from math import log
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from bayes_scaling.laws import Array, Derived, Parameter, power


def reducible(params: Array, tokens: Array, A: Array, K: Array, alpha: Array, beta: Array, q: Array) -> Array:
    """R = [ (A / N^alpha)^(1/q) + (K / D^beta)^(1/q) ]^q, stable for small q."""
    terms = jnp.stack([jnp.log(A) - alpha * jnp.log(params), jnp.log(K) - beta * jnp.log(tokens)])
    joined: Array = jnp.exp(q * logsumexp(terms / q, axis=0))
    return joined


def bottlenecks(tokens: Callable[[Any], Array]) -> tuple[Parameter | Derived, ...]:
    """Return the rows of the parameters of R.

    Parameters
    ----------
    tokens : D at the centre of the data, from the `ReferencePoint`
    """
    return (
        Parameter(
            "alpha",
            dist.LogNormal(log(0.2), 0.6),
            unit="1",
            meaning="exponent of parameters",
            source="published: 0.25, log-sd 0.44, with E",
        ),
        Parameter(
            "beta",
            dist.LogNormal(0.0, 0.25),
            unit="1",
            meaning="exponent of tokens",
            role="exponent",
            source="15 published pairs: log-sd of beta / alpha 0.18",
            quantity="beta / alpha",
            value=lambda draw, alpha: draw * alpha,
        ),
        Parameter(
            "q",
            dist.Beta(1.5, 2.5),
            unit="1",
            meaning="1 adds the terms; towards 0 only the largest counts",
            source="covers Kaplan's 0.10, Chinchilla's 1 and values between",
            quantity="q / 1.5",
            value=lambda draw: 1.5 * draw,
        ),
        Parameter(
            "x",
            dist.LogNormal(0.0, 1.5),
            unit="1",
            meaning="N with T_N = T_D of the centre, over N there",
            source="the terms meet near the runs",
        ),
        Derived(
            "T",
            unit="loss",
            meaning="T_D at the centre of the data",
            value=lambda L_0, E, alpha, q, x: (L_0 - E) / jnp.exp(q * jnp.logaddexp(alpha * jnp.log(x) / q, 0.0)),
        ),
        Derived("A", "loss params^alpha", "coefficient of N", lambda at, T, x, alpha: T * power(x * at.params, alpha)),
        Derived("K", "loss tokens^beta", "coefficient of D", lambda at, T, beta: T * power(tokens(at), beta)),
    )
