"""Shape: Chinchilla with the size in layers and width, and a penalty for models that are too deep or too wide.

    L = (E + A N^-alpha + B D^-beta) (1 + s ln(aspect / aspect_0)^2),  N = 12 layers width^2

aspect is width / layers, N non-embedding parameters of the standard shape, D training tokens. s = 0 means that the
shape does not matter; Kaplan et al. find a few percent over a factor of 40 in aspect, s about 0.01. The form of the
penalty is ours.

Kaplan et al. 2020 (arXiv 2001.08361), eq 2.1 and figure 5.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def size(layers: Array, width: Array) -> Array:
    """N = 12 layers width^2."""
    return 12 * layers * width**2


def penalty(layers: Array, width: Array, s: Array, aspect_0: Array) -> Array:
    """Share of the loss that a shape costs: s ln(aspect / aspect_0)^2."""
    return s * (jnp.log(width) - jnp.log(layers) - jnp.log(aspect_0)) ** 2


def mean(
    layers: Array,
    width: Array,
    tokens: Array,
    E: Array,
    A: Array,
    alpha: Array,
    B: Array,
    beta: Array,
    s: Array,
    aspect_0: Array,
) -> Array:
    """L = (E + A N^-alpha + B D^-beta) (1 + s ln(aspect / aspect_0)^2), N = 12 layers width^2."""
    best = E + A * power(size(layers, width), -alpha) + B * power(tokens, -beta)
    return best * (1 + penalty(layers, width, s, aspect_0))


LAW = Law(
    name="shape",
    title="Chinchilla in layers and width, with a penalty for the shape",
    formula="L = (E + A N^-alpha + B D^-beta) (1 + s ln(aspect / aspect_0)^2),  N = 12 layers width^2",
    mean=mean,
    decreasing_in=("tokens",),
    columns={
        "layers": Column("number of layers", 4, 64),
        "width": Column("width of the residual stream", 256, 8192),
    },
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "s",
            dist.HalfNormal(0.02),
            unit="1",
            meaning="penalty for an aspect that is off by a factor of e",
            source="Kaplan et al. 2020: a few percent over a factor of 40, about 0.01; zero is allowed",
        ),
        Parameter(
            "aspect_0",
            dist.LogNormal(log(60.0), 0.7),
            unit="1",
            meaning="best width / layers",
            source="usual models: 30 to 130",
        ),
        Parameter(
            "best",
            dist.Beta(1.5, 1.5),
            unit="loss",
            meaning="irreducible loss, including the penalty of the shape at the centre of the data",
            role="irreducible",
            source="published E over the loss at the centre of the data: 0.16 to 0.72",
            quantity="share of L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
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
        Derived(
            "centre",
            unit="loss",
            meaning="loss at the centre of the data without the penalty",
            value=lambda at, L_0, s, aspect_0: L_0 / (1 + penalty(at.layers, at.width, s, aspect_0)),
        ),
        Derived("E", "loss", "irreducible loss at the best shape", lambda L_0, best, centre: best / L_0 * centre),
        Parameter(
            "A",
            dist.Beta(1.5, 1.5),
            unit="loss params^alpha",
            meaning="coefficient of parameters",
            role="coefficient",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="share of A N^-alpha in the reducible loss at the centre of the data",
            value=lambda draw, at, centre, E, alpha: draw * (centre - E) * power(size(at.layers, at.width), alpha),
        ),
        Derived(
            "B",
            unit="loss tokens^beta",
            meaning="coefficient of tokens",
            role="coefficient",
            value=lambda at, centre, E, A, alpha, beta: (
                (centre - E - A * power(size(at.layers, at.width), -alpha)) * power(at.tokens, beta)
            ),
        ),
    ),
    quantities=(
        Quantity(
            "penalty",
            "share of the loss",
            "cost of the shape compared with the best one of the same size",
            "this file",
            penalty,
        ),
        Quantity("best_aspect", "1", "width / layers with the lowest loss", "this file", lambda aspect_0: aspect_0),
        Quantity(
            "best_width",
            "1",
            "width of the best shape at a size: (N aspect_0 / 12)^(1/3)",
            "this file",
            lambda params, aspect_0: power(params * aspect_0 / 12, 1 / 3),
        ),
    ),
    holds="decoder-only transformers with d_ff = 4 width, shapes from 10 to 400 in width / layers",
    fails="fewer than 2 layers, where depth itself is missing; shapes that also change learning rate or batch size",
    references=("Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",),
)
