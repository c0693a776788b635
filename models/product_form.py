"""Product of power laws: log loss is linear in log parameters, log tokens and log compute. A null model.

    L = K / (N^a D^b C^c)        terms=ndc
    L = K / (N^a D^b)            terms=nd

N parameters, D training tokens, C training FLOPs, L loss. It has no bottlenecks: any single input takes the loss to
zero, which no training run shows. It is a baseline: a law that does not forecast better has learned nothing from
the shape of the data.

The form appears in summaries of Kaplan et al. 2020 (arXiv 2001.08361); the paper itself never multiplies its laws.
"""

from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter


def two(params: Array, tokens: Array, K: Array, a: Array, b: Array) -> Array:
    """L = K / (N^a D^b)."""
    return K * jnp.exp(-a * jnp.log(params) - b * jnp.log(tokens))


def three(params: Array, tokens: Array, flops: Array, K: Array, a: Array, b: Array, c: Array) -> Array:
    """L = K / (N^a D^b C^c)."""
    return K * jnp.exp(-a * jnp.log(params) - b * jnp.log(tokens) - c * jnp.log(flops))


def exponent(name: str, of: str, median: float) -> Parameter:
    """Return the row of an exponent."""
    return Parameter(
        name,
        dist.LogNormal(log(median), 0.5),
        unit="1",
        meaning=f"exponent of {of}",
        role="exponent",
        source="pure power laws of language models: 0.037 to 0.10 for one input, here shared among several",
    )


ROWS = {
    "nd": (
        exponent("a", "parameters", 0.06),
        exponent("b", "tokens", 0.06),
        Derived(
            "K",
            unit="loss params^a tokens^b",
            meaning="coefficient",
            role="coefficient",
            value=lambda at, L_0, a, b: L_0 / two(at.params, at.tokens, jnp.ones(()), a, b),
        ),
    ),
    "ndc": (
        exponent("a", "parameters", 0.04),
        exponent("b", "tokens", 0.04),
        exponent("c", "compute", 0.03),
        Derived(
            "K",
            unit="loss params^a tokens^b FLOPs^c",
            meaning="coefficient",
            role="coefficient",
            value=lambda at, L_0, a, b, c: L_0 / three(at.params, at.tokens, at.flops, jnp.ones(()), a, b, c),
        ),
    ),
}


def law(terms: Literal["ndc", "nd"] = "ndc") -> Law:
    """Choose the inputs: parameters and tokens, with or without compute."""
    with_compute = terms == "ndc"
    return Law(
        name="product_form",
        title=f"product of power laws in {'N, D and C' if with_compute else 'N and D'}; a null model",
        formula="L = K / (N^a D^b C^c)" if with_compute else "L = K / (N^a D^b)",
        mean=three if with_compute else two,
        decreasing_in=("params", "tokens", "flops") if with_compute else ("params", "tokens"),
        parameters=(LOSS_AT_CENTRE, *ROWS[terms]),
        weakly_identified=("a", "b", "c", "K") if with_compute else (),
        holds="not a law: a straight line in logarithms through data of a small range",
        fails="wherever an input limits the loss: it has no bottleneck and no irreducible loss"
        + ("; where C = 6 N D only a + c and b + c are identified" if with_compute else ""),
        references=("Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361 (single laws)",),
    )
