"""Chinchilla: an irreducible loss, one power law in parameters, one in tokens.

    L(N, D) = E + A / N^alpha + B / D^beta

N parameters (total, embeddings included, in the papers), D training tokens, each seen once, L loss. E is the
loss that no model of the family can remove, A / N^alpha that of a finite model, B / D^beta that of finite training.

Hoffmann et al. 2022 (arXiv 2203.15556), eq 2 and 10; refitted by Besiroglu et al. 2024 (arXiv 2404.10102).
"""

from math import exp, log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import E_OF_LANGUAGE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def mean(params: Array, tokens: Array, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """L(N, D) = E + A / N^alpha + B / D^beta."""
    return E + A * power(params, -alpha) + B * power(tokens, -beta)


def params_opt(flops: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """N = G (C / 6)^(beta / (alpha + beta)), G = (alpha A / (beta B))^(1 / (alpha + beta))."""
    return power(alpha * A / (beta * B) * power(flops / 6, beta), 1 / (alpha + beta))


def tokens_opt(flops: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """D = C / (6 N)."""
    return flops / (6 * params_opt(flops, A, B, alpha, beta))


def loss_opt(flops: Array, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """L = E + (A G^-alpha + B G^beta) (C / 6)^-gamma."""
    params = params_opt(flops, A, B, alpha, beta)
    return mean(params, flops / (6 * params), E, A, B, alpha, beta)


def flops_opt(loss: Array, E: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """C = 6 [ (A G^-alpha + B G^beta) / (L - E) ]^(1 / gamma), infinite where L <= E."""
    at_one = loss_opt(jnp.asarray(6.0), 0.0 * E, A, B, alpha, beta)
    reducible = jnp.where(loss > E, loss - E, 1.0)
    return jnp.where(loss > E, 6 * power(at_one / reducible, 1 / alpha + 1 / beta), jnp.inf)


def inference_share(params: Array, tokens: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """D_inf / D = 3 (alpha A N^-alpha / (beta B D^-beta) - 1), from least 6 N D + 2 N D_inf at a given loss."""
    return 3 * (alpha * A * power(params, -alpha) / (beta * B * power(tokens, -beta)) - 1)


LAW = Law(
    name="chinchilla",
    title="irreducible loss plus a power law in parameters and one in tokens",
    formula="L(N, D) = E + A / N^alpha + B / D^beta",
    mean=mean,
    decreasing_in=("params", "tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        E_OF_LANGUAGE,
        Parameter(
            "alpha",
            dist.LogNormal(log(0.25), 0.5),
            unit="1",
            meaning="exponent of parameters",
            role="exponent",
            source="15 published pairs with E > 0: median 0.25, log-sd 0.44",
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
            "A",
            dist.Beta(4.1, 3.6),
            unit="loss params^alpha",
            meaning="coefficient of parameters",
            role="coefficient",
            source="population of 10 public tables from 7 sources (benchmarks/population.py); 80 % in 0.31 to 0.76",
            quantity="(A / N^alpha) / (L_0 - E) at the centre of the data",
            value=lambda draw, at, L_0, E, alpha: draw * (L_0 - E) * power(at.params, alpha),
        ),
        Derived(
            "B",
            unit="loss tokens^beta",
            meaning="coefficient of tokens",
            role="coefficient",
            value=lambda at, L_0, E, A, alpha, beta: (L_0 - E - A * power(at.params, -alpha)) * power(at.tokens, beta),
        ),
    ),
    published=(
        Published(
            "hoffmann2022",
            {"E": exp(0.5267228), "A": exp(6.0073404), "B": exp(6.0179186), "alpha": 0.33917084, "beta": 0.2849083},
            source="Hoffmann et al. 2022, approach 3, unrounded values of the paper's TeX source",
            note="MassiveText, total parameters, nats/token; its optimiser stopped early, see besiroglu2024",
        ),
        Published(
            "hoffmann2022_rounded",
            {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
            source="Hoffmann et al. 2022, eq 10, as printed",
            note="rounding beta moves the token term by about 13 % at 1e11 tokens",
        ),
        Published(
            "besiroglu2024",
            {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
            source="Besiroglu et al. 2024, 240 runs digitised from Hoffmann's figure 4",
            note="standard errors from 4,000 bootstraps",
            standard_error={"E": 0.0257, "A": 124.5, "B": 1293.3, "alpha": 0.0154, "beta": 0.0206},
        ),
    ),
    quantities=(
        Quantity("params_opt", "params", "compute-optimal parameters for a budget", "Hoffmann et al. eq 4", params_opt),
        Quantity("tokens_opt", "tokens", "compute-optimal tokens for a budget", "Hoffmann et al. eq 4", tokens_opt),
        Quantity("loss_opt", "loss", "loss at the compute-optimal split", "Hoffmann et al. eq 4", loss_opt),
        Quantity("flops_opt", "FLOPs", "lowest compute that reaches a loss", "loss_opt solved for compute", flops_opt),
        Quantity(
            "split_exponent",
            "1",
            "a: optimal parameters grow as compute^a, tokens as compute^(1 - a)",
            "Hoffmann et al. eq 4",
            lambda alpha, beta: beta / (alpha + beta),
        ),
        Quantity(
            "loss_exponent",
            "1",
            "gamma: the reducible loss falls as compute^-gamma on the frontier",
            "Hoffmann et al. eq 4",
            lambda alpha, beta: alpha * beta / (alpha + beta),
        ),
        Quantity(
            "inference_share",
            "1",
            "tokens of inference per training token for which these params and tokens are cheapest; negative for a "
            "model that is too large even without inference",
            "first-order condition of Sardana et al. 2023 (arXiv 2401.00448), 6 N D + 2 N D_inf at a given loss",
            inference_share,
        ),
    ),
    holds="one epoch, tuned decoder-only transformers, cosine schedule matched to D; 44M to 16B parameters",
    fails="repeated data, mid-schedule checkpoints, badly tuned small runs; alpha and beta cannot be distinguished in "
    "runs that all lie on the compute-optimal frontier",
    references=(
        "Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv 2203.15556",
        "Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv 2404.10102",
    ),
)
