"""The largest of two or three bottlenecks plus an irreducible loss, smoothed so that it has a gradient everywhere.

    L = L_inf + [ sum_j T_j^(1/q) ]^q,  T_N = (N_c / N)^alpha_N,  T_D = (D_c / D)^alpha_D,  T_C = (C_c / C)^alpha_C

with q = 0.03 fixed. N parameters, D training tokens, C training FLOPs (``terms=ndc`` only), L loss. It is the nesting
law near q = 0: above L_inf + max_j T_j by at most 2.1 % of the largest term for two terms, 3.4 % for three.

The form appears in summaries of Kaplan et al. 2020 (arXiv 2001.08361) as predict_loss; the paper has neither the
maximum nor L_inf.
"""

from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, power

Q = 0.03
PF_DAY = 8.64e19  # FLOPs


def largest(*log_terms: Array) -> Array:
    """[ sum_j T_j^(1/q) ]^q."""
    return jnp.exp(Q * logsumexp(jnp.stack(jnp.broadcast_arrays(*log_terms)) / Q, axis=0))


def term(x: Array, scale: Array, exponent: Array) -> Array:
    """Log of T = (scale / x)^exponent."""
    return exponent * jnp.log(scale / x)


def two_terms(
    params: Array, tokens: Array, L_inf: Array, N_c: Array, D_c: Array, alpha_N: Array, alpha_D: Array
) -> Array:
    """L = L_inf + [ sum_j T_j^(1/q) ]^q over T_N, T_D."""
    return L_inf + largest(term(params, N_c, alpha_N), term(tokens, D_c, alpha_D))


def three_terms(
    params: Array,
    tokens: Array,
    flops: Array,
    L_inf: Array,
    N_c: Array,
    D_c: Array,
    C_c: Array,
    alpha_N: Array,
    alpha_D: Array,
    alpha_C: Array,
) -> Array:
    """L = L_inf + [ sum_j T_j^(1/q) ]^q over T_N, T_D, T_C."""
    return L_inf + largest(term(params, N_c, alpha_N), term(tokens, D_c, alpha_D), term(flops, C_c, alpha_C))


NEAR = "the bottleneck changes within the runs or near them"
LEVEL = Derived(
    "R",
    "loss",
    "T_D at the centre of the data",
    lambda L_0, L_inf, alpha_N, x: (L_0 - L_inf) / largest(alpha_N * jnp.log(x), 0.0 * x),
)
COMPUTE = (
    Parameter(
        "alpha_C",
        dist.LogNormal(log(0.1), 0.5),
        "1",
        "exponent of compute",
        "0.05 (Kaplan), 0.18 (Chinchilla frontier)",
    ),
    Parameter("y", dist.LogNormal(0.0, 1.5), "1", "C with T_C = T_D of the centre, over C there", NEAR),
    Derived(
        "R",
        "loss",
        "T_D at the centre of the data",
        lambda L_0, L_inf, alpha_N, x, alpha_C, y: (
            (L_0 - L_inf) / largest(alpha_N * jnp.log(x), 0.0 * x, alpha_C * jnp.log(y))
        ),
    ),
    Derived("C_c", "FLOPs", "scale of compute", lambda at, R, alpha_C, y: y * at.flops * power(R, 1 / alpha_C)),
)
SEED_FORM = Published(
    "kaplan_constants_not_kaplans_form",
    {"L_inf": 0.0}
    | {"N_c": 8.8e13, "alpha_N": 0.076, "D_c": 5.4e13, "alpha_D": 0.095, "C_c": 3.1e8 * PF_DAY, "alpha_C": 0.05},
    source="constants of Kaplan et al. 2020, eq 1.1 to 1.3; their maximum is not from a paper",
    note="non-embedding parameters, distinct tokens, compute C_min; pure power laws, so L_inf is 0: with L_inf > 0 the "
    "exponents must be refitted",
    verified=False,
)


def law(terms: Literal["nd", "ndc"] = "nd") -> Law:
    """Choose the bottlenecks: parameters and data, with or without compute."""
    three = terms == "ndc"
    return Law(
        name="max_form",
        title=f"largest of the bottlenecks {'N, D and C' if three else 'N and D'} plus an irreducible loss",
        formula="L = L_inf + [ sum_j T_j^(1/q) ]^q,  T_N = (N_c / N)^alpha_N,  T_D = (D_c / D)^alpha_D"
        + (",  T_C = (C_c / C)^alpha_C" if three else ""),
        mean=three_terms if three else two_terms,
        decreasing_in=("params", "tokens", "flops") if three else ("params", "tokens"),
        parameters=(
            LOSS_AT_CENTRE,
            Parameter(
                "L_inf",
                dist.Beta(1.5, 1.5),
                unit="loss",
                meaning="irreducible loss",
                role="irreducible",
                source="published E over the loss at the centre of the data: 0.16 to 0.72",
                quantity="L_inf / L_0",
                value=lambda draw, L_0: draw * L_0,
            ),
            Parameter(
                "alpha_N",
                dist.LogNormal(log(0.25), 0.5),
                unit="1",
                meaning="exponent of parameters",
                role="exponent",
                source="15 published laws with an irreducible loss: median 0.25, log-sd 0.44",
            ),
            Parameter(
                "alpha_D",
                dist.LogNormal(0.0, 0.25),
                unit="1",
                meaning="exponent of tokens",
                role="exponent",
                source="15 published pairs: log-sd of the ratio 0.18",
                quantity="alpha_D / alpha_N",
                value=lambda draw, alpha_N: draw * alpha_N,
            ),
            Parameter(
                "x",
                dist.LogNormal(0.0, 1.5),
                "1",
                "N with T_N = T_D of the centre, over N there",
                NEAR,
            ),
            *(COMPUTE if three else (LEVEL,)),
            Derived(
                "N_c", "params", "scale of parameters", lambda at, R, x, alpha_N: x * at.params * power(R, 1 / alpha_N)
            ),
            Derived("D_c", "tokens", "scale of data", lambda at, R, alpha_D: at.tokens * power(R, 1 / alpha_D)),
        ),
        published=(SEED_FORM,) if three else (),
        weakly_identified=("N_c", "D_c", "C_c", "alpha_N", "alpha_D", "alpha_C") if three else (),
        holds="one bottleneck dominates the others everywhere",
        fails="near the compute-optimal split, where the terms are about equal and their sum is twice the largest"
        + ("; where C = 6 N D, the compute term adds no information" if three else ""),
        references=(
            "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361 (single laws)",
            "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv 2203.15556 (irreducible loss)",
        ),
    )
