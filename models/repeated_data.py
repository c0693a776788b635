"""Repeated data: Chinchilla in effective parameters and tokens, as each further epoch is worth less than the last.

    L(N, D, U) = E + A / N'^alpha + B / D'^beta
    D' = U + U R_D (1 - exp(-(D / U - 1) / R_D))
    N' = U_N + U_N R_N (1 - exp(-(N / U_N - 1) / R_N)),  U_N = min(N, G (G U)^(beta / alpha))

N parameters, D training tokens over all epochs, U distinct ones among them, L loss. R_D and R_N (R_D*, R_N* in the
paper) are the repetitions after which their value has decayed to 1 / e. U_N are the parameters that U tokens can
use, compute-optimal for U, with G = (alpha A / (beta B))^(1 / (alpha + beta)); larger models count less.

    exponents=tied       beta = alpha, as in the paper; then U_N = min(N, G^2 U)
    exponents=free       a separate beta

Muennighoff et al. 2023 (arXiv 2305.16264), section 5 and 6.
"""

from math import exp, log
from typing import Any, Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Derived, Law, Parameter, Published, Quantity, power


def decayed(x: Array, unique: Array, R: Array) -> Array:
    """U + U R (1 - exp(-(x / U - 1) / R))."""
    return unique - unique * R * jnp.expm1(-(x / unique - 1) / R)


def useful_params(unique: Array, A: Array, B: Array, alpha: Array, beta: Array) -> Array:
    """G (G U)^(beta / alpha)."""
    return power(alpha * A / (beta * B) * power(unique, beta), 1 / alpha)


def free(
    N: Array, D: Array, U: Array, E: Array, A: Array, B: Array, alpha: Array, beta: Array, R_D: Array, R_N: Array
) -> Array:
    """L(N, D, U) = E + A / N'^alpha + B / D'^beta."""
    U = jnp.minimum(U, D)
    U_N = jnp.minimum(N, useful_params(U, A, B, alpha, beta))
    return E + A * power(decayed(N, U_N, R_N), -alpha) + B * power(decayed(D, U, R_D), -beta)


def tied(N: Array, D: Array, U: Array, E: Array, A: Array, B: Array, alpha: Array, R_D: Array, R_N: Array) -> Array:
    """L(N, D, U) = E + A / N'^alpha + B / D'^alpha."""
    return free(N, D, U, E, A, B, alpha, alpha, R_D, R_N)


def unique(at: Any) -> Array:
    """Return distinct tokens used at the centre of the data."""
    return jnp.minimum(at.unique_tokens, at.tokens)


def coefficient_of_tokens(
    at: Any, L_0: Array, E: Array, alpha: Array, beta: Array, R_D: Array, R_N: Array, u: Array, r: Array
) -> Array:
    """Return B such that the law passes through L_0 at the centre of the data."""
    params, tokens = decayed(at.params, at.params * jnp.minimum(u, 1.0), R_N), decayed(at.tokens, unique(at), R_D)
    return (L_0 - E) / (r * power(params, -alpha) + power(tokens, -beta))


TIED = Derived("beta", unit="1", meaning="exponent of tokens", role="exponent", value=lambda alpha: alpha)
FREE = Parameter(
    "beta",
    dist.LogNormal(0.0, 0.25),
    "1",
    "exponent of tokens",
    "15 published pairs: log-sd of beta / alpha 0.18",
    "beta / alpha",
    lambda draw, alpha: draw * alpha,
)
CODE = {"E": 0.6254804, "A": 6.255414, "B": 7.3049974}  # logarithms
MUENNIGHOFF = {key: exp(x) for key, x in CODE.items()} | {"alpha": 0.3526596, "R_D": 15.387756, "R_N": 5.309743}


def law(exponents: Literal["tied", "free"] = "tied") -> Law:
    """Choose whether tokens have a separate exponent."""
    is_tied = exponents == "tied"
    return Law(
        name="repeated_data",
        title=f"Chinchilla in effective parameters and tokens, {'one exponent' if is_tied else 'two exponents'}",
        formula="L(N, D, U) = E + A / N'^alpha + B / D'^beta",
        mean=tied if is_tied else free,
        reads={"N": "params", "D": "tokens", "U": "unique_tokens"},
        decreasing_in=("params", "tokens", "unique_tokens"),
        parameters=(
            LOSS_AT_CENTRE,
            IRREDUCIBLE,
            Parameter(
                "alpha",
                dist.LogNormal(log(0.25), 0.5),
                unit="1",
                meaning=f"exponent of parameters{' and of tokens' if is_tied else ''}",
                role="exponent",
                source="15 published pairs with E > 0: median 0.25, log-sd 0.44",
            ),
            TIED if is_tied else FREE,
            Parameter(
                "R_D",
                dist.LogNormal(log(12.0), 0.7),
                "repetitions",
                "scale on which repeated data lose value",
                "published: 15.4",
            ),
            Parameter(
                "R_N",
                dist.LogNormal(log(5.0), 0.7),
                "1",
                "scale on which excess parameters lose value",
                "published: 5.3",
            ),
            Parameter(
                "u", dist.LogNormal(0.0, 1.5), "1", "U_N over N at the centre of the data", "runs near the optimal size"
            ),
            Derived(
                "r",
                "tokens^-beta params^alpha",
                "A / B, from U_N",
                lambda at, alpha, beta, u: beta / alpha * power(u * at.params, alpha) * power(unique(at), -beta),
            ),
            Derived("B", "loss tokens^beta", "coefficient of tokens", coefficient_of_tokens),
            Derived("A", "loss params^alpha", "coefficient of parameters", lambda r, B: r * B),
        ),
        published=(
            Published(
                "muennighoff2023",
                MUENNIGHOFF if is_tied else {**MUENNIGHOFF, "beta": MUENNIGHOFF["alpha"]},
                source="Muennighoff et al. 2023, constants of the released code, at full precision",
                note="C4, nats/token; fitted without the runs in which more epochs raised the loss; "
                "12 % below the losses of the released table",
            ),
        ),
        quantities=(
            Quantity(
                "effective_tokens",
                "tokens",
                "D': number of fresh tokens with the value of these repeated ones",
                "Muennighoff et al. eq 5",
                lambda tokens, unique_tokens, R_D: decayed(tokens, jnp.minimum(unique_tokens, tokens), R_D),
            ),
            Quantity(
                "value_of_repetition",
                "1",
                "value of the next token over that of a fresh one",
                "derivative of D' in D",
                lambda tokens, unique_tokens, R_D: jnp.exp(-jnp.maximum(tokens / unique_tokens - 1, 0) / R_D),
            ),
        ),
        holds="C4 and similar text, 7M to 9B parameters; up to about 4 epochs nearly as good as fresh data",
        fails="losses that rise again when a large model repeats little data very often; drop such runs",
        references=("Muennighoff et al. 2023, Scaling Data-Constrained Language Models, arXiv 2305.16264",),
    )
