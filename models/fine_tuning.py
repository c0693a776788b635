"""Fine-tuning: a power law in examples that sets in late, because pre-training was worth some examples already.

    L(D) = B / (D_l + D^beta) + E

D fine-tuning examples, L loss on the task. D_l is what pre-training was worth, in units of D^beta: as long as D^beta is
far below it, the loss hardly falls (the pre-power phase); far above it, it is a power law.

Lin et al. 2024, rectified scaling law (arXiv 2402.02314), eq 3.
"""

from math import log

import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def mean(examples: Array, B: Array, D_l: Array, beta: Array, E: Array) -> Array:
    """L(D) = B / (D_l + D^beta) + E."""
    return B / (D_l + power(examples, beta)) + E


LAW = Law(
    name="fine_tuning",
    title="rectified power law in fine-tuning examples",
    formula="L(D) = B / (D_l + D^beta) + E",
    mean=mean,
    decreasing_in=("examples",),
    columns={"examples": Column("D, fine-tuning examples", 200, 8e5)},
    parameters=(
        LOSS_AT_CENTRE,
        Parameter(
            "E",
            dist.Beta(1.2, 1.8),
            unit="loss",
            meaning="irreducible loss",
            role="irreducible",
            source="weakly informative: the curve may go on far below the data",
            quantity="E / L_0",
            value=lambda draw, L_0: draw * L_0,
        ),
        Parameter(
            "beta",
            dist.LogNormal(log(0.5), 0.6),
            unit="1",
            meaning="exponent of examples",
            role="exponent",
            source="weakly informative: 0.2 to 1.3",
        ),
        Parameter(
            "D_l",
            dist.LogNormal(0.0, 2.0),
            unit="examples^beta",
            meaning="worth of pre-training",
            source="weakly informative: the bend may lie anywhere in the data, or beyond either end",
            quantity="D_l / D^beta at the centre of the data",
            value=lambda draw, at, beta: draw * power(at.examples, beta),
        ),
        Derived(
            "B",
            unit="loss examples^beta",
            meaning="coefficient",
            role="coefficient",
            value=lambda at, L_0, E, beta, D_l: (L_0 - E) * (D_l + power(at.examples, beta)),
        ),
    ),
    quantities=(
        Quantity(
            "worth",
            "examples",
            "fine-tuning examples that pre-training was worth: the bend of the curve",
            "D with D^beta = D_l",
            lambda D_l, beta: power(D_l, 1 / beta),
        ),
    ),
    holds="30 models of 0.1B to 7B parameters on 3 tasks, 200 to 1.6e6 examples",
    fails="curves that end before the bend: how steep the power law is that follows cannot be seen yet",
    references=(
        "Lin et al. 2024, Selecting Large Language Model to Fine-tune via Rectified Scaling Law, arXiv 2402.02314",
    ),
)
