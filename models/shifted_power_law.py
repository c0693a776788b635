"""Shifted power law in one input: it flattens where the input passes a scale.

    L(X) = b (1 / X + 1 / X_s)^c

X is the input chosen at load (``input=tokens``, ``params`` or ``flops``), in raw units. Below X_s it is the power law
b / X^c, far above it the constant b / X_s^c: another resource, of size X_s, is the limit.

Alabdulmohsin et al. 2022 (arXiv 2209.06640), family M3 (there with gamma = 1 / X_s).
"""

from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Quantity, power


def mean(X: Array, b: Array, c: Array, X_s: Array) -> Array:
    """L(X) = b (1 / X + 1 / X_s)^c."""
    return b * power(1 / X + 1 / X_s, c)


def law(input: Literal["tokens", "params", "flops"] = "tokens") -> Law:
    """Choose the input."""
    return Law(
        name="shifted_power_law",
        title=f"power law in {input} that flattens",
        formula=f"L(X) = b (1 / X + 1 / X_s)^c, X = {input}",
        mean=mean,
        reads={"X": input},
        decreasing_in=(input,),
        parameters=(
            LOSS_AT_CENTRE,
            Parameter(
                "c",
                dist.LogNormal(log(0.2), 0.6),
                unit="1",
                meaning=f"exponent of {input} below X_s",
                role="exponent",
                source="published: 0.05 (compute) to 0.5",
            ),
            Parameter(
                "X_s",
                dist.Beta(1.5, 1.5),
                unit=input,
                meaning="scale at which the curve bends",
                role="scale",
                source="published floors over the loss at the centre of the data: 0.16 to 0.72",
                quantity="floor b / X_s^c over L_0",
                value=lambda draw, at, c: at.inputs[input] * jnp.expm1(-jnp.log(draw) / c),
            ),
            Derived(
                "b",
                unit=f"loss {input}^c",
                meaning="coefficient",
                role="coefficient",
                value=lambda at, L_0, c, X_s: L_0 * power(1 / at.inputs[input] + 1 / X_s, -c),
            ),
        ),
        quantities=(
            Quantity(
                "floor", "loss", "loss at which the curve flattens", "unlimited X", lambda b, c, X_s: b * power(X_s, -c)
            ),
        ),
        holds="a single further limit, with nothing else changing along the curve",
        fails="several limits one after another; until the curve begins to bend, the prior determines X_s",
        references=(
            "Alabdulmohsin et al. 2022, Revisiting Neural Scaling Laws in Language and Vision, arXiv 2209.06640",
        ),
    )
