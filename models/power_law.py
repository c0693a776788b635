"""Power law in one input: parameters, tokens, compute or steps, with or without an irreducible loss.

    L(X) = E + (X_c / X)^alpha        form=irreducible
    L(X) = (X_c / X)^alpha            form=pure

X is the input chosen at load (``input=params``, ``tokens``, ``flops`` or ``steps``), in raw units. The law holds where
the other inputs do not limit the loss, or grow along with X by a fixed rule (as on the compute-optimal frontier).

Kaplan et al. 2020 (arXiv 2001.08361), eq 1.1-1.3 and 3.1-3.3; Henighan et al. 2020 (arXiv 2010.14701), eq 1.1.
"""

from collections.abc import Callable
from math import log
from typing import Literal

import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, power

PF_DAY = 8.64e19  # FLOPs


# Kaplan et al. 2020: input, name, alpha, X_c, equation, note. Henighan et al. 2020, table 1: domain, E, X_c, alpha.
KAPLAN = (
    ("params", "kaplan2020", 0.076, 8.8e13, "eq 1.1", "non-embedding parameters, trained to convergence"),
    ("tokens", "kaplan2020", 0.095, 5.4e13, "eq 1.2", "distinct tokens, one large model, early stopped"),
    ("flops", "kaplan2020_naive", 0.057, 1.6e7 * PF_DAY, "eq 3.3", "batch fixed at 2^19 tokens, best N; 1.6e7 PF-days"),
    ("flops", "kaplan2020_minimum", 0.050, 3.1e8 * PF_DAY, "eq 1.3", "C_min, batch far below critical; 3.1e8 PF-days"),
)
HENIGHAN = (
    ("language", None, 1.47e14, 0.070),
    ("text_to_image_text", None, 5.6e8, 0.037),
    ("image_to_text_text", None, 7.0e8, 0.039),
    ("image_8x8", 3.12, 8.0e1, 0.24),
    ("image_16x16", 2.64, 2.8e2, 0.22),
    ("image_32x32", 2.20, 6.3e1, 0.13),
    ("image_vq_16x16", 3.99, 2.7e4, 0.13),
    ("image_vq_32x32", 3.07, 1.9e4, 0.14),
    ("text_to_image_image", 2.0, 5.1e3, 0.16),
    ("image_to_text_image", 2.0, 5.5e3, 0.15),
    ("video_vq", 1.01, 3.7e4, 0.24),
    ("math", 0.28, 1.1e4, 0.16),
)


# Where alpha stands beside an irreducible loss: centre, log-sd, source.
EXPONENTS = {
    "params": (0.3, 0.5, "exponent of N beside D in a population of language models: 0.2 to 0.44; wider"),
    **dict.fromkeys(("flops", "tokens", "steps"), (0.2, 0.7, "with E: 0.05 (compute) to 0.6")),
}


def published(input: str, is_pure: bool) -> tuple[Published, ...]:
    """Return the constants that papers give for an input, with or without an irreducible loss."""
    sets = [
        Published(name, {"alpha": alpha, "X_c": scale}, f"Kaplan et al. 2020, {place}", f"{note}; nats/token")
        for column, name, alpha, scale, place, note in KAPLAN
        if is_pure and column == input
    ]
    for domain, floor, scale, alpha in HENIGHAN:
        if input == "params" and is_pure == (floor is None):
            values = {"alpha": alpha, "X_c": scale} | ({} if floor is None else {"E": floor})
            note = f"{domain.replace('_', ' ')}, non-embedding parameters, nats/token"
            sets.append(Published(f"henighan2020_{domain}", values, "Henighan et al. 2020, table 1", note))
    if input == "flops" and is_pure:
        values = {"alpha": 0.048, "X_c": 3.47e8 * PF_DAY}
        sets.append(Published("henighan2020_language", values, "Henighan et al. 2020, table 1", "3.47e8 PF-days"))
    return tuple(sets)


def pure(X: Array, alpha: Array, X_c: Array) -> Array:
    """L(X) = (X_c / X)^alpha."""
    return power(X_c / X, alpha)


def irreducible(X: Array, E: Array, alpha: Array, X_c: Array) -> Array:
    """L(X) = E + (X_c / X)^alpha."""
    return E + power(X_c / X, alpha)


def scale_without_floor(column: str) -> Callable[..., Array]:
    """X_c at which (X_c / X)^alpha is L_0 at the centre of the data."""
    return lambda at, L_0, alpha: at.inputs[column] * power(L_0, 1 / alpha)


def scale_above_floor(column: str) -> Callable[..., Array]:
    """X_c at which (X_c / X)^alpha is L_0 - E at the centre of the data."""
    return lambda at, L_0, E, alpha: at.inputs[column] * power(L_0 - E, 1 / alpha)


def law(
    input: Literal["flops", "params", "tokens", "steps"] = "flops",
    form: Literal["irreducible", "pure"] = "irreducible",
) -> Law:
    """Choose the input and whether there is an irreducible loss."""
    is_pure = form == "pure"
    centre, spread, source = EXPONENTS[input]
    return Law(
        name="power_law",
        title=f"power law in {input}, {'no irreducible loss' if is_pure else 'with an irreducible loss'}",
        formula=f"L(X) = {'' if is_pure else 'E + '}(X_c / X)^alpha, X = {input}",
        mean=pure if is_pure else irreducible,
        reads={"X": input},
        decreasing_in=(input,),
        parameters=(
            LOSS_AT_CENTRE,
            *(() if is_pure else (IRREDUCIBLE,)),
            Parameter(
                "alpha",
                dist.LogNormal(log(0.07), 0.5) if is_pure else dist.LogNormal(log(centre), spread),
                unit="1",
                meaning=f"exponent of {input}",
                role="exponent",
                source="language models without E: 0.037 to 0.10" if is_pure else source,
            ),
            Derived(
                "X_c",
                unit=input,
                meaning=f"scale of {input} (has no meaning by itself)",
                role="scale",
                value=scale_without_floor(input) if is_pure else scale_above_floor(input),
            ),
        ),
        published=published(input, is_pure),
        holds="only X limits the loss, over the decades of the data",
        fails="another bottleneck takes over; without E, no flattening" if is_pure else "another bottleneck takes over",
        references=(
            "Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv 2001.08361",
            "Henighan et al. 2020, Scaling Laws for Autoregressive Generative Modeling, arXiv 2010.14701",
        ),
    )
