"""Parameters and tokens along a learning-rate schedule: whole curves of runs whose rate falls.

    L = E + R [ 1 - g (1 - m^p) ],  R = [ (A / N^alpha)^(1/q) + (K / D_r^beta)^(1/q) ]^q
    D_r = sum_i D_i r_i / r_peak,  m = sum_i w_i r_i / r_peak,  w_i = c D_i r_i exp(-d_i / memory)

N parameters, D_i tokens of step i, r_i its learning rate, r_peak the highest rate of the run so far, D_r training
tokens weighted by their rate, d_i those of them since step i, L loss; c makes the weights sum to one. A run goes
forward as fast as its rate allows, and what it loses by the height of the rate it gains back when the rate falls:
after a while, so that it is the rate over the last ``memory`` tokens, m, that counts. Before the first step the rate
counts as its peak. At a constant rate m = 1 and this is the law `nesting`. The rows of a run give its schedule: the
rate is interpolated linearly between rows, and a linear warm-up from zero is assumed before its first row.

Ours. That progress goes with the sum of the rates and that the gain of a decrease is delayed along that sum is from
Tissue et al. 2024 (arXiv 2408.11029) and Luo et al. 2025 (arXiv 2503.12811); R is that of `nesting`.
"""

import dataclasses
from math import log

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from bayes_scaling.models._bottlenecks import bottlenecks, reducible
from bayes_scaling.models._memory import at_memory, peak, remembered
from bayes_scaling.models._schedule import sum_of_rates

from bayes_scaling.laws import E_OF_LANGUAGE, LOSS_AT_CENTRE, Array, Column, Features, Law, Parameter, power


def mean(
    params: Array,
    D_r: Array,
    rate_by_memory: Array,
    E: Array,
    A: Array,
    K: Array,
    alpha: Array,
    beta: Array,
    q: Array,
    g: Array,
    p: Array,
    memory: Array,
) -> Array:
    """L = E + R [ 1 - g (1 - m^p) ]."""
    R = reducible(params, D_r, A, K, alpha, beta, q)
    m = jnp.clip(at_memory(rate_by_memory, memory), 1e-6, 1.0)
    loss: Array = E + R * (1 - g * (1 - power(m, p)))
    return loss


def features(run: np.ndarray, tokens: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
    """Sum the tokens of each run, weighted by their rate, and average the rate over what is remembered."""
    relative = learning_rate / peak(run, tokens, learning_rate)
    return {"D_r": sum_of_rates(run, tokens, relative), "rate_by_memory": remembered(run, tokens, relative)}


LAW = Law(
    name="nesting_schedule",
    title="parameters and tokens along any learning-rate schedule",
    formula="L = E + R [ 1 - g (1 - m^p) ],  R = [ (A / N^alpha)^(1/q) + (K / D_r^beta)^(1/q) ]^q",
    mean=mean,
    features=Features(("D_r", "rate_by_memory"), features),
    columns={"learning_rate": Column("learning rate of the step", 0, 1e-3)},
    decreasing_in=("params",),
    parameters=(
        dataclasses.replace(LOSS_AT_CENTRE, meaning="loss at the centre of the data if its rate were constant"),
        E_OF_LANGUAGE,
        *bottlenecks(lambda at: at.D_r),
        Parameter(
            "g",
            dist.Beta(2.0, 5.0),
            unit="1",
            meaning="share of the reducible loss that is gone once the rate has fallen to zero",
            source="cosine and cooldown against a constant rate: 5 to 10 % of the loss",
        ),
        Parameter(
            "p",
            dist.Beta(2.0, 2.0),
            unit="1",
            meaning="how the gain is spread over the fall of the rate: 1 evenly, towards 0 all of it at the end",
            source="weakly informative; 0.3 to 0.9 on public curves",
        ),
        Parameter(
            "memory",
            dist.LogNormal(log(0.02), 1.5),
            unit="tokens at the peak rate",
            meaning="tokens after which a decrease of the rate has paid 63 %",
            source="0.01 to 0.03 on public curves of nine schedules and of StepLaw",
            quantity="memory / D_r at the centre of the data",
            value=lambda draw, at: draw * at.D_r,
        ),
    ),
    weakly_identified=("q", "memory", "p"),
    holds="one batch size, or batches that suit the size; rates that are tuned for each size, or one peak rate",
    fails="peak rates that are badly tuned; several batches at one size; rows too sparse to show when the rate fell",
    references=(
        "Tissue et al. 2024, Scaling Law with Learning Rate Annealing, arXiv 2408.11029",
        "Luo et al. 2025, A Multi-Power Law for Loss Curve Prediction, arXiv 2503.12811",
    ),
)
