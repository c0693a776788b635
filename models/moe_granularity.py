"""Fine-grained mixtures of experts: the parameter term falls as experts are split into more, smaller ones.

    L(N, D, G) = c + (g / G^gamma + a) / N^alpha + b / D^beta

N parameters, D training tokens, each seen once, G granularity: the hidden width of a dense layer over that of one
expert (1 in a standard mixture), L loss. At a fixed G it is the Chinchilla law.

Krajewski et al. 2024 (arXiv 2402.07871), eq 9.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Published, power


def mean(
    params: Array,
    tokens: Array,
    granularity: Array,
    c: Array,
    g: Array,
    gamma: Array,
    a: Array,
    alpha: Array,
    b: Array,
    beta: Array,
) -> Array:
    """L(N, D, G) = c + (g / G^gamma + a) / N^alpha + b / D^beta."""
    return c + (g * power(granularity, -gamma) + a) * power(params, -alpha) + b * power(tokens, -beta)


LAW = Law(
    name="moe_granularity",
    title="Chinchilla for mixtures of experts, with the granularity of the experts",
    formula="L(N, D, G) = c + (g / G^gamma + a) / N^alpha + b / D^beta",
    mean=mean,
    decreasing_in=("params", "tokens", "granularity"),
    columns={"granularity": Column("G, granularity: width of a dense layer over that of one expert", 1, 16)},
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "c",
            dist.Beta(1.5, 1.5),
            unit="loss",
            meaning="irreducible loss",
            role="irreducible",
            source="published irreducible over typical loss: 0.16 to 0.72",
            quantity="c / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "alpha",
            dist.LogNormal(log(0.2), 0.5),
            unit="1",
            meaning="exponent of parameters",
            role="exponent",
            source="15 published pairs: median 0.25; Krajewski et al. 2024: 0.115",
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
            "gamma",
            dist.LogNormal(log(0.6), 0.5),
            unit="1",
            meaning="exponent of granularity",
            role="exponent",
            source="Krajewski et al. 2024: 0.58",
        ),
        Parameter(
            "term",
            dist.Beta(1.5, 1.5),
            unit="loss",
            meaning="the parameter term at the centre of the data",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="its share of L_0 - c",
            value=lambda draw, L_0, c: draw * (L_0 - c),
        ),
        Parameter(
            "g",
            dist.Beta(1.5, 6.0),
            unit="loss params^alpha",
            meaning="coefficient of granularity",
            role="coefficient",
            source="Krajewski et al. 2024: 0.05 at G = 4",
            quantity="share of g / G^gamma in the parameter term at the centre of the data",
            value=lambda draw, at, alpha, gamma, term: (
                draw * term * power(at.params, alpha) * power(at.granularity, gamma)
            ),
        ),
        Derived(
            "a",
            unit="loss params^alpha",
            meaning="coefficient of parameters, at unlimited granularity",
            role="coefficient",
            value=lambda at, alpha, gamma, term, g: term * power(at.params, alpha) - g * power(at.granularity, -gamma),
        ),
        Derived(
            "b",
            unit="loss tokens^beta",
            meaning="coefficient of tokens",
            role="coefficient",
            value=lambda at, L_0, c, beta, term: (L_0 - c - term) * power(at.tokens, beta),
        ),
    ),
    published=(
        Published(
            "krajewski2024",
            {"c": 0.47, "g": 2.1, "gamma": 0.58, "a": 18.1, "alpha": 0.115, "b": 30.8, "beta": 0.147},
            source="Krajewski et al. 2024, table 1 (from a summary of the paper)",
            note="C4, expansion 64, nats/token, RMSE 0.015; its N is not that of its dense rows",
        ),
    ),
    holds="an expansion rate of 64, granularity 1 to 16, 129M to 3.7B parameters, 16e9 to 130e9 tokens",
    fails="other expansion rates; granularity so fine that routing itself is expensive",
    references=("Krajewski et al. 2024, Scaling Laws for Fine-Grained Mixture of Experts, arXiv 2402.07871",),
)
