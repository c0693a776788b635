"""Routed mixtures of experts: dense size and number of experts, each helping less as the other grows.

    log10 L = a log10 N + b log10 Ehat + c log10 N log10 Ehat + d
    1 / Ehat = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max

N parameters of the dense model that the experts are added to, E experts (1 is the dense model), Ehat an effective
number, E_start at E = 1 and E_max for unlimited experts, L loss. All runs see the same number of tokens. Logarithms
are to base 10.

Clark et al. 2022 (arXiv 2202.01169), eq 1.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Published, Quantity

LN10 = log(10)


def log_experts(experts: Array, E_start: Array, E_max: Array) -> Array:
    """log10 Ehat, 1 / Ehat = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max."""
    return -jnp.log10(1 / (experts - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max)


def mean(params: Array, experts: Array, a: Array, b: Array, c: Array, d: Array, E_start: Array, E_max: Array) -> Array:
    """log10 L = a log10 N + b log10 Ehat + c log10 N log10 Ehat + d."""
    n, e = jnp.log10(params), log_experts(experts, E_start, E_max)
    return jnp.exp(LN10 * (a * n + b * e + c * n * e + d))


LAW = Law(
    name="moe_routing",
    title="dense size and number of experts, bilinear in their logarithms",
    formula="log10 L = a log10 N + b log10 Ehat + c log10 N log10 Ehat + d",
    mean=mean,
    decreasing_in=("params", "experts"),
    columns={"experts": Column("E, number of experts (1 for a dense model)", 1, 512)},
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "E_start",
            dist.LogNormal(0.0, 0.7),
            unit="experts",
            meaning="Ehat of the dense model",
            source="three kinds of routing: 1.8 to 4.2",
            quantity="E_start - 1",
            value=lambda draw: 1 + draw,
        ),
        Parameter(
            "E_max",
            dist.LogNormal(log(150.0), 0.6),
            unit="experts",
            meaning="Ehat of unlimited experts",
            source="three kinds of routing: 110 to 250",
            quantity="E_max / E_start",
            value=lambda draw, E_start: draw * E_start,
        ),
        Parameter(
            "slope",
            dist.LogNormal(log(0.07), 0.4),
            unit="1",
            meaning="exponent of N at the centre of the data",
            role="exponent",
            source="three kinds of routing: about 0.07 at 32 experts",
        ),
        Parameter(
            "b_slope",
            dist.LogNormal(log(0.4), 0.3),
            unit="1",
            meaning="exponent of Ehat at the centre of the data",
            role="exponent",
            source="three kinds of routing at 4e8 parameters: 0.34 to 0.46",
            quantity="exponent of Ehat / exponent of N, both at the centre of the data",
            value=lambda draw, slope: draw * slope,
        ),
        Parameter(
            "c",
            dist.Beta(2.0, 2.0),
            unit="1 / decade",
            meaning="how fast each exponent falls with the other input",
            source="three kinds of routing: experts stop helping 2 to 3.5 decades above 4e8 parameters",
            quantity="1 / (decades of N from the centre to where experts stop helping), as a share of 0.6",
            value=lambda draw, b_slope: 0.6 * draw * b_slope,
        ),
        Derived(
            "a",
            unit="1",
            meaning="minus the exponent of N at Ehat = 1",
            role="exponent",
            value=lambda at, E_start, E_max, slope, c: -slope - c * log_experts(at.experts, E_start, E_max),
        ),
        Derived(
            "b",
            unit="1",
            meaning="minus the exponent of Ehat at N = 1",
            role="exponent",
            value=lambda at, b_slope, c: -b_slope - c * jnp.log10(at.params),
        ),
        Derived(
            "d",
            unit="decades of loss",
            meaning="log10 loss at N = 1, Ehat = 1",
            value=lambda at, L_0, slope, E_start, E_max, b, c, a: (
                jnp.log10(L_0)
                - a * jnp.log10(at.params)
                - (b + c * jnp.log10(at.params)) * log_experts(at.experts, E_start, E_max)
            ),
        ),
    ),
    quantities=(
        Quantity(
            "dense_equivalent",
            "params",
            "size of the dense model with the same loss (effective parameter count)",
            "Clark et al. 2022, eq 11",
            lambda params, experts, a, b, c, E_start, E_max: (
                10
                ** (
                    (
                        a * jnp.log10(params)
                        + (b + c * jnp.log10(params)) * log_experts(experts, E_start, E_max)
                        - b * jnp.log10(E_start)
                    )
                    / (a + c * jnp.log10(E_start))
                )
            ),
        ),
        Quantity(
            "cutoff",
            "params",
            "dense size beyond which experts no longer help: 10^(-b / c); rounded constants move it by a factor of 3",
            "Clark et al. 2022: 937e9 (S-BASE), 85e9 (RL-R), 83e9 (HASH)",
            lambda b, c: 10 ** (-b / c),
        ),
    ),
    published=tuple(
        Published(
            name,
            {"a": a, "b": b, "c": c, "d": d, "E_start": E_start, "E_max": E_max},
            source="Clark et al. 2022, table 3 (from a summary of the paper)",
            note="130e9 tokens of MassiveText, nats/token; base 10",
        )
        for name, a, b, c, d, E_start, E_max in (
            ("clark2022_s_base", -0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
            ("clark2022_rl_r", -0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
            ("clark2022_hash", -0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
        )
    ),
    holds="130e9 tokens for every run, 15M to 1.3B dense parameters, 1 to 512 experts, one expert a token in every "
    "second layer",
    fails="other numbers of tokens; far beyond 1e11 parameters, where the law says that experts hurt",
    references=("Clark et al. 2022, Unified Scaling Laws for Routed Language Models, arXiv 2202.01169",),
)
