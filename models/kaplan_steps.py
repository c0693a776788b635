"""Kaplan's learning curve: a power law in parameters plus one in steps.

    L(N, S) = (N_c / N)^alpha_N + (S_c / S)^alpha_S

N non-embedding parameters, S optimiser steps at a batch size far above the critical one (S_min; `kaplan_trajectory`
allows any batch size), L loss. Data are unlimited, and the warm-up is left out. S_c and alpha_S are the same at every
size, so the curves of small models show how fast a large one learns.

Kaplan et al. 2020 (arXiv 2001.08361), eq 1.6 and 5.6.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def mean(params: Array, steps: Array, N_c: Array, S_c: Array, alpha_N: Array, alpha_S: Array) -> Array:
    """L(N, S) = (N_c / N)^alpha_N + (S_c / S)^alpha_S."""
    return power(N_c / params, alpha_N) + power(S_c / steps, alpha_S)


def converged_loss(params: Array, N_c: Array, alpha_N: Array) -> Array:
    """L(N, inf) = (N_c / N)^alpha_N."""
    return power(N_c / params, alpha_N)


def steps_to_loss(params: Array, loss: Array, N_c: Array, S_c: Array, alpha_N: Array, alpha_S: Array) -> Array:
    """S = S_c (L - L(N, inf))^(-1 / alpha_S), infinite where the model never reaches L."""
    excess = loss - converged_loss(params, N_c, alpha_N)
    return jnp.where(excess > 0, S_c * power(jnp.maximum(excess, 1e-300), -1 / alpha_S), jnp.inf)


LAW = Law(
    name="kaplan_steps",
    title="learning curve: a power law in parameters plus one in steps, large batch",
    formula="L(N, S) = (N_c / N)^alpha_N + (S_c / S)^alpha_S",
    mean=mean,
    decreasing_in=("params", "steps"),
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "alpha_N",
            dist.LogNormal(log(0.08), 0.5),
            unit="1",
            meaning="exponent of parameters",
            role="exponent",
            source="pure power laws of language models: 0.037 to 0.10",
        ),
        Parameter(
            "alpha_S",
            dist.LogNormal(log(0.72), 0.25),
            unit="1",
            meaning="exponent of steps",
            role="exponent",
            source="Kaplan et al. 2020: 0.76; other data somewhat less",
        ),
        Parameter(
            "S_c",
            dist.Beta(1.5, 4.0),
            unit="steps",
            meaning="scale of steps (has no meaning by itself)",
            role="scale",
            source="a tenth of the other term, alpha_N / alpha_S, on the compute-efficient frontier; more early on",
            quantity="share of the step term in L_0",
            value=lambda draw, at, L_0, alpha_S: at.steps * power(draw * L_0, 1 / alpha_S),
        ),
        Derived(
            "N_c",
            unit="params",
            meaning="scale of parameters (depends on tokeniser and data, has no meaning by itself)",
            role="scale",
            value=lambda at, L_0, alpha_N, alpha_S, S_c: (
                at.params * power(L_0 - power(S_c / at.steps, alpha_S), 1 / alpha_N)
            ),
        ),
    ),
    published=(
        Published(
            "kaplan2020",
            {"N_c": 6.5e13, "S_c": 2.1e3, "alpha_N": 0.077, "alpha_S": 0.76},
            source="Kaplan et al. 2020, table 3",
            note="WebText2, non-embedding parameters, steps corrected to a large batch, nats/token; no standard errors",
        ),
    ),
    quantities=(
        Quantity("converged_loss", "loss", "loss after unlimited steps", "Kaplan et al. 2020, eq 5.6", converged_loss),
        Quantity(
            "steps_to_loss",
            "steps",
            "fewest steps to a loss, S_min",
            "Kaplan et al. 2020, eq 5.6 solved for S",
            steps_to_loss,
        ),
    ),
    holds="unlimited data, batch size far above critical, after warm-up; WebText2",
    fails="very few steps; small batches; schedules that decay the learning rate at different steps",
    references=("Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",),
)
