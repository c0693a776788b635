"""Loss at any step, size and batch size: Kaplan's learning curve without the assumption of large batches.

    L = (N_c / N)^alpha_N + [ (S_c / S) (1 + B_star / (B L^(1 / alpha_B))) ]^alpha_S            form=pure
    L = E + (N_c / N)^alpha_N + [ (S_c / S) (1 + B_star / (B L^(1 / alpha_B))) ]^alpha_S        form=irreducible

N non-embedding parameters, S optimiser steps, B tokens per step, L loss, which is on both sides: at that loss
B_crit(L) = B_star / L^(1 / alpha_B) is the critical batch size, and S / (1 + B_crit / B) the steps that a very large
batch would have taken. Data are unlimited, and the warm-up is left out. The form with E is not from a paper.

Kaplan et al. 2020 (arXiv 2001.08361), eq 1.4, 5.4 and 5.6; Su et al. 2024 (arXiv 2403.06563), whole curves.
"""

from dataclasses import replace
from math import log
from typing import Any, Literal

import jax.numpy as jnp
import numpyro.distributions as dist
from bayes_scaling.models._kaplan import quantities
from bayes_scaling.models._stepwise import stepwise

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, power, root


def irreducible(
    params: Array,
    steps: Array,
    batch_tokens: Array,
    E: Array | float,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """L = E + (N_c / N)^alpha_N + [ (S_c / S) (1 + B_star / (B L^(1 / alpha_B))) ]^alpha_S, solved for log L."""

    def residual(x: Array, converged: Array, scale: Array, batches: Array, alpha_S: Array, alpha_B: Array) -> Array:
        # Increasing and concave in x = log L; below zero at the start, where the batch size is unlimited.
        return x - jnp.log(converged + power(scale * (1 + batches * jnp.exp(-x / alpha_B)), alpha_S))

    terms = (E + power(N_c / params, alpha_N), S_c / steps, B_star / batch_tokens, alpha_S, alpha_B)
    converged, scale, *others = jnp.broadcast_arrays(*terms)
    return jnp.exp(root(residual, jnp.log(converged + power(scale, alpha_S)), converged, scale, *others))


def pure(
    params: Array,
    steps: Array,
    batch_tokens: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """L = (N_c / N)^alpha_N + [ (S_c / S) (1 + B_star / (B L^(1 / alpha_B))) ]^alpha_S, solved for log L."""
    return irreducible(params, steps, batch_tokens, 0.0, N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)


def reach(at: Any, L_0: Any, B_star: Any, alpha_B: Any) -> Any:
    """S / (1 + B_crit / B) at the centre, where the loss is L_0: the steps of a very large batch."""
    return at.steps / (1 + B_star / (at.batch_tokens * power(L_0, 1 / alpha_B)))


TERMS = (
    Parameter(
        "alpha_S", dist.LogNormal(log(0.72), 0.25), "1", "exponent of steps", "Kaplan 2020: 0.76", role="exponent"
    ),
    Parameter(
        "alpha_B", dist.LogNormal(log(0.21), 0.25), "1", "exponent of B_crit", "Kaplan 2020: 0.21", role="exponent"
    ),
    Parameter(
        "B_star",
        dist.LogNormal(0.0, 1.5),
        unit="tokens loss^(1/alpha_B)",
        meaning="critical batch at a loss of 1",
        source="weakly informative: batch sizes of the data are around the critical one",
        quantity="B_crit(L_0) / B at the centre of the data",
        value=lambda draw, at, L_0, alpha_B: draw * at.batch_tokens * power(L_0, 1 / alpha_B),
    ),
    Parameter(
        "S_c",
        dist.Beta(1.5, 4.0),
        unit="steps",
        meaning="scale of steps (has no meaning by itself)",
        role="scale",
        source="a tenth of the other term, alpha_N / alpha_S, on the compute-efficient frontier; more early on",
        quantity="share of the step term in the loss at the centre of the data",
        value=lambda draw, at, L_0, alpha_S, alpha_B, B_star: (
            reach(at, L_0, B_star, alpha_B) * power(draw * L_0, 1 / alpha_S)
        ),
    ),
    Derived(
        "C_0",
        "loss",
        "L_0 without the term of steps",
        lambda at, L_0, alpha_S, alpha_B, B_star, S_c: L_0 - power(S_c / reach(at, L_0, B_star, alpha_B), alpha_S),
    ),
)
# A table says how fast the loss falls at its centre, whatever E is. So the exponent is sampled as that slope: E and it
# then do not trade off.
ALPHA_N = Parameter(
    "alpha_N", dist.LogNormal(log(0.08), 0.5), "1", "exponent of parameters", "papers: 0.037 to 0.10", role="exponent"
)
N_C = Derived(
    "N_c",
    "params",
    "scale of parameters (depends on tokeniser and data, has no meaning by itself)",
    lambda at, C_0, alpha_N: at.params * power(C_0, 1 / alpha_N),
    role="scale",
)
OF_PARAMS: dict[str, tuple[Parameter | Derived, ...]] = {
    "pure": (ALPHA_N, N_C),
    "irreducible": (
        replace(IRREDUCIBLE, quantity="E / C_0", value=lambda draw, C_0: draw * C_0),
        replace(ALPHA_N, quantity="alpha_N (1 - E / C_0)", value=lambda draw, C_0, E: draw / (1 - E / C_0)),
        replace(N_C, value=lambda at, C_0, alpha_N, E: at.params * power(C_0 - E, 1 / alpha_N)),
    ),
}
PUBLISHED = (
    Published(
        "kaplan2020",
        {"N_c": 6.5e13, "alpha_N": 0.077, "S_c": 2.1e3, "alpha_S": 0.76, "B_star": 2.1e8, "alpha_B": 0.21},
        source="Kaplan et al. 2020, table 3 with the batch constants of table 5",
        note="WebText2, non-embedding parameters, nats/token; the text rounds B_star to 2e8; no standard errors",
    ),
    Published(
        "su2024",
        {"N_c": 1.5e14, "alpha_N": 0.076, "S_c": 2.6e3, "alpha_S": 0.67, "B_star": 1.7e8, "alpha_B": 0.205},
        source="Su et al. 2024, not checked against the paper",
        verified=False,
    ),
)


def law(form: Literal["pure", "irreducible"] = "pure") -> Law:
    """Choose whether to add an irreducible loss, which the papers do not have."""
    is_pure = form == "pure"
    bracket = "[ (S_c / S) (1 + B_star / (B L^(1 / alpha_B))) ]^alpha_S"
    return Law(
        name="kaplan_trajectory",
        title=f"loss at any size, step and batch size{'' if is_pure else ', with an irreducible loss (a variant)'}",
        formula=f"L = {'' if is_pure else 'E + '}(N_c / N)^alpha_N + {bracket}",
        mean=pure if is_pure else irreducible,
        decreasing_in=("params", "steps", "batch_tokens"),
        parameters=(LOSS_AT_CENTRE, *TERMS, *OF_PARAMS[form]),
        published=PUBLISHED if is_pure else (),
        quantities=quantities(form),
        recipe=stepwise if is_pure else None,
        holds="unlimited data, after warm-up, tuned rates, one schedule; coefficients depend on data and tokeniser",
        fails="batch sizes that change during a run; rates not tuned to the batch; very few steps; repeated data",
        references=(
            "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",
            "Su et al. 2024, Unraveling the Mystery of Scaling Laws: Part I, arXiv 2403.06563",
        ),
    )
