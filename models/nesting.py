"""The nesting family: bottleneck terms joined by one exponent q that says how sharply one takes over from another.

    L = E + [ sum_j T_j^(1/q) ]^q,  T_N = A / N^alpha,  T_D = B / D^beta,  T_C = K / C^gamma

N parameters, D training tokens, C training FLOPs (``terms=ndc``), L loss. q = 1 adds the terms (Chinchilla); E = 0
with q = beta is Kaplan's joint law, whose T_N is (N_c / N)^alpha_N and T_D is (D_c / D)^alpha_D; q towards 0 keeps only
the largest term. The posterior of q shows which law the data prefer.

Members: Hoffmann et al. 2022 (arXiv 2203.15556), eq 2; Kaplan et al. 2020 (arXiv 2001.08361), eq 1.5. With the terms of
N and D it is what OpenEuroLLM 2026 (arXiv 2608.28308) call the Skaling law, L = E + (A' N^-a + B' D^-b)^k: k = q,
a = alpha / q, b = beta / q, A' = A^(1/q), B' = B^(1/q). The compute term is ours.
"""

from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from bayes_scaling.laws import E_OF_LANGUAGE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def joined(q: Array, *log_terms: Array) -> Array:
    """[ sum_j T_j^(1/q) ]^q, stable for small q."""
    return jnp.exp(q * logsumexp(jnp.stack(jnp.broadcast_arrays(*(log / q for log in log_terms))), axis=0))


def term(x: Array, coefficient: Array, exponent: Array) -> Array:
    """Log of T = coefficient / x^exponent."""
    return jnp.log(coefficient) - exponent * jnp.log(x)


def two_terms(params: Array, tokens: Array, E: Array, A: Array, B: Array, alpha: Array, beta: Array, q: Array) -> Array:
    """L = E + [ sum_j T_j^(1/q) ]^q over T_N, T_D."""
    return E + joined(q, term(params, A, alpha), term(tokens, B, beta))


def three_terms(
    params: Array,
    tokens: Array,
    flops: Array,
    E: Array,
    A: Array,
    B: Array,
    K: Array,
    alpha: Array,
    beta: Array,
    gamma: Array,
    q: Array,
) -> Array:
    """L = E + [ sum_j T_j^(1/q) ]^q over T_N, T_D, T_C."""
    return E + joined(q, term(params, A, alpha), term(tokens, B, beta), term(flops, K, gamma))


def params_opt(flops: Array, A: Array, B: Array, alpha: Array, beta: Array, q: Array) -> Array:
    """N with alpha T_N^(1/q) = beta T_D^(1/q) on C = 6 N D."""
    return power(A / B * power(alpha / beta, q) * power(flops / 6, beta), 1 / (alpha + beta))


PUBLISHED = (
    Published(
        "kaplan2020",
        {"E": 0.0, "A": 6.4e13**0.076, "B": 1.8e13**0.103, "alpha": 0.076, "beta": 0.103, "q": 0.103},
        source="Kaplan et al. 2020, table 2",
        note="Kaplan's member; WebText2, non-embedding parameters, distinct tokens, nats/token",
    ),
)
FRONTIER = (Quantity("params_opt", "params", "compute-optimal parameters", "first-order condition", params_opt),)
NEAR = "the bottleneck changes within the runs or near them"
LEVEL = Derived(
    "R",
    "loss",
    "T_D at the centre of the data",
    lambda L_0, E, alpha, q, x: (L_0 - E) / joined(q, alpha * jnp.log(x), 0.0 * x),
)
COMPUTE = (
    Parameter(
        "gamma",
        dist.LogNormal(log(0.1), 0.5),
        "1",
        "exponent of compute",
        "0.05 (Kaplan) to 0.18 (Chinchilla frontier)",
    ),
    Parameter("y", dist.LogNormal(0.0, 1.5), "1", "C with T_C = T_D of the centre, over C there", NEAR),
    Derived(
        "R",
        "loss",
        "T_D at the centre of the data",
        lambda L_0, E, alpha, q, x, gamma, y: (L_0 - E) / joined(q, alpha * jnp.log(x), 0.0 * x, gamma * jnp.log(y)),
    ),
    Derived("K", "loss FLOPs^gamma", "coefficient of C", lambda at, R, gamma, y: R * power(y * at.flops, gamma)),
)


def law(terms: Literal["nd", "ndc"] = "nd") -> Law:
    """Choose the bottlenecks: parameters and data, with or without compute."""
    three = terms == "ndc"
    return Law(
        name="nesting",
        title=f"family from adding bottlenecks to the largest one, in {'N, D and C' if three else 'N and D'}",
        formula="L = E + [ sum_j T_j^(1/q) ]^q,  T_N = A / N^alpha,  T_D = B / D^beta"
        + (",  T_C = K / C^gamma" if three else ""),
        mean=three_terms if three else two_terms,
        decreasing_in=("params", "tokens", "flops") if three else ("params", "tokens"),
        parameters=(
            LOSS_AT_CENTRE,
            E_OF_LANGUAGE,
            Parameter(
                "alpha",
                dist.LogNormal(log(0.2), 0.6),
                unit="1",
                meaning="exponent of parameters",
                role="exponent",
                source="published: 0.25, log-sd 0.44, with E; 0.07 to 0.08 without",
            ),
            Parameter(
                "beta",
                dist.LogNormal(0.0, 0.25),
                unit="1",
                meaning="exponent of tokens",
                role="exponent",
                source="15 published pairs: log-sd of beta / alpha 0.18; Kaplan et al. 2020: 1.36",
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
            Parameter("x", dist.LogNormal(0.0, 1.5), "1", "N with T_N = T_D of the centre, over N there", NEAR),
            *(COMPUTE if three else (LEVEL,)),
            Derived(
                "A", "loss params^alpha", "coefficient of N", lambda at, R, x, alpha: R * power(x * at.params, alpha)
            ),
            Derived("B", "loss tokens^beta", "coefficient of D", lambda at, R, beta: R * power(at.tokens, beta)),
        ),
        published=() if three else PUBLISHED,
        quantities=() if three else FRONTIER,
        weakly_identified=("A", "B", "K", "alpha", "beta", "gamma", "q") if three else ("q",),
        holds="where any of its members holds",
        fails="only runs on both sides of the change of bottleneck determine q"
        + ("; where C = 6 N D, the compute term adds no information" if three else ""),
        references=(
            "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv 2203.15556",
            "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",
            "OpenEuroLLM 2026, arXiv 2608.28308",
        ),
    )
