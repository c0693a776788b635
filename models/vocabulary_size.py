"""Vocabulary size: a larger one helps by itself, and needs more text.

    L = E + A / N^alpha + C / V^gamma + B V^kappa / H^beta

N parameters outside the vocabulary, V size of the vocabulary, H characters of training text, L loss. L must be
comparable between vocabularies: loss per character, or the loss minus that of a unigram model plus a constant that
keeps it positive. kappa couples text and vocabulary: a larger V makes the text fewer tokens, each of them seen less.

`vocabulary` takes tokens and the parameters of the vocabulary instead, as Tao et al. 2024 (arXiv 2407.13623, approach
3); they turn characters into tokens by a curve measured on their tokenisers, which the learned V^kappa stands for here.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def mean(
    params: Array,
    vocabulary: Array,
    characters: Array,
    E: Array,
    A: Array,
    alpha: Array,
    C: Array,
    gamma: Array,
    B: Array,
    kappa: Array,
    beta: Array,
) -> Array:
    """L = E + A / N^alpha + C / V^gamma + B V^kappa / H^beta."""
    text = B * power(vocabulary, kappa) * power(characters, -beta)
    return E + A * power(params, -alpha) + C * power(vocabulary, -gamma) + text


def best_vocabulary(characters: Array, C: Array, gamma: Array, B: Array, kappa: Array, beta: Array) -> Array:
    """V with gamma C / V^gamma = kappa B V^kappa / H^beta."""
    return power(gamma * C * power(characters, beta) / (kappa * B), 1 / (gamma + kappa))


LAW = Law(
    name="vocabulary_size",
    title="Chinchilla in characters, with a best size of the vocabulary that grows with the text",
    formula="L = E + A / N^alpha + C / V^gamma + B V^kappa / H^beta",
    mean=mean,
    decreasing_in=("params", "characters"),
    columns={
        "vocabulary": Column("V, number of tokens in the vocabulary", 4e3, 1e5),
        "characters": Column("H, characters of training text", 5e8, 5e11),
    },
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "alpha",
            dist.LogNormal(log(0.3), 0.5),
            unit="1",
            meaning="exponent of parameters outside the vocabulary",
            role="exponent",
            source="15 published pairs: median 0.25; Tao et al. 2024: 0.45",
        ),
        Parameter(
            "beta",
            dist.LogNormal(0.0, 0.3),
            unit="1",
            meaning="exponent of characters",
            role="exponent",
            source="15 published pairs: log-sd of beta / alpha 0.18; Tao et al. 2024 tie them",
            quantity="beta / alpha",
            value=lambda draw, alpha: draw * alpha,
        ),
        Parameter(
            "gamma",
            dist.LogNormal(log(0.6), 0.5),
            unit="1",
            meaning="exponent of the vocabulary",
            role="exponent",
            source="Tao et al. 2024: 0.67",
        ),
        Parameter(
            "kappa",
            dist.LogNormal(log(0.1), 0.7),
            unit="1",
            meaning="how much more a larger vocabulary loses where there is little text",
            role="exponent",
            source="weakly informative: less than beta",
        ),
        Parameter(
            "C",
            dist.Beta(1.5, 6.0),
            unit="loss tokens^gamma",
            meaning="coefficient of the vocabulary",
            role="coefficient",
            source="weakly informative: a small part",
            quantity="share of C / V^gamma in L_0 - E at the centre of the data",
            value=lambda draw, at, L_0, E, gamma: draw * (L_0 - E) * power(at.vocabulary, gamma),
        ),
        Derived(
            "rest",
            unit="loss",
            meaning="sum of the other two terms at the centre of the data",
            value=lambda at, L_0, E, gamma, C: L_0 - E - C * power(at.vocabulary, -gamma),
        ),
        Parameter(
            "A",
            dist.Beta(1.5, 1.5),
            unit="loss params^alpha",
            meaning="coefficient of parameters outside the vocabulary",
            role="coefficient",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="its share of the other two terms at the centre of the data",
            value=lambda draw, at, alpha, rest: draw * rest * power(at.params, alpha),
        ),
        Derived(
            "B",
            unit="loss characters^beta",
            meaning="coefficient of text",
            role="coefficient",
            value=lambda at, alpha, beta, kappa, rest, A: (
                (rest - A * power(at.params, -alpha)) * power(at.characters, beta) * power(at.vocabulary, -kappa)
            ),
        ),
    ),
    quantities=(
        Quantity(
            "best_vocabulary",
            "tokens",
            "size of the vocabulary with the lowest loss for a number of characters",
            "first-order condition",
            best_vocabulary,
        ),
    ),
    holds="33M to 1.1B parameters outside the vocabulary, vocabularies of 4k to 96k, 2e8 to 2e11 characters",
    fails="losses per token of different tokenisers, which are not comparable",
    references=("Tao et al. 2024, Scaling Laws with Vocabulary, arXiv 2407.13623",),
)
