"""Over-training: the loss of Chinchilla with one exponent, in compute and tokens per parameter.

    L(C, M) = E + (a M^eta + b M^-eta) / C^eta,  C = 6 N D,  M = D / N

N parameters, D training tokens, each seen once, L loss. At a fixed number M of tokens per parameter the reducible
loss is a power law of compute with one exponent for every M. In N and D it is E + A / N^alpha + B / D^alpha with
alpha = 2 eta, a = A 6^eta and b = B 6^eta.

Gadre et al. 2024 (arXiv 2403.08540), eq 4.
"""

from math import log

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def mean(params: Array, tokens: Array, E: Array, a: Array, b: Array, eta: Array) -> Array:
    """L(C, M) = E + (a M^eta + b M^-eta) / C^eta."""
    C, M = 6 * params * tokens, tokens / params
    return E + (a * power(M, eta) + b * power(M, -eta)) * power(C, -eta)


def set_of(data: str, E: float, a: float, b: float, eta: float) -> Published:
    """Return the constants of one training set."""
    return Published(
        f"gadre2024_{data}",
        {"E": E, "a": a, "b": b, "eta": eta},
        source="Gadre et al. 2024, table of fitted laws; the released runs give the same under the paper's rule",
        note=f"trained on {data}, loss on C4 in nats/token, parameters with embeddings, rounded; four constants from "
        "five runs, without standard errors",
    )


LAW = Law(
    name="overtraining",
    title="Chinchilla with one exponent, in compute and tokens per parameter",
    formula="L(C, M) = E + (a M^eta + b M^-eta) / C^eta,  C = 6 N D,  M = D / N",
    mean=mean,
    decreasing_in=("params", "tokens"),
    parameters=(
        LOSS_AT_CENTRE,
        IRREDUCIBLE,
        Parameter(
            "eta",
            dist.LogNormal(log(0.125), 0.5),
            unit="1",
            meaning="exponent of compute at fixed tokens per parameter",
            role="exponent",
            source="half the exponent of parameters: 15 published laws with E > 0, median 0.25, log-sd 0.44",
        ),
        Parameter(
            "a",
            dist.Beta(1.5, 1.5),
            unit="loss FLOPs^eta",
            meaning="coefficient of the loss from a finite model",
            role="coefficient",
            source="about half on the compute-optimal frontier, anything off it",
            quantity="(a M^eta / C^eta) / (L_0 - E) at the centre of the data",
            value=lambda draw, at, L_0, E, eta: draw * (L_0 - E) * power(6 * at.params**2, eta),
        ),
        Derived(
            "b",
            unit="loss FLOPs^eta",
            meaning="coefficient of the loss from finite data",
            role="coefficient",
            value=lambda at, L_0, E, a, eta: (
                (L_0 - E - a * power(6 * at.params**2, -eta)) * power(6 * at.tokens**2, eta)
            ),
        ),
    ),
    published=(
        set_of("c4", 1.51, 141.0, 190.0, 0.121),
        set_of("redpajama", 1.84, 212.0, 367.0, 0.136),
        set_of("refinedweb", 1.73, 157.0, 246.0, 0.127),
    ),
    quantities=(
        Quantity(
            "tokens_per_param",
            "tokens/params",
            "M*: compute-optimal tokens per parameter, at every budget",
            "Gadre et al. 2024, lowest loss over M at fixed C",
            lambda a, b, eta: power(b / a, 1 / (2 * eta)),
        ),
        Quantity(
            "flops_factor",
            "1",
            "compute for the same loss at M tokens per parameter, over compute at M*",
            "(a M^eta + b M^-eta) over its minimum 2 (a b)^(1/2), to the power 1 / eta",
            lambda tokens_per_param, a, b, eta: power(
                (a * power(tokens_per_param, eta) + b * power(tokens_per_param, -eta)) / (2 * jnp.sqrt(a * b)), 1 / eta
            ),
        ),
    ),
    holds="one epoch, M from 5 to 640, 11M to 6.9B parameters (Gadre et al.)",
    fails="repeated data; where the exponents of parameters and tokens differ. Five runs hardly determine E and eta: "
    "look at the interval, not at the median",
    references=(
        "Gadre et al. 2024, Language models scale reliably with over-training and on downstream tasks, "
        "arXiv 2403.08540",
    ),
)
