"""Experts as effective parameters: a mixture of experts is a dense model of a larger size.

    L(N, X) = E + A / (N Xhat^g)^alpha
    1 / Xhat = 1 / (X - 1 + 1 / (1 / X_start - 1 / X_max)) + 1 / X_max

N parameters of the dense model that the experts are added to, X experts (1 is the dense model), Xhat an effective
number of them as in `moe_routing`, L loss. All runs see the same number of tokens. With an irreducible loss the
gain of experts shrinks with size by itself; `moe_routing` has none and lets the two exponents change instead.

Xhat and the effective parameter count: Clark et al. 2022 (arXiv 2202.01169), eq 1 and 11. The irreducible loss is ours.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def effective(params: Array, experts: Array, g: Array, X_start: Array, X_max: Array) -> Array:
    """N Xhat^g, 1 / Xhat = 1 / (X - 1 + 1 / (1 / X_start - 1 / X_max)) + 1 / X_max."""
    return params * power(1 / (experts - 1 + 1 / (1 / X_start - 1 / X_max)) + 1 / X_max, -g)


def mean(
    params: Array, experts: Array, E: Array, A: Array, alpha: Array, g: Array, X_start: Array, X_max: Array
) -> Array:
    """L(N, X) = E + A / (N Xhat^g)^alpha."""
    return E + A * power(effective(params, experts, g, X_start, X_max), -alpha)


LAW = Law(
    name="moe_effective",
    title="irreducible loss plus a power law in effective parameters, dense size times a power of experts",
    formula="L(N, X) = E + A / (N Xhat^g)^alpha",
    mean=mean,
    decreasing_in=("params", "experts"),
    columns={"experts": Column("X, number of experts (1 for a dense model)", 1, 512)},
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "alpha",
            dist.LogNormal(log(0.25), 0.5),
            unit="1",
            meaning="exponent of effective parameters",
            role="exponent",
            source="15 published pairs with E > 0: median 0.25, log-sd 0.44",
        ),
        Parameter(
            "g",
            dist.LogNormal(log(0.4), 0.3),
            unit="1",
            meaning="exponent of experts over that of parameters",
            role="exponent",
            source="Clark et al. 2022, three kinds of routing at 4e8 parameters: 0.34 to 0.46",
        ),
        Parameter(
            "X_start",
            dist.LogNormal(0.0, 0.7),
            unit="experts",
            meaning="Xhat of the dense model",
            source="Clark et al. 2022, three kinds of routing: 1.8 to 4.2",
            quantity="X_start - 1",
            value=lambda draw: 1 + draw,
        ),
        Parameter(
            "X_max",
            dist.LogNormal(log(150.0), 0.6),
            unit="experts",
            meaning="Xhat of unlimited experts",
            source="Clark et al. 2022, three kinds of routing: 110 to 250",
            quantity="X_max / X_start",
            value=lambda draw, X_start: draw * X_start,
        ),
        Derived(
            "A",
            unit="loss params^alpha",
            meaning="coefficient",
            role="coefficient",
            value=lambda at, L_0, E, alpha, g, X_start, X_max: (
                (L_0 - E) * power(effective(at.params, at.experts, g, X_start, X_max), alpha)
            ),
        ),
    ),
    quantities=(
        Quantity(
            "dense_equivalent",
            "params",
            "size of the dense model with the same loss (effective parameter count)",
            "N Xhat^g equal to that of one expert, whose Xhat is X_start",
            lambda params, experts, g, X_start, X_max: (
                effective(params, experts, g, X_start, X_max) * power(X_start, -g)
            ),
        ),
    ),
    holds="130e9 tokens for every run, 15M to 1.3B dense parameters, 1 to 512 experts (the runs of Clark et al. 2022)",
    fails="runs on different numbers of tokens; experts far smaller or larger than the layer that they replace",
    references=("Clark et al. 2022, Unified Scaling Laws for Routed Language Models, arXiv 2202.01169",),
)
