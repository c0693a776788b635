"""Chinchilla with one exponent: parameters and tokens reduce the loss at the same rate.

    L(N, D) = E + A / N^alpha + B / D^alpha

N parameters, D training tokens, each seen once, L loss. Optimal parameters and tokens then both grow as the square root
of compute: tokens per parameter are the same at every budget.

Muennighoff et al. 2023 (arXiv 2305.16264), with every token seen once; the form of Hoffmann et al. 2022, beta = alpha.
"""

from math import exp, log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def mean(params: Array, tokens: Array, E: Array, A: Array, B: Array, alpha: Array) -> Array:
    """L(N, D) = E + A / N^alpha + B / D^alpha."""
    return E + A * power(params, -alpha) + B * power(tokens, -alpha)


def loss_opt(flops: Array, E: Array, A: Array, B: Array, alpha: Array) -> Array:
    """L = E + 2 (A B)^(1/2) (C / 6)^(-alpha / 2)."""
    return E + 2 * jnp.sqrt(A * B) * power(flops / 6, -alpha / 2)


def flops_opt(loss: Array, E: Array, A: Array, B: Array, alpha: Array) -> Array:
    """C = 6 [ 2 (A B)^(1/2) / (L - E) ]^(2 / alpha), infinite where L <= E."""
    reducible = jnp.where(loss > E, loss - E, 1.0)
    return jnp.where(loss > E, 6 * power(2 * jnp.sqrt(A * B) / reducible, 2 / alpha), jnp.inf)


LAW = Law(
    name="chinchilla_tied",
    title="Chinchilla with one exponent for parameters and tokens",
    formula="L(N, D) = E + A / N^alpha + B / D^alpha",
    mean=mean,
    decreasing_in=("params", "tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "alpha",
            dist.LogNormal(log(0.25), 0.5),
            unit="1",
            meaning="exponent of parameters and of tokens",
            role="exponent",
            source="15 published pairs with E > 0: median 0.25, log-sd 0.44",
        ),
        Parameter(
            "A",
            dist.Beta(1.5, 1.5),
            unit="loss params^alpha",
            meaning="coefficient of parameters",
            role="coefficient",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="(A / N^alpha) / (L_0 - E) at the centre of the data",
            value=lambda draw, at, L_0, E, alpha: draw * (L_0 - E) * power(at.params, alpha),
        ),
        Derived(
            "B",
            unit="loss tokens^alpha",
            meaning="coefficient of tokens",
            role="coefficient",
            value=lambda at, L_0, E, A, alpha: (L_0 - E - A * power(at.params, -alpha)) * power(at.tokens, alpha),
        ),
    ),
    published=(
        Published(
            "muennighoff2023",
            {"E": exp(0.6254804), "A": exp(6.255414), "B": exp(7.3049974), "alpha": 0.3526596},
            source="Muennighoff et al. 2023, constants of the released code, at full precision",
            note="C4, nats/token, one epoch, parameters at most 5 % of the tokens; the paper prints E 1.87, A 521, "
            "B 1488, alpha 0.353",
        ),
    ),
    quantities=(
        Quantity(
            "params_opt",
            "params",
            "compute-optimal parameters for a budget",
            "Hoffmann et al. eq 4 with beta = alpha",
            lambda flops, A, B, alpha: power(A / B, 1 / (2 * alpha)) * jnp.sqrt(flops / 6),
        ),
        Quantity(
            "tokens_opt",
            "tokens",
            "compute-optimal tokens for a budget",
            "Hoffmann et al. eq 4 with beta = alpha",
            lambda flops, A, B, alpha: power(B / A, 1 / (2 * alpha)) * jnp.sqrt(flops / 6),
        ),
        Quantity(
            "tokens_per_param",
            "tokens/params",
            "compute-optimal tokens per parameter, at every budget",
            "Hoffmann et al. eq 4 with beta = alpha",
            lambda A, B, alpha: power(B / A, 1 / alpha),
        ),
        Quantity("loss_opt", "loss", "loss at the compute-optimal split", "Hoffmann et al. eq 4", loss_opt),
        Quantity("flops_opt", "FLOPs", "lowest compute that reaches a loss", "loss_opt solved for compute", flops_opt),
    ),
    holds="one epoch, tuned decoder-only transformers, schedule matched to D; 7M to 9B parameters (Muennighoff et al.)",
    fails="repeated data (see repeated_data); where the two exponents differ, tokens per parameter at budgets far from "
    "the data",
    references=(
        "Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv 2305.16264",
        "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv 2203.15556",
    ),
)
