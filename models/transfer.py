"""Transfer: loss on another distribution is the loss on the training distribution plus an offset.

    L = L_source + c                          form=constant
    L = L_source + c (L_1 / L_source)^g       form=growing

L_source loss on the training distribution, L loss of the same models on another, in the same unit. L_1 is 1 in that
unit. With g > 0 the offset c (1 / L_source)^g grows slowly as models improve.

Kaplan et al. 2020 (arXiv 2001.08361), section 3.2.2: the same power law with a small, very slowly growing offset.
"""

from math import log
from typing import Literal

import numpyro.distributions as dist

from bayes_scaling.laws import LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Quantity, power


def constant(source_loss: Array, c: Array) -> Array:
    """L = L_source + c."""
    return source_loss + c


def growing(source_loss: Array, c: Array, g: Array) -> Array:
    """L = L_source + c (L_1 / L_source)^g."""
    return source_loss + c * power(source_loss, -g)


GROWTH = Parameter(
    "g",
    dist.LogNormal(log(0.3), 0.7),
    unit="1",
    meaning="growth of the offset as the source loss falls",
    role="exponent",
    source="weakly informative: Kaplan et al. 2020 call the growth very slow",
)
OFFSET = Quantity(
    "offset",
    "loss",
    "offset from the training distribution at a source loss",
    "Kaplan et al. 2020, section 3.2.2",
    lambda source_loss, c, g: c * power(source_loss, -g),
)


def law(form: Literal["constant", "growing"] = "constant") -> Law:
    """Choose whether the offset may grow."""
    grows = form == "growing"
    return Law(
        name="transfer",
        title=f"loss on another distribution: that on the training distribution plus a {form} offset",
        formula="L = L_source + c" + (" (L_1 / L_source)^g" if grows else ""),
        mean=growing if grows else constant,
        increasing_in=("source_loss",),
        columns={"source_loss": Column("L_source, loss on the training distribution, in the unit of the loss", 2, 5)},
        parameters=(
            LOSS_AT_CENTRE,
            *((GROWTH,) if grows else ()),
            Derived(
                "c",
                unit="loss^(1 + g)" if grows else "loss",
                meaning="offset, of either sign" + (", at a source loss of 1" if grows else ""),
                value=(lambda at, L_0, g: (L_0 - at.source_loss) * power(at.source_loss, g))
                if grows
                else (lambda at, L_0: L_0 - at.source_loss),
            ),
        ),
        quantities=(OFFSET,) if grows else (),
        holds="text of another kind, models of one family that differ in size or training time",
        fails="models trained on other mixtures; fine-tuning; noise of the source loss, which is taken as exact",
        references=("Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",),
    )
