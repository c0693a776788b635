"""Delayed power law in one input: flat until the input passes a scale, then a power law plus an irreducible loss.

    L(X) = E + b (1 + X / X_0)^-c

X is the input chosen at load (``input=tokens``, ``params``, ``flops`` or ``steps``), in raw units. Far below X_0 the
loss is E + b, that of a model that has learned nothing yet; far above it the reducible loss falls as X^-c.

This form is ours: the power law with a shift of its input, as in hyperbolic learning curves (Viering and Loog 2021,
arXiv 2103.10948, table of forms), with an irreducible loss.
"""

from math import log
from typing import Literal

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Quantity, power


def mean(X: Array, E: Array, b: Array, X_0: Array, c: Array) -> Array:
    """L(X) = E + b (1 + X / X_0)^-c."""
    return E + b * power(1 + X / X_0, -c)


def law(input: Literal["tokens", "params", "flops", "steps"] = "tokens") -> Law:
    """Choose the input."""
    return Law(
        name="delayed_power_law",
        title=f"power law in {input} that starts late, plus an irreducible loss",
        formula=f"L(X) = E + b (1 + X / X_0)^-c, X = {input}",
        mean=mean,
        reads={"X": input},
        decreasing_in=(input,),
        parameters=(
            LOSS_AT_CENTRE,
            IRREDUCIBLE,
            Parameter(
                "X_0",
                dist.LogNormal(-1.0, 1.5),
                unit=input,
                meaning="scale at which the loss begins to fall",
                role="scale",
                source="weakly informative: mostly before the centre of the data",
                quantity=f"X_0 over the {input} at the centre of the data",
                value=lambda draw, at: draw * at.inputs[input],
            ),
            Parameter(
                "c",
                dist.LogNormal(log(0.3), 0.5 if input == "params" else 0.7),
                unit="1",
                meaning=f"exponent of {input} far above X_0",
                role="exponent",
                source="published exponents with an irreducible loss: 0.05 to 0.7; of params as in power_law",
            ),
            Derived(
                "b",
                unit="loss",
                meaning="loss above E of a model that has learned nothing",
                value=lambda at, L_0, E, X_0, c: (L_0 - E) * power(1 + at.inputs[input] / X_0, c),
            ),
        ),
        quantities=(Quantity("start", "loss", "loss at X = 0", "the formula at X = 0", lambda E, b, X_0, c: E + b),),
        weakly_identified=("X_0",),
        holds="one curve from near its start: errors and losses that hardly change at first",
        fails="curves with several stages; without early rows the prior determines X_0",
        references=("Viering and Loog 2021, The Shape of Learning Curves: a Review, arXiv 2103.10948",),
    )
