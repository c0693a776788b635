"""Double descent in one input: a power law with an irreducible loss, and a peak that passes.

    L(X) = (E + (X_c / X)^alpha) (1 + 2 h / ((X / X_p)^(1 / w) + (X_p / X)^(1 / w)))

X is the input chosen at load (``input=params``, ``tokens`` or ``flops``), in raw units. The loss is raised by a share h
at X_p, where model and data are just large enough for one another, and by a share that falls as a power of X on both
sides of it. With h = 0 it is the power law with an irreducible loss.

The form is ours. That test error peaks where a model can just fit its data, and falls again beyond: Belkin et al. 2019
(arXiv 1812.11118), Nakkiran et al. 2020 (arXiv 1912.02292), over model size, training time and sample size.
"""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Quantity, power


def peak(X: Array, h: Array, X_p: Array, w: Array) -> Array:
    """1 + 2 h / ((X / X_p)^(1 / w) + (X_p / X)^(1 / w)), for any w in steps that do not overflow."""
    away = jnp.abs(jnp.log(X / X_p)) / w
    return 1 + 2 * h * jnp.exp(-away) / (1 + jnp.exp(-2 * away))


def mean(X: Array, E: Array, alpha: Array, X_c: Array, h: Array, X_p: Array, w: Array) -> Array:
    """L(X) = (E + (X_c / X)^alpha) (1 + 2 h / ((X / X_p)^(1 / w) + (X_p / X)^(1 / w)))."""
    return (E + power(X_c / X, alpha)) * peak(X, h, X_p, w)


def without_peak(column: str) -> Callable[..., Array]:
    """Return what the power law alone is at the centre of the data."""
    return lambda at, L_0, h, X_p, w: L_0 / peak(at.inputs[column], h, X_p, w)


def law(input: Literal["params", "tokens", "flops"] = "params") -> Law:
    """Choose the input."""
    base = without_peak(input)
    return Law(
        name="double_descent",
        title=f"power law in {input} with a peak, plus an irreducible loss",
        formula=f"L(X) = (E + (X_c / X)^alpha) (1 + 2 h / ((X / X_p)^(1 / w) + (X_p / X)^(1 / w))), X = {input}",
        mean=mean,
        reads={"X": input},
        parameters=(
            LOSS_AT_CENTRE,
            Parameter(
                "h",
                dist.LogNormal(log(0.15), 0.6),
                unit="1",
                meaning="height of the peak, over the loss without it",
                source="weakly informative: 5 to 40 %",
            ),
            Parameter(
                "X_p",
                dist.LogNormal(0.0, 0.6),
                unit=input,
                meaning="place of the peak",
                role="scale",
                source="among the data: a peak at their edge cannot be told from the law",
                quantity=f"X_p over the {input} at the centre of the data",
                value=lambda draw, at: draw * at.inputs[input],
            ),
            Parameter(
                "w",
                dist.LogNormal(log(0.5), 0.3),
                unit="e-folds",
                meaning="width of the peak",
                source="a peak that passes within a decade or two; wider ones cannot be told from the law",
            ),
            replace(
                IRREDUCIBLE,
                quantity="E over the loss at the centre of the data without the peak",
                value=lambda draw, at, L_0, h, X_p, w: draw * base(at, L_0, h, X_p, w),
            ),
            Parameter(
                "alpha",
                dist.LogNormal(log(0.2), 0.7),
                unit="1",
                meaning=f"exponent of {input}",
                role="exponent",
                source="with E: 0.05 (compute) to 0.6",
            ),
            Derived(
                "X_c",
                unit=input,
                meaning=f"scale of {input} (has no meaning by itself)",
                role="scale",
                value=lambda at, L_0, h, X_p, w, E, alpha: (
                    at.inputs[input] * power(base(at, L_0, h, X_p, w) - E, 1 / alpha)
                ),
            ),
        ),
        quantities=(
            Quantity(
                "at_peak",
                "loss",
                "loss at the peak",
                "the formula at X = X_p",
                lambda E, alpha, X_c, h, X_p: (E + power(X_c / X_p, alpha)) * (1 + h),
            ),
        ),
        weakly_identified=("h", "X_p", "w"),
        holds="one curve whose loss rises and falls again, most of the peak among the fitted runs",
        fails="several peaks; where the loss rises up to the largest runs, the priors say how it goes on",
        references=(
            "Belkin et al. 2019, Reconciling modern machine learning practice and the bias-variance trade-off, "
            "arXiv 1812.11118",
            "Nakkiran et al. 2020, Deep Double Descent: Where Bigger Models and More Data Hurt, arXiv 1912.02292",
        ),
    )
