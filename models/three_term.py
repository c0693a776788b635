"""Steps and batch as separate terms: a small model, few steps and small batches each add to the loss.

    L(N, S, B) = E + A / N^alpha + K / S^beta + J / B^gamma

N parameters, S optimiser steps, B tokens per step, L loss. It can be fitted to runs with poorly chosen batch sizes:
at fixed tokens S B it has an optimal batch that grows as tokens^(beta / (beta + gamma)).

Schaipp 2026 (arXiv 2607.01487), the three-term law: L = E + A / N^alpha + B / M^beta + C / K^gamma, whose batch M and
steps K are B and S here, and whose (B, beta) and (C, gamma) are (J, gamma) and (K, beta). Kaplan et al. 2020 couple
steps and batch through a critical batch size that depends on the loss instead.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Quantity, power


def mean(
    params: Array,
    steps: Array,
    batch_tokens: Array,
    E: Array,
    A: Array,
    K: Array,
    J: Array,
    alpha: Array,
    beta: Array,
    gamma: Array,
) -> Array:
    """L(N, S, B) = E + A / N^alpha + K / S^beta + J / B^gamma."""
    return E + A * power(params, -alpha) + K * power(steps, -beta) + J * power(batch_tokens, -gamma)


def best_batch(tokens: Array, K: Array, J: Array, beta: Array, gamma: Array) -> Array:
    """B with beta K / S^beta = gamma J / B^gamma on S = D / B."""
    return power(gamma * J / (beta * K) * power(tokens, beta), 1 / (beta + gamma))


LAW = Law(
    name="three_term",
    title="parameters, steps and batch size, one term each",
    formula="L(N, S, B) = E + A / N^alpha + K / S^beta + J / B^gamma",
    mean=mean,
    decreasing_in=("params", "steps", "batch_tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
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
            dist.LogNormal(log(0.35), 0.5),
            unit="1",
            meaning="exponent of steps",
            role="exponent",
            source="between exponents of tokens (median 0.24) and Kaplan's exponent of steps (0.76)",
        ),
        Parameter(
            "gamma",
            dist.LogNormal(0.0, 0.4),
            unit="1",
            meaning="exponent of batch size",
            role="exponent",
            source="weakly informative: the best batch size then grows as tokens^(0.3 to 0.7)",
            quantity="gamma / beta",
            value=lambda draw, beta: draw * beta,
        ),
        Parameter(
            "A",
            dist.Beta(1.5, 2.5),
            unit="loss params^alpha",
            meaning="coefficient of parameters",
            role="coefficient",
            source="weakly informative: one of three terms",
            quantity="(A / N^alpha) / (L_0 - E) at the centre of the data",
            value=lambda draw, at, L_0, E, alpha: draw * (L_0 - E) * power(at.params, alpha),
        ),
        Parameter(
            "K",
            dist.Beta(1.5, 1.5),
            unit="loss steps^beta",
            meaning="coefficient of steps",
            role="coefficient",
            source="weakly informative: about half at the best batch size",
            quantity="(K / S^beta) / (L_0 - E - A / N^alpha) at the centre of the data",
            value=lambda draw, at, L_0, E, A, alpha, beta: (
                draw * (L_0 - E - A * power(at.params, -alpha)) * power(at.steps, beta)
            ),
        ),
        Derived(
            "J",
            unit="loss tokens^gamma",
            meaning="coefficient of batch size",
            role="coefficient",
            value=lambda at, L_0, E, A, K, alpha, beta, gamma: (
                (L_0 - E - A * power(at.params, -alpha) - K * power(at.steps, -beta)) * power(at.batch_tokens, gamma)
            ),
        ),
    ),
    quantities=(
        Quantity(
            "best_batch",
            "tokens",
            "tokens per step with the lowest loss for a number of training tokens",
            "least K / S^beta + J / B^gamma at S B = D",
            best_batch,
        ),
        Quantity(
            "best_steps",
            "steps",
            "steps with the lowest loss for a number of training tokens",
            "least K / S^beta + J / B^gamma at S B = D",
            lambda tokens, K, J, beta, gamma: tokens / best_batch(tokens, K, J, beta, gamma),
        ),
    ),
    holds="Schaipp 2026 fitted 246 runs with good and bad batch sizes; runs with one schedule, learning rate tuned for "
    "each batch size",
    fails="far from the best batch size: each term can grow without limit, whereas a critical batch size has limits; "
    "runs at one number of tokens, in which steps and batch size cannot be distinguished",
    references=(
        "Schaipp 2026, How to Allocate Your Tokens? Scaling Laws with Training Steps and Batch Size, arXiv 2607.01487",
        "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",
    ),
)
