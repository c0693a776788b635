"""Learning-rate annealing: a power law in the sum of learning rates, minus the gain from the decay of the rate.

    L = E + A S_1^-alpha - C S_2

S_1 sum of the learning rates of all steps so far, S_2 sum over steps of a momentum m_i = 0.999 m_(i-1) + (rate_(i-1) -
rate_i), which grows while the rate falls, E irreducible loss of this model size. The rows of a run give its schedule:
the rate is interpolated linearly between rows, and a linear warm-up from zero is assumed before its first row.

Tissue et al. 2024 (arXiv 2408.11029).
"""

from math import log

import numpy as np
import numpyro.distributions as dist
from bayes_scaling.models._schedule import DECAY, annealing, sum_of_rates

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Features, Law, Parameter, power


def mean(S_1: Array, S_2: Array, E: Array, A: Array, alpha: Array, C: Array) -> Array:
    """L = E + A S_1^-alpha - C S_2."""
    return E + A * power(S_1, -alpha) - C * S_2


def features(run: np.ndarray, steps: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
    """Sum the rates and their decreases over the steps of each run."""
    return {"S_1": sum_of_rates(run, steps, learning_rate), "S_2": annealing(run, steps, learning_rate)}


LAW = Law(
    name="annealing",
    title="loss along any learning-rate schedule, from the sum of rates and the sum of decays",
    formula="L = E + A S_1^-alpha - C S_2",
    mean=mean,
    features=Features(("S_1", "S_2"), features),
    columns={"learning_rate": Column("learning rate of the step", 0, 1e-3)},
    decreasing_in=("steps",),
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "E",
            dist.Beta(6.0, 2.0),
            unit="loss",
            meaning="irreducible loss of this model size (L_0 in the paper)",
            role="irreducible",
            source="fits of Luo et al. 2025 to curves of three sizes: 0.85 to 0.93",
            quantity="E / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "alpha",
            dist.LogNormal(log(0.5), 0.4),
            unit="1",
            meaning="exponent of the sum of rates",
            role="exponent",
            source="Luo et al. 2025, a law of the same first two terms: 0.43 to 0.51",
        ),
        Parameter(
            "C",
            dist.LogNormal(log(0.05), 0.7),
            unit="loss / (rate steps)",
            meaning="reduction of the loss per unit of S_2",
            source="cosine and cooldown against a constant rate: 1 to 4 % of the loss",
            quantity="C rate / (1 - 0.999) / E at the mean rate of the data: final gain from its decay to zero",
            value=lambda draw, at, E: draw * E * (1 - DECAY) / at.learning_rate,
        ),
        Derived(
            "A",
            unit="loss (rate steps)^alpha",
            meaning="coefficient of the sum of rates",
            role="coefficient",
            value=lambda at, L_0, E, alpha, C: (L_0 - E + C * at.S_2) * power(at.S_1, alpha),
        ),
    ),
    holds="one model size and batch size, schedules with warm-up and a decay: constant, cosine, cooldown, two-stage",
    fails="overestimates the gain from long, very slow decays; other peak rates or batch sizes; the first steps after "
    "warm-up; rows so sparse that they miss a sudden decrease",
    references=("Tissue et al. 2024, Scaling Law with Learning Rate Annealing, arXiv 2408.11029",),
)
