"""Multi-power law: a power law in the sum of learning rates, minus the gain so far from each decrease of the rate.

    L(t) = E + A S^-alpha - B sum_k (rate_(k-1) - rate_k) G(rate_k^-gamma S_k),  G(x) = 1 - (C x + 1)^-beta

S sum of the learning rates of all steps to t, warm-up included (S_1 + S_W in the paper), S_k the same from step k on,
so that every decrease of the rate keeps paying, ever more slowly. Increases are negative decreases, so the warm-up
from zero costs B rate in the end, as in the released code. E irreducible loss of this model size. A run's rows give
its schedule: the rate is interpolated linearly between rows, and a linear warm-up from zero is assumed before its first
row. The sum over steps is taken over pieces of geometrically growing age, which is accurate to 1e-4 nats.

Luo et al. 2025 (arXiv 2503.12811).
"""

import dataclasses
from math import log

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from bayes_scaling.models._schedule import falls, sum_of_rates

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Features, Law, Parameter, Published, power


def mean(
    S: Array,
    fall: Array,
    fallen_to: Array,
    since: Array,
    E: Array,
    A: Array,
    alpha: Array,
    B: Array,
    C: Array,
    beta: Array,
    gamma: Array,
) -> Array:
    """L(t) = E + A S^-alpha - B sum_k (rate_(k-1) - rate_k) G(rate_k^-gamma S_k), G(x) = 1 - (C x + 1)^-beta."""
    C, beta, gamma = (jnp.broadcast_to(each, S.shape)[:, None] for each in (C, beta, gamma))  # alike for all k
    paid = 1 - power(C * power(fallen_to, -gamma) * since + 1, -beta)
    return E + A * power(S, -alpha) - B * (fall * paid).sum(-1)


def features(run: np.ndarray, steps: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
    """Sum the rates of each run, and their decreases in pieces."""
    return {"S": sum_of_rates(run, steps, learning_rate), **falls(run, steps, learning_rate)}


LAW = Law(
    name="multi_power",
    title="loss along any learning-rate schedule, where each decrease of the rate pays by a power law",
    formula="L(t) = E + A S^-alpha - B sum_k (rate_(k-1) - rate_k) G(rate_k^-gamma S_k)",
    mean=mean,
    features=Features(("S", "fall", "fallen_to", "since"), features),
    columns={"learning_rate": Column("learning rate of the step", 0, 1e-3)},
    decreasing_in=("steps",),
    parameters=(
        dataclasses.replace(
            LOSS_AT_CENTRE, meaning="loss at the centre of the data if its mean rate were constant", role="level"
        ),
        Parameter(
            "E",
            dist.Beta(6.0, 2.0),
            unit="loss",
            meaning="irreducible loss of this model size (L_0 in the paper)",
            role="irreducible",
            source="fits of three sizes: 0.83 to 0.9",
            quantity="E / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "alpha",
            dist.LogNormal(log(0.5), 0.4),
            unit="1",
            meaning="exponent of the sum of rates",
            role="exponent",
            source="fits of three sizes: 0.43 to 0.51",
        ),
        Parameter(
            "B",
            dist.Beta(3.0, 6.0),
            unit="loss / rate",
            meaning="cost of a learning rate while it is constant",
            source="fits of three sizes: 0.29 to 0.33",
            quantity="B rate / (L_0 - E) at the mean rate of the data",
            value=lambda draw, at, L_0, E: draw * (L_0 - E) / at.learning_rate,
        ),
        Derived(
            "A",
            unit="loss (rate steps)^alpha",
            meaning="coefficient of the sum of rates",
            role="coefficient",
            value=lambda at, L_0, E, alpha, B: (L_0 - E - B * at.learning_rate) * power(at.S, alpha),
        ),
        Parameter(
            "gamma",
            dist.LogNormal(log(0.65), 0.3),
            unit="1",
            meaning="how much faster decreases to lower rates pay, per sum of rates",
            role="exponent",
            source="fits of three sizes: 0.64 to 0.66",
        ),
        Parameter(
            "beta",
            dist.LogNormal(log(0.6), 0.4),
            unit="1",
            meaning="exponent with which the remaining gain of a decrease fades",
            role="exponent",
            source="fits of three sizes: 0.58 to 0.60",
        ),
        Parameter(
            "C",
            dist.LogNormal(log(10.0), 0.7),
            unit="rate^(gamma - 1) / step",
            meaning="speed with which decreases pay",
            source="fits of three sizes: 9 to 10",
            quantity="1 / (C rate^(1 - gamma)) at the mean rate of the data: steps until C x is 1",
            value=lambda draw, at, gamma: power(at.learning_rate, gamma - 1) / draw,
        ),
    ),
    published=tuple(
        Published(
            f"luo2025_{size}",
            {"E": E, "A": A, "alpha": alpha, "B": B, "C": C, "beta": beta, "gamma": gamma},
            source="Luo et al. 2025, README of the released code",
            note=f"{size} nominal parameters; peak rate 3e-4, warm-up of 2,160 steps; nats/token, rounded",
        )
        for size, E, A, alpha, B, C, beta, gamma in (
            ("25M", 3.040, 0.525, 0.508, 363.8, 2.066, 0.583, 0.641),
            ("100M", 2.651, 0.601, 0.453, 437.9, 2.132, 0.598, 0.655),
            ("400M", 2.375, 0.654, 0.429, 523.4, 2.025, 0.594, 0.635),
        )
    ),
    weakly_identified=("gamma", "beta", "C"),
    holds="one model size and batch size; constant, cosine, two-stage and cooldown schedules, 16k to 72k steps",
    fails="other peak rates or batch sizes; warm-up itself; rows so sparse that they miss when the rate fell",
    references=("Luo et al. 2025, A Multi-Power Law for Loss Curve Prediction, arXiv 2503.12811",),
)
