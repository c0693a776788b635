"""Critical batch size: steps to a target loss against batch size, at one target or at one per model size.

    S = S_min (1 + B_crit / B)                                         form=one
    S = S_min (1 + B_crit / B), S_min = S_1 N^q, B_crit = B_1 N^p      form=by_size

S optimiser steps in which a run first reaches its target loss (the response, in the loss column), B batch in tokens. At
B = B_crit steps and tokens are twice their minima, S_min and E_min = B_crit S_min. N parameters; each size may have
its own target, which then affects q.

McCandlish et al. 2018 (arXiv 1812.06162); Kaplan et al. 2020 (arXiv 2001.08361), eq 5.1 and 5.2.
"""

import dataclasses
from typing import Literal

import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def one(batch_tokens: Array, S_min: Array, B_crit: Array) -> Array:
    """S = S_min (1 + B_crit / B)."""
    return S_min * (1 + B_crit / batch_tokens)


def by_size(batch_tokens: Array, params: Array, S_1: Array, q: Array, B_1: Array, p: Array) -> Array:
    """S = S_min (1 + B_crit / B), S_min = S_1 N^q, B_crit = B_1 N^p."""
    return one(batch_tokens, S_1 * power(params, q), B_1 * power(params, p))


STEPS_AT_CENTRE = dataclasses.replace(
    LOSS_AT_CENTRE,
    prior=dist.LogNormal(0.0, 0.5),
    name="S_0",
    unit="steps",
    meaning="steps at the centre",
    role="level",
    quantity="S_0 / median steps of the runs",
)
FEWEST = Parameter(
    "S_min",
    dist.Beta(2.5, 2.5),
    unit="steps",
    meaning="fewest steps, at an unlimited batch size",
    source="weakly informative: batch sizes of the data are around B_crit",
    quantity="S_min / S_0 at the centre of the data: steps still needed at an unlimited batch size",
    value=lambda draw, S_0: draw * S_0,
)
ONE = (
    STEPS_AT_CENTRE,
    FEWEST,
    Derived("B_crit", "tokens", "critical batch", lambda at, S_0, S_min: at.batch_tokens * (S_0 / S_min - 1)),
)
BY_SIZE = (
    *ONE,
    Parameter(
        "q", dist.Normal(0.0, 0.2), "1", "exponent of size in S_min", "either sign, because it depends on the targets"
    ),
    Parameter(
        "p",
        dist.Normal(0.4, 0.15),
        "1",
        "exponent of size in B_crit",
        "from 0 to a square root; Zhang et al. 2024: 0.47",
    ),
    Derived("S_1", "steps params^-q", "coefficient of S_min", lambda at, S_min, q: S_min * power(at.params, -q)),
    Derived("B_1", "tokens params^-p", "coefficient of B_crit", lambda at, B_crit, p: B_crit * power(at.params, -p)),
)
OF_ONE = (
    Quantity(
        "minimum_tokens",
        "tokens",
        "fewest tokens, at a batch far below B_crit: E_min = B_crit S_min",
        "Kaplan et al. 2020, eq 5.2",
        lambda S_min, B_crit: B_crit * S_min,
    ),
    Quantity(
        "tokens_to_target",
        "tokens",
        "tokens to the target, B S = E_min (1 + B / B_crit)",
        "Kaplan et al. 2020, eq 5.1",
        lambda S_min, B_crit, batch_tokens: S_min * (batch_tokens + B_crit),
    ),
    Quantity(
        "speed",
        "1",
        "share of the highest speed, S_min / S; it takes 1 / (1 - speed) times the fewest tokens",
        "Kaplan et al. 2020, eq 5.4",
        lambda B_crit, batch_tokens: batch_tokens / (batch_tokens + B_crit),
    ),
    Quantity(
        "batch_at_overhead",
        "tokens",
        "batch size that takes the share ``overhead`` more tokens than ``from_batch``",
        "Zhang et al. 2024: they call overhead 0.2 from 256 sequences critical",
        lambda B_crit, overhead, from_batch: overhead * B_crit + (1 + overhead) * from_batch,
    ),
)
OF_SIZE = (
    Quantity(
        "critical_batch", "tokens", "B_crit = B_1 N^p", "the formula", lambda params, B_1, p: B_1 * power(params, p)
    ),
    Quantity("minimum_steps", "steps", "S_min = S_1 N^q", "the formula", lambda params, S_1, q: S_1 * power(params, q)),
)


def law(form: Literal["one", "by_size"] = "one") -> Law:
    """Choose one target, or sizes with power laws in between."""
    is_one = form == "one"
    in_size = ", S_min = S_1 N^q, B_crit = B_1 N^p"
    return Law(
        name="critical_batch",
        title=f"steps to a target loss against batch size, {'one target' if is_one else 'by model size'}",
        formula="S = S_min (1 + B_crit / B)" + ("" if is_one else in_size),
        mean=one if is_one else by_size,
        decreasing_in=("batch_tokens",),
        parameters=ONE if is_one else BY_SIZE,
        published=(
            Published(
                "zhang2024_85M",
                {"S_min": 1293.83, "B_crit": 2834258 / 1293.83 * 512},
                source="Zhang et al. 2024, released notebook, fit of log S = log(a + b / B)",
                note="85M model, C4 validation loss 3.42, 512 tokens per sequence, weights averaged",
            ),
        )
        if is_one
        else (),
        quantities=OF_ONE if is_one else OF_SIZE,
        holds="learning rate tuned at each batch size; batch sizes around the critical one",
        fails="learning rate not tuned to the batch size; steps known only to a coarse evaluation interval",
        response="steps to the target loss",
        references=(
            "McCandlish et al. 2018, An Empirical Model of Large-Batch Training, arXiv 1812.06162",
            "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",
            "Zhang et al. 2024, How Does Critical Batch Size Scale in Pre-training?, arXiv 2410.21676",
        ),
    )
