"""Context: the loss of a token falls with the number of tokens before it.

    L(T) = a + b T^-c

T tokens of context before the token, L mean loss of tokens at that position, of one model or of models that are
otherwise the same. a is the loss with unlimited context.

Kaplan et al. 2020 (arXiv 2001.08361), figure 20, which shows power laws in T per model but prints no constants.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def mean(position: Array, a: Array, b: Array, c: Array) -> Array:
    """L(T) = a + b T^-c."""
    return a + b * power(position, -c)


LAW = Law(
    name="context",
    title="loss of a token by its position in the context",
    formula="L(T) = a + b T^-c",
    mean=mean,
    decreasing_in=("position",),
    columns={"position": Column("T, tokens of context before the token", 2, 4096)},
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "a",
            dist.Beta(3.0, 1.5),
            unit="loss",
            meaning="loss with unlimited context",
            source="weakly informative: most of the loss of a late token remains with any context",
            quantity="a / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "c",
            dist.LogNormal(log(0.4), 0.5),
            unit="1",
            meaning="exponent of the position",
            role="exponent",
            source="weakly informative: half of the gain from context is reached within tens of tokens",
        ),
        Derived(
            "b",
            unit="loss tokens^c",
            meaning="coefficient of the position: loss from lack of context, extrapolated to T = 1",
            role="coefficient",
            value=lambda at, L_0, a, c: (L_0 - a) * power(at.position, c),
        ),
    ),
    quantities=(
        Quantity(
            "mean_loss",
            "loss",
            "mean over the positions 1 to ``length``: a + b length^-c / (1 - c), for c below 1 and long contexts",
            "integral of the law",
            lambda a, b, c, length: a + b * power(length, -c) / (1 - c),
        ),
    ),
    holds="positions of one context window, transformers",
    fails="the very first tokens; late positions of models other than transformers; beyond the trained length",
    references=("Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",),
)
