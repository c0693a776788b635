"""Precision: fewer bits make a model effectively smaller; rounding after training costs more after longer training.

    L = E + A / N_eff^alpha + B / D^beta                                       post_training=no
    L = E + A / N_eff^alpha + B / D^beta + C_T D^gamma_D / N^gamma_N e^(-P_post / gamma_post)
    N_eff = N (1 - e^(-P_w / gamma_w)) (1 - e^(-P_a / gamma_a)) (1 - e^(-P_kv / gamma_kv))

N parameters, D training tokens, P_w, P_a, P_kv bits of weights, activations and key-value cache in training (16 if not
reduced), P_post bits of the weights after training. With unlimited bits it is the Chinchilla law.

Kumar et al. 2024 (arXiv 2411.04330), eq 1 to 4.
"""

import inspect
from math import log
from typing import Any, Literal

import jax.numpy as jnp
import numpyro.distributions as dist

from bayes_scaling.laws import IRREDUCIBLE, LOSS_AT_CENTRE, Array, Column, Derived, Law, Parameter, Published, power


def kept(w: Array, a: Array, kv: Array, gamma_w: Array, gamma_a: Array, gamma_kv: Array) -> Array:
    """(1 - e^(-P_w / gamma_w)) (1 - e^(-P_a / gamma_a)) (1 - e^(-P_kv / gamma_kv))."""
    return -jnp.expm1(-w / gamma_w) * jnp.expm1(-a / gamma_a) * jnp.expm1(-kv / gamma_kv)


def size_at_centre(at: Any, gamma_w: Array, gamma_a: Array, gamma_kv: Array) -> Any:
    return at.params * kept(at.weight_bits, at.activation_bits, at.kv_bits, gamma_w, gamma_a, gamma_kv)


def trained(
    params: Array,
    tokens: Array,
    weight_bits: Array,
    activation_bits: Array,
    kv_bits: Array,
    E: Array,
    A: Array,
    alpha: Array,
    B: Array,
    beta: Array,
    gamma_w: Array,
    gamma_a: Array,
    gamma_kv: Array,
) -> Array:
    """L = E + A / N_eff^alpha + B / D^beta."""
    share = kept(weight_bits, activation_bits, kv_bits, gamma_w, gamma_a, gamma_kv)
    return E + A * power(params * share, -alpha) + B * power(tokens, -beta)


def rounded(
    params: Array,
    tokens: Array,
    post_bits: Array,
    C_T: Array,
    gamma_D: Array,
    gamma_N: Array,
    gamma_post: Array,
    **others: Array,
) -> Array:
    """L = E + A / N_eff^alpha + B / D^beta + C_T D^gamma_D / N^gamma_N e^(-P_post / gamma_post)."""
    cost = C_T * power(tokens, gamma_D) * power(params, -gamma_N) * jnp.exp(-post_bits / gamma_post)
    return trained(params, tokens, **others) + cost


_both = {**inspect.signature(trained).parameters, **inspect.signature(rounded).parameters}
_names = [value.replace(kind=value.KEYWORD_ONLY) for name, value in _both.items() if name != "others"]
rounded.__signature__ = inspect.Signature(_names)  # type: ignore[attr-defined]


BITS = {"weight_bits": ("w", "weights"), "activation_bits": ("a", "activations"), "kv_bits": ("kv", "key-value cache")}
COLUMNS = {name: Column(f"P_{sign}, bits of {part} in training", 4, 16) for name, (sign, part) in BITS.items()}
COLUMNS["post_bits"] = Column("P_post, bits of weights after training", 3, 8)
ROUNDING = (
    Parameter("gamma_D", dist.LogNormal(log(0.5), 0.4), "1", "growth of cost with D", "Kumar: 0.51", role="exponent"),
    Parameter("gamma_N", dist.LogNormal(log(0.4), 0.4), "1", "fall of cost with N", "Kumar: 0.34", role="exponent"),
    Parameter("gamma_post", dist.LogNormal(log(0.7), 0.4), "bits", "scale of bits after training", "Kumar: 0.59"),
    Parameter(
        "C_T",
        dist.LogNormal(log(0.01), 1.0),
        unit="loss params^gamma_N tokens^-gamma_D",
        meaning="coefficient of rounding after training, which is added to L_0",
        role="coefficient",
        source="Kumar et al. 2024: under 1 % of the loss at 5 bits",
        quantity="cost of rounding / L_0 at the centre of the data",
        value=lambda draw, at, L_0, gamma_D, gamma_N, gamma_post: (
            draw * L_0 * power(at.params, gamma_N) * power(at.tokens, -gamma_D) * jnp.exp(at.post_bits / gamma_post)
        ),
    ),
)
TRAINED: tuple[Parameter | Derived, ...] = (
    LOSS_AT_CENTRE,
    IRREDUCIBLE,
    Parameter(
        "alpha",
        dist.LogNormal(log(0.3), 0.5),
        unit="1",
        meaning="exponent of parameters",
        role="exponent",
        source="published: median 0.25, here 0.5",
    ),
    Parameter(
        "beta",
        dist.LogNormal(0.0, 0.25),
        unit="1",
        meaning="exponent of tokens",
        role="exponent",
        source="15 published pairs: log-sd of beta / alpha 0.18",
        quantity="beta / alpha",
        value=lambda draw, alpha: draw * alpha,
    ),
    *(
        Parameter(f"gamma_{sign}", dist.LogNormal(log(2.0), 0.4), "bits", f"scale of bits of {part}", "Kumar: 1 to 2.7")
        for sign, part in BITS.values()
    ),
    Derived("N_eff", "params", "effective size at the centre of the data", size_at_centre),
    Parameter(
        "A",
        dist.Beta(1.5, 1.5),
        unit="loss params^alpha",
        meaning="coefficient of parameters",
        role="coefficient",
        source="about half on the compute-optimal frontier",
        quantity="(A / N_eff^alpha) / (L_0 - E) at the centre of the data",
        value=lambda draw, L_0, E, alpha, N_eff: draw * (L_0 - E) * power(N_eff, alpha),
    ),
    Derived(
        "B",
        unit="loss tokens^beta",
        meaning="coefficient of tokens",
        role="coefficient",
        value=lambda at, L_0, E, A, alpha, beta, N_eff: (L_0 - E - A * power(N_eff, -alpha)) * power(at.tokens, beta),
    ),
)
KUMAR = {"E": 2.7648, "A": 4.299e3, "alpha": 0.4965, "B": 1.806e4, "beta": 0.4965, "gamma_w": 2.6745, "gamma_a": 2.2102}
KUMAR |= {"gamma_kv": 0.9578, "C_T": 0.0598, "gamma_D": 0.5068, "gamma_N": 0.3439, "gamma_post": 0.5907}
NOTE = "Dolma, nats/token, alpha = beta; only a guide: the fits had offsets in the exponents of bits, left out here"


def law(post_training: Literal["no", "yes"] = "no") -> Law:
    """Choose whether weights are rounded after training."""
    post = post_training == "yes"
    rows = (*TRAINED, *ROUNDING) if post else TRAINED
    values = {row.name: KUMAR[row.name] for row in rows if row.name in KUMAR}
    more = " + C_T D^gamma_D / N^gamma_N e^(-P_post / gamma_post)"
    return Law(
        name="precision",
        title=f"Chinchilla with few bits in training{' and after it' if post else ''}",
        formula=f"L = E + A / N_eff^alpha + B / D^beta{more if post else ''}",
        mean=rounded if post else trained,
        decreasing_in=("params", *BITS, "post_bits") if post else ("params", "tokens", *BITS),
        columns=COLUMNS,
        parameters=rows,
        published=(Published("kumar2024", values, "Kumar et al. 2024, table 2", NOTE),),
        holds="integer types of 3 to 16 bits, 30M to 1.7B parameters, up to 26e9 tokens",
        fails="below 4 bits of activations or cache, where training itself is unstable; other rounding methods",
        references=("Kumar et al. 2024, Scaling Laws for Precision, arXiv 2411.04330",),
    )
