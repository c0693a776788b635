"""Downstream error of a benchmark from loss.

    Err = eps - k exp(-gamma L)                        link=exponential
    Err = 1 - b - a / (1 + exp(k (L - L_mid)))         link=sigmoid

L loss of the model (source_loss; the response, in the loss column, is the error rate, 1 - accuracy). Exponential: the
error is eps for a model that knows nothing. Sigmoid: accuracy goes from b at a high loss to a + b at a low one.

Gadre et al. 2024 (arXiv 2403.08540), eq 5; Bhagia et al. 2024 (arXiv 2412.04403).
"""

from math import log
from typing import Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import Array, Column, Derived, Law, Parameter, Published


def exponential(source_loss: Array, eps: Array, k: Array, gamma: Array) -> Array:
    """Err = eps - k exp(-gamma L)."""
    return eps - k * jnp.exp(-gamma * source_loss)


def sigmoid(source_loss: Array, a: Array, b: Array, k: Array, L_mid: Array) -> Array:
    """Err = 1 - b - a / (1 + exp(k (L - L_mid)))."""
    return 1 - b - a / (1 + jnp.exp(k * (source_loss - L_mid)))


CENTRE = Parameter(
    "Err_0",
    dist.LogNormal(0.0, 0.2),
    unit="error",
    meaning="error at the centre of the data",
    role="level",
    source="the law passes near the middle of its own data",
    quantity="Err_0 / median error of the runs",
    value=lambda draw, at: draw * at.loss,
)
EXPONENTIAL = (
    CENTRE,
    Parameter(
        "gamma",
        dist.LogNormal(log(2.5), 0.4),
        unit="1 / loss",
        meaning="rate at which the error approaches eps",
        source="Gadre et al. 2024, three training sets: 2.3 to 2.5",
        quantity="gamma L at the centre of the data",
        value=lambda draw, at: draw / at.source_loss,
    ),
    Parameter(
        "L_zero",
        dist.LogNormal(log(0.35), 0.2),
        unit="loss",
        meaning="loss at which the error would be zero",
        source="Gadre et al. 2024, three training sets: 0.36 to 0.40",
        quantity="L_zero / L at the centre of the data",
        value=lambda draw, at: draw * at.source_loss,
    ),
    Derived(
        "eps",
        unit="error",
        meaning="error of a model that knows nothing",
        value=lambda at, Err_0, gamma, L_zero: Err_0 / -jnp.expm1(-gamma * (at.source_loss - L_zero)),
    ),
    Derived(
        "k",
        unit="error",
        meaning="coefficient",
        role="coefficient",
        value=lambda eps, gamma, L_zero: eps * jnp.exp(gamma * L_zero),
    ),
)
SIGMOID = (
    CENTRE,
    Parameter(
        "k",
        dist.LogNormal(log(8.0), 0.5),
        unit="1 / loss",
        meaning="steepness",
        source="weakly informative: the rise takes 0.5 to 2 times the loss at the centre",
        quantity="k L at the centre of the data",
        value=lambda draw, at: draw / at.source_loss,
    ),
    Parameter(
        "L_mid",
        dist.LogNormal(0.0, 0.15),
        unit="loss",
        meaning="loss in the middle of the rise",
        source="weakly informative: within the data or near them",
        quantity="L_mid / L at the centre of the data",
        value=lambda draw, at: draw * at.source_loss,
    ),
    Parameter(
        "floor",
        dist.Beta(1.5, 3.0),
        unit="1",
        meaning="error at a low loss over error at a high loss",
        source="weakly informative: most of the error of guessing can be removed",
    ),
    Derived(
        "b",
        unit="1 - error",
        meaning="accuracy at a high loss (guessing)",
        value=lambda at, Err_0, k, L_mid, floor: (
            1 - Err_0 / (1 - (1 - floor) / (1 + jnp.exp(k * (at.source_loss - L_mid))))
        ),
    ),
    Derived("a", unit="error", meaning="rise of accuracy", value=lambda floor, b: (1 - floor) * (1 - b)),
)


def law(link: Literal["exponential", "sigmoid"] = "exponential") -> Law:
    """Choose the link from loss to error."""
    bends_once = link == "exponential"
    return Law(
        name="downstream",
        title=f"error rate of a benchmark from the loss, {link} link",
        formula="Err = eps - k exp(-gamma L)" if bends_once else "Err = 1 - b - a / (1 + exp(k (L - L_mid)))",
        mean=exponential if bends_once else sigmoid,
        increasing_in=("source_loss",),
        response="error rate",
        columns={"source_loss": Column("L, loss of the model, nats/token", 2.2, 5.5)},
        parameters=EXPONENTIAL if bends_once else SIGMOID,
        published=tuple(
            Published(
                f"gadre2024_{name}",
                {"eps": eps, "k": k, "gamma": gamma},
                source="Gadre et al. 2024, refitted from the released runs by their rule (6 models)",
                note=f"trained on {data}; loss on C4 in nats/token, mean top-1 error of 17 tasks; rounded",
            )
            for name, data, eps, k, gamma in (
                ("c4", "C4", 0.850, 2.08, 0.756),
                ("rpj", "RedPajama", 0.857, 2.21, 0.715),
                ("rw", "RefinedWeb", 0.865, 2.21, 0.707),
            )
            if bends_once
        ),
        holds="averages over many tasks, models of one family and one training set",
        fails="single tasks, of which fewer than half scale predictably; accuracy near guessing; other training sets",
        references=(
            "Gadre et al. 2024, Language models scale reliably with over-training, arXiv 2403.08540",
            "Bhagia et al. 2024, Establishing Task Scaling Laws via Compute-Efficient Model Ladders, arXiv 2412.04403",
        ),
    )
