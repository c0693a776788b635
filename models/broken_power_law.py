"""Broken neural scaling law in one input: power-law pieces with smooth breaks between them, plus an irreducible loss.

    L(X) = E + b X^-c_0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i)

X is the input chosen at load (``input=tokens``, ``params`` or ``flops``), in raw units. The reducible loss falls as
X^-c_0 up to the first break d_1, as X^-(c_0 + c_1) after it, and so on; f_i is the width of a break in e-folds of X.
``breaks=0`` to ``3``; without breaks it is a power law with an irreducible loss. Under the priors every break makes the
curve steeper: one that flattens it cannot be distinguished from an irreducible loss until the curve falls again.

Caballero et al. 2022 (arXiv 2210.14891), eq 1 (there a for E).
"""

import dataclasses
from collections.abc import Callable
from math import log
from typing import Any, Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter


def log_reducible(X: Array, c_0: Array, *breaks: Array) -> Array:
    """-c_0 ln X - sum_i c_i f_i ln(1 + (X / d_i)^(1 / f_i)), the breaks given as c_i, d_i, f_i in turn."""
    total = -c_0 * jnp.log(X)
    for c, d, f in zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True):
        total = total - c * f * jnp.logaddexp(0.0, jnp.log(X / d) / f)
    return total


def none(X: Array, E: Array, b: Array, c_0: Array) -> Array:
    """L(X) = E + b X^-c_0."""
    return E + b * jnp.exp(log_reducible(X, c_0))


def one(X: Array, E: Array, b: Array, c_0: Array, c_1: Array, d_1: Array, f_1: Array) -> Array:
    """L(X) = E + b X^-c_0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i), i = 1."""
    return E + b * jnp.exp(log_reducible(X, c_0, c_1, d_1, f_1))


def two(
    X: Array, E: Array, b: Array, c_0: Array, c_1: Array, d_1: Array, f_1: Array, c_2: Array, d_2: Array, f_2: Array
) -> Array:
    """L(X) = E + b X^-c_0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i), i = 1, 2."""
    return E + b * jnp.exp(log_reducible(X, c_0, c_1, d_1, f_1, c_2, d_2, f_2))


def three(
    X: Array,
    E: Array,
    b: Array,
    c_0: Array,
    c_1: Array,
    d_1: Array,
    f_1: Array,
    c_2: Array,
    d_2: Array,
    f_2: Array,
    c_3: Array,
    d_3: Array,
    f_3: Array,
) -> Array:
    """L(X) = E + b X^-c_0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i), i = 1, 2, 3."""
    return E + b * jnp.exp(log_reducible(X, c_0, c_1, d_1, f_1, c_2, d_2, f_2, c_3, d_3, f_3))


MEANS: dict[str, Callable[..., Array]] = {"0": none, "1": one, "2": two, "3": three}
SLOPE_CHANGES = (
    lambda draw, c_0: draw * c_0,
    lambda draw, c_0, c_1: draw * (c_0 + c_1),
    lambda draw, c_0, c_1, c_2: draw * (c_0 + c_1 + c_2),
)
NEXT_BREAKS = (lambda draw, d_1: d_1 * draw, lambda draw, d_2: d_2 * draw)
# Of ln (first break / centre): breaks are near the centre. With more of them, a curve says less about each.
FIRST = {"1": (0.0, 1.0), "2": (-1.5, 1.0), "3": (-3.0, 0.5)}


def rows_of_break(i: int, input: str, breaks: str) -> tuple[Parameter, ...]:
    """Return the rows of c_i, d_i, f_i."""
    return (
        Parameter(
            f"c_{i}",
            dist.LogNormal(0.0, 0.5) if breaks == "1" else dist.LogNormal(log(0.7), 0.4),
            unit="1",
            meaning=f"change of the exponent at break {i}",
            role="exponent",
            source="about twice as steep after the break; flattening is described by E",
            quantity="change over the exponent before the break",
            value=SLOPE_CHANGES[i - 1],
        ),
        Parameter(
            f"d_{i}",
            dist.LogNormal(*FIRST[breaks]) if i == 1 else dist.LogNormal(3.0, 0.4 if breaks == "2" else 0.25),
            unit=input,
            meaning=f"place of break {i}",
            source="weakly informative: around the centre of the data, a decade or more apart",
            quantity=f"d_1 over the {input} at the centre of the data" if i == 1 else f"d_{i} / d_{i - 1}",
            value=(lambda draw, at: draw * at.inputs[input]) if i == 1 else NEXT_BREAKS[i - 2],
        ),
        Parameter(
            f"f_{i}",
            dist.LogNormal(log(0.4), 0.3),
            unit="e-folds",
            meaning=f"width of break {i}",
            source="weakly informative: a third to two thirds of an e-fold",
        ),
    )


def law(input: Literal["tokens", "params", "flops"] = "tokens", breaks: Literal["1", "0", "2", "3"] = "1") -> Law:
    """Choose the input and the number of breaks."""

    def b(at: Any, L_0: Array, E: Array, *constants: Array) -> Array:
        return (L_0 - E) * jnp.exp(-log_reducible(at.inputs[input], *constants))

    coefficient: dict[str, Callable[..., Array]] = {
        "0": lambda at, L_0, E, c_0: b(at, L_0, E, c_0),
        "1": lambda at, L_0, E, c_0, c_1, d_1, f_1: b(at, L_0, E, c_0, c_1, d_1, f_1),
        "2": lambda at, L_0, E, c_0, c_1, d_1, f_1, c_2, d_2, f_2: b(at, L_0, E, c_0, c_1, d_1, f_1, c_2, d_2, f_2),
        "3": lambda at, L_0, E, c_0, c_1, d_1, f_1, c_2, d_2, f_2, c_3, d_3, f_3: b(
            at, L_0, E, c_0, c_1, d_1, f_1, c_2, d_2, f_2, c_3, d_3, f_3
        ),
    }
    indices = range(1, int(breaks) + 1)
    return Law(
        name="broken_power_law",
        title=f"power law in {input} with {breaks} smooth breaks plus an irreducible loss",
        formula=f"L(X) = E + b X^-c_0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i), X = {input}",
        mean=MEANS[breaks],
        reads={"X": input},
        decreasing_in=(input,),
        parameters=(
            LOSS_AT_CENTRE,
            dataclasses.replace(IRREDUCIBLE, prior=dist.Beta(2.0, 2.0)),
            Parameter(
                "c_0",
                dist.LogNormal(log(0.2), 0.6),
                unit="1",
                meaning=f"exponent of {input} before the first break",
                role="exponent",
                source="published: 0.05 (compute) to 0.5",
            ),
            *(row for i in indices for row in rows_of_break(i, input, breaks)),
            Derived(
                "b", unit=f"loss {input}^c_0", meaning="coefficient", role="coefficient", value=coefficient[breaks]
            ),
        ),
        weakly_identified=tuple(f"{name}_{i}" for i in indices for name in ("c", "d", "f")),
        holds="curves with visibly different stages, each with many points",
        fails="a break beyond the data cannot be predicted; with few points the prior determines its shape; "
        "losses that rise again (double descent) and breaks that flatten, which the priors exclude",
        references=("Caballero et al. 2022, Broken Neural Scaling Laws, arXiv 2210.14891",),
    )
