"""Farseer: irreducible loss, data coefficient and data exponent all depend on the size of the model.

    L(N, D) = exp(s N^q + S) + exp(B N^b + Q) D^(-exp(A N^a + E))

N non-embedding parameters, D training tokens, each seen once, L loss (the paper: bits per character). The best D / N
then changes with compute. All three functions are ln f(N) = u N^v + w, a straight line in ln N as v goes to 0; priors
are on their values and slopes at the centre of the data, and on v, small and with the sign of the paper. Runs tell
how much a and b bend the data term together, and hardly which of them does: so a - b is sampled, and the share of a.

Li et al. 2025 (arXiv 2506.10972).
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, power


def mean(
    params: Array,
    tokens: Array,
    s: Array,
    q: Array,
    S: Array,
    B: Array,
    b: Array,
    Q: Array,
    A: Array,
    a: Array,
    E: Array,
) -> Array:
    """L(N, D) = exp(s N^q + S) + exp(B N^b + Q) D^(-exp(A N^a + E))."""
    exponent = jnp.exp(A * power(params, a) + E)
    return jnp.exp(s * power(params, q) + S) + jnp.exp(B * power(params, b) + Q - exponent * jnp.log(tokens))


LAW = Law(
    name="farseer",
    title="irreducible loss, data coefficient and data exponent as functions of the model's size",
    formula="L(N, D) = exp(s N^q + S) + exp(B N^b + Q) D^(-exp(A N^a + E))",
    mean=mean,
    decreasing_in=("tokens",),
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "q",
            dist.LogNormal(log(0.15), 0.3),
            unit="1",
            meaning="power of N in the log of the irreducible loss: how fast its slope changes",
            source="weakly informative: near a straight line in ln N, sign of the paper",
        ),
        Parameter(
            "bend",
            dist.LogNormal(log(0.22), 0.22),
            unit="1",
            meaning="a - b: how fast the slopes of the data term change",
            source="weakly informative: near a straight line in ln N, signs of the paper",
        ),
        Parameter(
            "a",
            dist.Beta(12.0, 10.0),
            unit="1",
            meaning="power of N in the log of the data exponent: how fast its slope changes",
            source="weakly informative: about half of the bend",
            quantity="a / bend",
            value=lambda draw, bend: draw * bend,
        ),
        Derived(
            "b",
            unit="1",
            meaning="power of N in the log of the data coefficient: how fast its slope changes",
            value=lambda a, bend: a - bend,
        ),
        Parameter(
            "floor",
            dist.Beta(2.0, 2.0),
            unit="loss",
            meaning="loss with unlimited data, at the centre of the data",
            source="weakly informative: from a small part to most of the loss",
            quantity="floor / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "s",
            dist.LogNormal(log(0.1), 0.5),
            unit="params^-q",
            meaning="coefficient of size in the log of the irreducible loss",
            role="coefficient",
            source="a Chinchilla law in which larger models remove a third of this loss: 0.1",
            quantity="- d ln floor / d ln N at the centre of the data",
            value=lambda draw, at, q: -draw / q * power(at.params, -q),
        ),
        Derived(
            "S",
            unit="log loss",
            meaning="constant of the log of the irreducible loss",
            value=lambda at, q, floor, s: jnp.log(floor) - s * power(at.params, q),
        ),
        Parameter(
            "exponent",
            dist.LogNormal(log(0.3), 0.4),
            unit="1",
            meaning="data exponent at the centre of the data",
            role="exponent",
            source="15 published exponents: median 0.24, log-sd 0.34",
        ),
        Parameter(
            "A",
            dist.LogNormal(log(0.1), 0.5),
            unit="params^-a",
            meaning="coefficient of size in the log of the data exponent",
            role="coefficient",
            source="weakly informative: the exponent falls by 10 % per e-fold of N",
            quantity="- d ln exponent / d ln N at the centre of the data",
            value=lambda draw, at, a: -draw / a * power(at.params, -a),
        ),
        Derived(
            "E",
            unit="1",
            meaning="constant of the log of the data exponent",
            value=lambda at, a, exponent, A: jnp.log(exponent) - A * power(at.params, a),
        ),
        Parameter(
            "B",
            dist.Normal(0.0, 0.1),
            unit="params^-b",
            meaning="coefficient of size in the log of the data coefficient",
            role="coefficient",
            source="weakly informative: zero in a Chinchilla law",
            quantity="d ln (data term) / d ln N at the centre of the data",
            value=lambda draw, at, b, a, A, exponent: (
                (draw + exponent * a * A * power(at.params, a) * jnp.log(at.tokens)) / b * power(at.params, -b)
            ),
        ),
        Derived(
            "Q",
            unit="log loss",
            meaning="constant of the log of the data coefficient",
            value=lambda at, L_0, b, floor, exponent, B: (
                jnp.log(L_0 - floor) + exponent * jnp.log(at.tokens) - B * power(at.params, b)
            ),
        ),
    ),
    published=(
        Published(
            "li2025",
            dict(s=-0.021, q=0.169, S=-0.091, B=88.01, b=-0.1, Q=-6.287, A=-0.124, a=0.123, E=0.424),
            source="Li et al. 2025, from memory, not checked against the paper",
            note="bits per character, non-embedding parameters",
            verified=False,
        ),
    ),
    weakly_identified=("q",),
    holds="about 1,000 dense models of one recipe, 0.2e9 to 25e9 parameters, one epoch",
    fails="nine parameters need dozens of runs off the frontier; far outside the data the curvatures dominate, "
    "and the loss may even rise with N",
    references=("Li et al. 2025, Predictable Scale Part II: Farseer, a refined scaling law, arXiv 2506.10972",),
)
