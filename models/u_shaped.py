"""Scores that first get worse: two transitions in one input, to a worse level and then to the best one.

    L(X) = (C + (M - C) s_1) (1 - s_2) + E s_2,  s_i = 1 / (1 + (X_i / X)^a_i)

X is the input chosen at load (``input=flops``, ``params`` or ``tokens``), in raw units; L an error or a loss that is
low where the score is high. Small models are at C, often chance. Around X_1 they move to M, which is worse: they have
learned something that misleads. Around X_2, which is larger, they move to E. A score is then U-shaped in scale.

The form is ours. Scores that fall and rise again: Wei et al. 2023 (arXiv 2211.02011); by how hard questions are: Wu and
Lo 2024 (arXiv 2410.01692).
"""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Literal

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Quantity


def passed(X: Array, place: Array, steepness: Array) -> Array:
    """1 / (1 + (X_i / X)^a_i)."""
    return jax.nn.sigmoid(steepness * jnp.log(X / place))


def mean(X: Array, C: Array, M: Array, E: Array, X_1: Array, X_2: Array, a_1: Array, a_2: Array) -> Array:
    """L(X) = (C + (M - C) s_1) (1 - s_2) + E s_2."""
    later = passed(X, X_2, a_2)
    return (C + (M - C) * passed(X, X_1, a_1)) * (1 - later) + E * later


def start(column: str) -> Callable[..., Array]:
    """Return C, from what the law is at the centre of the data in units of C."""

    def value(at: object, L_0: Array, m: Array, f: Array, X_1: Array, X_2: Array, a_1: Array, a_2: Array) -> Array:
        return L_0 / mean(at.inputs[column], 1.0, 1 + m, f, X_1, X_2, a_1, a_2)  # type: ignore[attr-defined, arg-type]

    return value


def law(input: Literal["flops", "params", "tokens"] = "flops") -> Law:
    """Choose the input."""
    return Law(
        name="u_shaped",
        title=f"a score that gets worse and then better with {input}",
        formula=f"L(X) = (C + (M - C) s_1) (1 - s_2) + E s_2,  s_i = 1 / (1 + (X_i / X)^a_i), X = {input}",
        mean=mean,
        reads={"X": input},
        parameters=(
            LOSS_AT_CENTRE,
            Parameter(
                "m",
                dist.LogNormal(log(0.25), 0.6),
                unit="1",
                meaning="how much worse the worst level is than the first, relative",
                source="weakly informative: 12 to 54 %",
            ),
            replace(
                IRREDUCIBLE,
                name="f",
                unit="1",
                meaning="the last level over the first",
                source="weakly informative: all but the first level are possible",
                quantity="f",
                value=lambda draw: draw,
            ),
            Parameter(
                "X_1",
                dist.LogNormal(log(0.1), 1.5),
                unit=input,
                meaning="where scores get worse",
                role="scale",
                source="below the middle of the data, within a factor of 10 of a tenth of it",
                quantity=f"X_1 over the {input} at the centre of the data",
                value=lambda draw, at: draw * at.inputs[input],
            ),
            Parameter(
                "X_2",
                dist.LogNormal(log(4.0), 0.4),
                unit=input,
                meaning="where scores get better",
                role="scale",
                source="weakly informative: a factor of 11 to 800 later, so that scores get worse before",
                quantity="log(X_2 / X_1)",
                value=lambda draw, X_1: jnp.exp(draw) * X_1,
            ),
            Parameter(
                "a_1",
                dist.LogNormal(0.0, 0.4),
                unit="1",
                meaning="how steeply scores get worse",
                role="exponent",
                source="weakly informative: most of a transition within one or two decades",
            ),
            Parameter(
                "a_2",
                dist.LogNormal(0.0, 0.4),
                unit="1",
                meaning="how steeply scores get better",
                role="exponent",
                source="weakly informative: most of a transition within one or two decades",
            ),
            Derived("C", "loss", "level of small models, often chance", start(input)),
            Derived("M", "loss", "the worst level", lambda C, m: C * (1 + m)),
            Derived("E", "loss", "level of large models", lambda C, f: C * f),
        ),
        quantities=(
            Quantity(
                "turn",
                input,
                "where the way from the worst level to the last is half done",
                "the formula at s_2 = 1 / 2",
                lambda X_2: X_2,
            ),
        ),
        weakly_identified=("C", "M", "E", "X_1", "X_2", "a_1", "a_2"),
        holds="one score of one task whose curve turns among the fitted models",
        fails="curves that have not turned yet: the priors then say when, and whether, they do",
        references=(
            "Wei et al. 2023, Inverse scaling can become U-shaped, arXiv 2211.02011",
            "Wu and Lo 2024, U-shaped and Inverted-U Scaling behind Emergent Abilities of Large Language Models, "
            "arXiv 2410.01692",
        ),
    )
