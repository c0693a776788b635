"""Parallel scaling: several streams through one model count as more parameters, by the logarithm of their number.

    L(N, P) = E + (A / (N (k ln P + 1)))^alpha

N parameters, P streams (copies of an input that the model transforms, processes and aggregates), L loss, all runs on
the same number of tokens. P = 1 is an ordinary model, a power law in N with an irreducible loss.

Chen et al. 2025, ParScale (arXiv 2505.10475), eq 5.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def effective(params: Array, streams: Array, k: Array) -> Array:
    """N (k ln P + 1)."""
    return params * (k * jnp.log(streams) + 1)


def mean(params: Array, streams: Array, E: Array, A: Array, k: Array, alpha: Array) -> Array:
    """L(N, P) = E + (A / (N (k ln P + 1)))^alpha."""
    return E + power(A / effective(params, streams, k), alpha)


LAW = Law(
    name="parallel_scaling",
    title="power law in parameters, multiplied by the logarithm of the number of parallel streams",
    formula="L(N, P) = E + (A / (N (k ln P + 1)))^alpha",
    mean=mean,
    decreasing_in=("params", "streams"),
    columns={"streams": Column("P, parallel streams (1 for an ordinary model)", 1, 8)},
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "alpha",
            dist.LogNormal(log(0.2), 0.5),
            unit="1",
            meaning="exponent of parameters",
            role="exponent",
            source="published pairs with E > 0: median 0.25, log-sd 0.44",
        ),
        Parameter(
            "k",
            dist.LogNormal(log(0.35), 0.7),
            unit="1",
            meaning="how much a stream is worth: P streams count as k ln P + 1 times the parameters",
            source="the paper: streams are worth O(log P) in parameters; 0.1 to 1.4",
        ),
        Derived(
            "A",
            unit="params loss^(1 / alpha)",
            meaning="scale of parameters",
            role="scale",
            value=lambda at, L_0, E, alpha, k: effective(at.params, at.streams, k) * power(L_0 - E, 1 / alpha),
        ),
    ),
    quantities=(
        Quantity(
            "effective_params",
            "params",
            "size of the ordinary model with the same loss",
            "Chen et al. 2025, eq 5",
            effective,
        ),
    ),
    holds="0.5B to 4.4B parameters, 1 to 8 streams, 42e9 tokens of Stack-V2 or the Pile",
    fails="many more streams than were tried; runs on different numbers of tokens",
    references=("Chen et al. 2025, Parallel Scaling Law for Language Models, arXiv 2505.10475",),
)
