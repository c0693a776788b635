"""Learning rate and batch size: a law of tuned runs, and a valley around the best rate and the best batch.

    L = E + R (1 + V_r + V_B),  R = [ T_N^(1/q) + T_D^(1/q) ]^q,  T_N = A / N^alpha,  T_D = K / D^beta,  D = S B
    V_r = w_r (exp(s_r z) - 1 - s_r z) / s_r^2,  z = ln(r / r_best),  r_best = c_r N^-a D^b B^c
    V_B = w_B (exp(s_B y) - 1 - s_B y) / s_B^2,  y = ln(B / B_best),  B_best = c_B N^-e D^d

N parameters, S optimiser steps, B tokens per step, D training tokens, r peak learning rate, L loss. Runs that are tuned
badly add to what is learned rather than having to be dropped: the best rate moves with size, data and batch, the best
batch with data. A valley is a parabola, w z^2 / 2 near its bottom; s > 0 makes it steeper above the optimum (runs that
nearly diverge) than below (runs that learn slowly).

R is that of `nesting` (the Skaling law of OpenEuroLLM 2026, arXiv 2608.28308), the paths of the optimum those of
StepLaw (Li et al. 2025, arXiv 2503.04715), whose best rate is at the best batch. The valley is ours.
"""

import jax.numpy as jnp
from bayes_scaling.models._bottlenecks import bottlenecks, reducible
from bayes_scaling.models._valley import VALLEYS, best_batch, best_rate, valley

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Law, Quantity


def mean(
    params: Array,
    steps: Array,
    batch_tokens: Array,
    peak_learning_rate: Array,
    E: Array,
    A: Array,
    K: Array,
    alpha: Array,
    beta: Array,
    q: Array,
    c_r: Array,
    a: Array,
    b: Array,
    c: Array,
    w_r: Array,
    s_r: Array,
    c_B: Array,
    d: Array,
    e: Array,
    w_B: Array,
    s_B: Array,
) -> Array:
    """L = E + R (1 + valley of the rate + valley of the batch)."""
    tokens = steps * batch_tokens
    off_rate = jnp.log(peak_learning_rate / best_rate(params, tokens, batch_tokens, c_r, a, b, c))
    off_batch = jnp.log(batch_tokens / best_batch(params, tokens, c_B, d, e))
    R = reducible(params, tokens, A, K, alpha, beta, q)
    loss: Array = E + R * (1 + valley(off_rate, w_r, s_r) + valley(off_batch, w_B, s_B))
    return loss


LAW = Law(
    name="tuning",
    title="parameters, tokens, learning rate and batch size: tuned runs, and what other runs lose",
    formula="L = E + R (1 + V_r + V_B),  R = [ T_N^(1/q) + T_D^(1/q) ]^q",
    mean=mean,
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        *bottlenecks(lambda at: at.steps * at.batch_tokens),
        *VALLEYS,
    ),
    quantities=(
        Quantity("best_batch", "tokens", "tokens per step with the lowest loss", "bottom of its valley", best_batch),
        Quantity("best_rate", "1", "peak learning rate with the lowest loss", "bottom of its valley", best_rate),
    ),
    holds="one optimiser and one kind of schedule; StepLaw's runs: 60M to 1.1B parameters, 1e9 to 1e11 tokens",
    fails="rates at which training diverges; other optimisers, warm-up or weight decay, which move the optimum",
    references=(
        "Li et al. 2025, Predictable Scale: Part I, Optimal Hyperparameter Scaling Law (StepLaw), arXiv 2503.04715",
        "OpenEuroLLM 2026, arXiv 2608.28308",
    ),
)
