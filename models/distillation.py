"""Distillation: a student that copies its teacher where the teacher is worse, and gains little where it is better.

    L_S = s (1 + (L_T / (d s))^(1/f))^(k f),  s = E + A / N^alpha + B / D^beta

N parameters of the student, D tokens that it is distilled on, L_T loss of its teacher, L_S loss of the student. s is
the loss that the student reaches with a good teacher. With L_T far below d s the teacher does not matter; far above it
L_S follows the teacher, as L_T^k s^(1 - k). f says how sharp the change is.

After Busbridge et al. 2025 (arXiv 2502.08606), eq 8: a broken power law in L_T over s, which has more parameters there,
and in which a teacher far stronger than its student does harm.
"""

from math import log

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, power


def mean(
    params: Array,
    tokens: Array,
    teacher_loss: Array,
    E: Array,
    A: Array,
    B: Array,
    alpha: Array,
    beta: Array,
    d: Array,
    f: Array,
    k: Array,
) -> Array:
    """L_S = s (1 + (L_T / (d s))^(1/f))^(k f), s = E + A / N^alpha + B / D^beta."""
    s = E + A * power(params, -alpha) + B * power(tokens, -beta)
    return s * jnp.exp(k * f * jax.nn.softplus(jnp.log(teacher_loss / (d * s)) / f))


LAW = Law(
    name="distillation",
    title="Chinchilla of the student, until its teacher is worse than that",
    formula="L_S = s (1 + (L_T / (d s))^(1/f))^(k f),  s = E + A / N^alpha + B / D^beta",
    mean=mean,
    decreasing_in=("params", "tokens"),
    increasing_in=("teacher_loss",),
    columns={"teacher_loss": Column("L_T, loss of the teacher", 2.0, 4.0)},
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "k",
            dist.Beta(3.0, 1.5),
            unit="1",
            meaning="how closely the student follows a teacher worse than itself",
            source="weakly informative: a student copies its teacher",
        ),
        Parameter(
            "d",
            dist.LogNormal(0.0, 0.15),
            unit="1",
            meaning="loss of the teacher from which it limits the student, over s",
            source="weakly informative: about where both are equally good",
        ),
        Parameter(
            "f",
            dist.LogNormal(log(0.05), 0.7),
            unit="1",
            meaning="width of the change, in log loss",
            source="weakly informative: 1 to 20 % of the loss",
        ),
        IRREDUCIBLE,
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
        Parameter(
            "A",
            dist.Beta(1.5, 1.5),
            unit="loss params^alpha",
            meaning="coefficient of parameters",
            role="coefficient",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="(A / N^alpha) / (L_0 - E) at the centre of the data, with a good teacher",
            value=lambda draw, at, L_0, E, alpha: draw * (L_0 - E) * power(at.params, alpha),
        ),
        Derived(
            "B",
            unit="loss tokens^beta",
            meaning="coefficient of tokens",
            role="coefficient",
            value=lambda at, L_0, E, A, alpha, beta: (L_0 - E - A * power(at.params, -alpha)) * power(at.tokens, beta),
        ),
    ),
    holds="students of 0.14B to 8B parameters, 4e9 to 5e11 tokens, teachers of one family",
    fails="teachers far stronger than their student, which do harm (the capacity gap); other objectives",
    references=("Busbridge et al. 2025, Distillation Scaling Laws, arXiv 2502.08606",),
)
