"""Vocabulary: its parameters as a third input, with a separate exponent.

    L = E + A_1 / N_nv^alpha_1 + A_2 / N_v^alpha_2 + B / D^beta

N_nv parameters outside the vocabulary, N_v those of the vocabulary (its size times the width), D training tokens. L
must be comparable between vocabularies: loss per character, or the paper's loss minus that of a unigram model. The
latter is negative, and so is E (the paper writes -E): add a constant before fitting it here.

Tao et al. 2024 (arXiv 2407.13623), approach 3.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Published, power


def mean(
    params: Array,
    vocabulary_params: Array,
    tokens: Array,
    E: Array,
    A_1: Array,
    alpha_1: Array,
    A_2: Array,
    alpha_2: Array,
    B: Array,
    beta: Array,
) -> Array:
    """L = E + A_1 / N_nv^alpha_1 + A_2 / N_v^alpha_2 + B / D^beta."""
    return E + A_1 * power(params, -alpha_1) + A_2 * power(vocabulary_params, -alpha_2) + B * power(tokens, -beta)


LAW = Law(
    name="vocabulary",
    title="Chinchilla with the parameters of the vocabulary as a third term",
    formula="L = E + A_1 / N_nv^alpha_1 + A_2 / N_v^alpha_2 + B / D^beta",
    mean=mean,
    decreasing_in=("params", "vocabulary_params", "tokens"),
    columns={"vocabulary_params": Column("N_v, vocabulary size times width (params counts the others)", 2e6, 1e9)},
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "alpha_1",
            dist.LogNormal(log(0.3), 0.5),
            unit="1",
            meaning="exponent of parameters outside the vocabulary",
            role="exponent",
            source="15 published pairs: median 0.25; Tao et al. 2024: 0.45",
        ),
        Parameter(
            "beta",
            dist.LogNormal(0.0, 0.25),
            unit="1",
            meaning="exponent of tokens",
            role="exponent",
            source="15 published pairs: log-sd of beta / alpha 0.18; Tao et al. 2024 tie them",
            quantity="beta / alpha_1",
            value=lambda draw, alpha_1: draw * alpha_1,
        ),
        Parameter(
            "alpha_2",
            dist.LogNormal(log(1.3), 0.3),
            unit="1",
            meaning="exponent of parameters of the vocabulary",
            role="exponent",
            source="Tao et al. 2024: 1.5",
            quantity="alpha_2 / alpha_1",
            value=lambda draw, alpha_1: draw * alpha_1,
        ),
        Parameter(
            "A_2",
            dist.Beta(1.5, 6.0),
            unit="loss params^alpha_2",
            meaning="coefficient of the vocabulary",
            role="coefficient",
            source="weakly informative: a small part; Tao et al. 2024: 0.01 to 0.1",
            quantity="share of A_2 / N_v^alpha_2 in L_0 - E at the centre of the data",
            value=lambda draw, at, L_0, E, alpha_2: draw * (L_0 - E) * power(at.vocabulary_params, alpha_2),
        ),
        Derived(
            "rest",
            unit="loss",
            meaning="sum of the other two terms at the centre of the data",
            value=lambda at, L_0, E, alpha_2, A_2: L_0 - E - A_2 * power(at.vocabulary_params, -alpha_2),
        ),
        Parameter(
            "A_1",
            dist.Beta(1.5, 1.5),
            unit="loss params^alpha_1",
            meaning="coefficient of parameters outside the vocabulary",
            role="coefficient",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="its share of the other two terms at the centre of the data",
            value=lambda draw, at, alpha_1, rest: draw * rest * power(at.params, alpha_1),
        ),
        Derived(
            "B",
            unit="loss tokens^beta",
            meaning="coefficient of tokens",
            role="coefficient",
            value=lambda at, alpha_1, beta, rest, A_1: (
                (rest - A_1 * power(at.params, -alpha_1)) * power(at.tokens, beta)
            ),
        ),
    ),
    published=(
        Published(
            "tao2024",
            {
                "E": -5.5328,
                "A_1": 1.8314 * 1e6**0.44661,
                "A_2": 0.19584 * 1e6**0.67074,
                "B": 2.1241 * 1e9**0.44661,
                "alpha_1": 0.44661,
                "alpha_2": 0.67074,
                "beta": 0.44661,
            },
            source="Tao et al. 2024, released code, approach 3; raw units from its millions and billions",
            note="SlimPajama, unigram-normalised loss. D there is characters times a tokens-per-character curve fed "
            "with the vocabulary in thousands: about 3 times the tokens at a vocabulary of 16k",
        ),
    ),
    holds="33M to 3B parameters outside the vocabulary, vocabularies of 4k to 96k, up to 500e9 characters",
    fails="losses per token of different tokenisers, which are not comparable; vocabularies too large for their data",
    references=("Tao et al. 2024, Scaling Laws with Vocabulary, arXiv 2407.13623",),
)
