"""Sigmoidal power law in one input: from the loss of an untrained model to an irreducible loss, a power law between.

    (L - E) / (L_max - L)^a = b / X^c

X is the input chosen at load (``input=tokens``, ``params`` or ``flops``), in raw units; L is the solution between E
and L_max. For L far below L_max the reducible loss falls as X^-c; near L_max the distance to it grows as X^(c / a).
At a = 0 it is the power law with an irreducible loss, without L_max.

Alabdulmohsin et al. 2022 (arXiv 2209.06640), family M4.
"""

from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.nn import sigmoid, softplus

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Quantity, power, root


def balance(z: Array, target: Array, a: Array) -> Array:
    """Log p - a ln(1 - p) - target for p = sigmoid(z), p being the share (L - E) / (L_max - E)."""
    return a * softplus(z) - softplus(-z) - target


def mean(X: Array, E: Array, L_max: Array, a: Array, b: Array, c: Array) -> Array:
    """(L - E) / (L_max - L)^a = b / X^c, solved for L."""
    target = jnp.log(b) - c * jnp.log(X) - (1 - a) * jnp.log(L_max - E)
    start = jnp.where(target > 0, target / a, target)  # asymptotes, on the safe side of the root
    return E + (L_max - E) * sigmoid(root(balance, start, target, a))


def law(input: Literal["tokens", "params", "flops"] = "tokens") -> Law:
    """Choose the input."""
    return Law(
        name="sigmoidal_power_law",
        title=f"power law in {input} between the loss of an untrained model and an irreducible loss",
        formula=f"(L - E) / (L_max - L)^a = b / X^c, X = {input}",
        mean=mean,
        reads={"X": input},
        decreasing_in=(input,),
        parameters=(
            LOSS_AT_CENTRE,
            IRREDUCIBLE,
            Parameter(
                "L_max",
                dist.Beta(2.0, 2.0),
                unit="loss",
                meaning="loss at X = 0, at chance level",
                source="a uniform guess over 32,000 to 256,000 tokens costs 10.4 to 12.5 nats, pilot runs reach 3 to 6",
                quantity="L_0 / L_max",
                value=lambda draw, L_0: L_0 / draw,
            ),
            Parameter(
                "a",
                dist.LogNormal(0.0, 0.5),
                unit="1",
                meaning="how slowly the curve leaves L_max",
                role="exponent",
                source="log-sd 0.5 around 1, the prior over curves of Lee et al. 2025 (arXiv 2505.23032)",
            ),
            Parameter(
                "c",
                dist.LogNormal(log(0.25), 0.6),
                unit="1",
                meaning=f"exponent of {input}",
                role="exponent",
                source="published: 0.05 (compute) to 0.5",
            ),
            Derived(
                "b",
                unit=f"loss^(1 - a) {input}^c",
                meaning="coefficient",
                role="coefficient",
                value=lambda at, L_0, E, L_max, a, c: (L_0 - E) * power(L_max - L_0, -a) * power(at.inputs[input], c),
            ),
        ),
        quantities=(
            Quantity(
                "input_for_loss",
                input,
                f"{input} at which the curve passes through a loss between E and L_max",
                "Alabdulmohsin et al. 2022, M4 solved for the input",
                lambda loss, E, L_max, a, b, c: power(b * power(L_max - loss, a) / (loss - E), 1 / c),
            ),
        ),
        weakly_identified=("L_max", "a"),
        holds="curves that reach from near chance to near their floor; losses and error rates alike",
        fails="curves with several stages; without rows near chance, the prior determines L_max and a",
        references=(
            "Alabdulmohsin et al. 2022, Revisiting Neural Scaling Laws in Language and Vision, arXiv 2209.06640",
        ),
    )
