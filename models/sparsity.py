"""Weight sparsity: a model with many zero weights counts as more than its non-zero parameters.

    L(S, N, D) = (a_S (1 - S)^b_S + c_S) / N^b_N + (a_D / D)^b_D + c

S share of weights that are zero, N non-zero parameters, D training tokens, L loss. At a given N, a sparser model is cut
from a larger dense one, and its loss is lower; the gain saturates, as c_S remains where S is near 1. S = 0 is a dense
model.

Frantar et al. 2023 (arXiv 2309.08520); the form and the constants are quoted from memory.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import (
    IRREDUCIBLE,
    LOSS_AT_CENTRE,
    Array,
    Column,
    Derived,
    Law,
    Parameter,
    Published,
    Quantity,
    power,
)


def factor(sparsity: Array, a_S: Array, b_S: Array, c_S: Array) -> Array:
    """a_S (1 - S)^b_S + c_S; a share above 1 counts as 1."""
    return a_S * power(jnp.maximum(1 - sparsity, 1e-12), b_S) + c_S


def mean(
    sparsity: Array,
    params: Array,
    tokens: Array,
    a_S: Array,
    b_S: Array,
    c_S: Array,
    b_N: Array,
    a_D: Array,
    b_D: Array,
    c: Array,
) -> Array:
    """L(S, N, D) = (a_S (1 - S)^b_S + c_S) / N^b_N + (a_D / D)^b_D + c."""
    return factor(sparsity, a_S, b_S, c_S) * power(params, -b_N) + power(a_D / tokens, b_D) + c


def dense_equivalent(params: Array, sparsity: Array, a_S: Array, b_S: Array, c_S: Array, b_N: Array) -> Array:
    """N [ (a_S + c_S) / (a_S (1 - S)^b_S + c_S) ]^(1 / b_N)."""
    return params * power((a_S + c_S) / factor(sparsity, a_S, b_S, c_S), 1 / b_N)


LAW = Law(
    name="sparsity",
    title="parameters, tokens and the share of weights that are zero",
    formula="L(S, N, D) = (a_S (1 - S)^b_S + c_S) / N^b_N + (a_D / D)^b_D + c",
    mean=mean,
    decreasing_in=("sparsity", "params", "tokens"),
    columns={"sparsity": Column("S, share of weights that are zero; params are the others", 0, 0.9)},
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "c",
            IRREDUCIBLE.prior,
            unit="loss",
            meaning="irreducible loss",
            role="irreducible",
            source=IRREDUCIBLE.source,
            quantity="c / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "b_N",
            dist.LogNormal(log(0.25), 0.5),
            unit="1",
            meaning="exponent of parameters",
            role="exponent",
            source="15 published pairs with E > 0: median 0.25, log-sd 0.44",
        ),
        Parameter(
            "b_D",
            dist.LogNormal(0.0, 0.4),
            unit="1",
            meaning="exponent of tokens",
            role="exponent",
            source="15 published pairs: log-sd of their ratio 0.18; pruning may change it",
            quantity="b_D / b_N",
            value=lambda draw, b_N: draw * b_N,
        ),
        Parameter(
            "b_S",
            dist.LogNormal(log(0.8), 0.4),
            unit="1",
            meaning="exponent of the share of non-zero weights",
            role="exponent",
            source="weakly informative: 0.4 to 1.5",
        ),
        Parameter(
            "T_N",
            dist.Beta(1.5, 1.5),
            unit="loss",
            meaning="term of parameters at the centre of the data",
            source="weakly informative: one of two terms",
            quantity="T_N / (L_0 - c)",
            value=lambda draw, L_0, c: draw * (L_0 - c),
        ),
        Parameter(
            "c_S",
            dist.Beta(2.0, 1.5),
            unit="loss params^b_N",
            meaning="coefficient of parameters of a model that is nearly all zeros",
            role="coefficient",
            source="weakly informative: very sparse models keep a third to nearly all of the term",
            quantity="c_S / (a_S (1 - S)^b_S + c_S) at the centre of the data",
            value=lambda draw, at, T_N, b_N: draw * T_N * power(at.params, b_N),
        ),
        Derived(
            "a_S",
            unit="loss params^b_N",
            meaning="what a dense model adds to that coefficient",
            role="coefficient",
            value=lambda at, T_N, b_N, c_S, b_S: (T_N * power(at.params, b_N) - c_S) * power(1 - at.sparsity, -b_S),
        ),
        Derived(
            "a_D",
            unit="tokens loss^(1 / b_D)",
            meaning="scale of tokens",
            role="scale",
            value=lambda at, L_0, c, T_N, b_D: at.tokens * power(L_0 - c - T_N, 1 / b_D),
        ),
    ),
    published=(
        Published(
            "frantar2023_t5",
            {"a_S": 16.8, "b_S": 0.722, "c_S": 45.0, "b_N": 0.245, "a_D": 6.90e8, "b_D": 0.203, "c": 0.651},
            source="Frantar et al. 2023, T5 on C4, from memory",
            note="non-zero parameters, encoder-decoder, gradual pruning in training",
            verified=False,
        ),
    ),
    quantities=(
        Quantity(
            "dense_equivalent",
            "params",
            "dense model with the same loss on the same tokens",
            "the formula at S = 0",
            dense_equivalent,
        ),
    ),
    weakly_identified=("b_S", "c_S", "a_S"),
    holds="gradual magnitude pruning within one training run; S of 0 to 0.875",
    fails="sparsity beyond what was fitted; experts, which are sparse by tokens and not by weights (`moe_routing`)",
    references=("Frantar et al. 2023, Scaling Laws for Sparsely-Connected Foundation Models, arXiv 2309.08520",),
)
