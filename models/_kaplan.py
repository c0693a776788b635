"""Quantities of the learning curve of Kaplan et al. 2020 other than the loss, in closed form (sections 5, 6, B).

B_crit(L) = B_star / L^(1 / alpha_B) is the critical batch size, C = C_min compute in FLOPs, 6 N B_crit S_min, the cost
of the run at a batch size far below it. A run at B_crit takes twice C_min, S_min and E_min.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from bayes_scaling.laws import Array, Quantity, power, root

FLOPS = 6.0  # per parameter and token
PAPER = "Kaplan et al. 2020"


def positive_power(x: Array, exponent: Array) -> Array:
    """Return ``x ** exponent`` for a negative exponent, infinite where ``x`` is not positive."""
    return jnp.where(x > 0, power(jnp.where(x > 0, x, 1.0), exponent), jnp.inf)


# --- one run, at any batch -------------------------------------------------------------------------------------------


def critical_batch(loss: Array, B_star: Array, alpha_B: Array) -> Array:
    """B_crit(L) = B_star / L^(1 / alpha_B), eq 5.3."""
    return B_star * power(loss, -1 / alpha_B)


def converged_loss(params: Array, E: Array, N_c: Array, alpha_N: Array) -> Array:
    """L(N, inf) = E + (N_c / N)^alpha_N."""
    return E + power(N_c / params, alpha_N)


def minimum_steps(
    params: Array, loss: Array, E: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array
) -> Array:
    """S_min = S_c [ L - L(N, inf) ]^(-1 / alpha_S), from eq 5.6."""
    return S_c * positive_power(loss - converged_loss(params, E, N_c, alpha_N), -1 / alpha_S)


def minimum_tokens(
    params: Array,
    loss: Array,
    E: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """E_min = B_crit(L) S_min, from eq 5.2."""
    return critical_batch(loss, B_star, alpha_B) * minimum_steps(params, loss, E, N_c, alpha_N, S_c, alpha_S)


def steps_to(
    params: Array,
    loss: Array,
    batch_tokens: Array,
    E: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """S = S_min (1 + B_crit(L) / B), from eq 5.4."""
    fewest = minimum_steps(params, loss, E, N_c, alpha_N, S_c, alpha_S)
    return fewest * (1 + critical_batch(loss, B_star, alpha_B) / batch_tokens)


def tokens_to(
    params: Array,
    loss: Array,
    batch_tokens: Array,
    E: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """B S = E_min (1 + B / B_crit(L)), from eq 5.1."""
    return batch_tokens * steps_to(params, loss, batch_tokens, E, N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)


def run_minimum_steps(steps: Array, batch_tokens: Array, loss: Array, B_star: Array, alpha_B: Array) -> Array:
    """S_min = S / (1 + B_crit(L) / B), eq 5.4."""
    return steps / (1 + critical_batch(loss, B_star, alpha_B) / batch_tokens)


def run_compute_share(batch_tokens: Array, loss: Array, B_star: Array, alpha_B: Array) -> Array:
    """C_min / C = 1 / (1 + B / B_crit(L)), eq 5.5."""
    return 1 / (1 + batch_tokens / critical_batch(loss, B_star, alpha_B))


def stop_steps(gap: Array, S_c: Array, alpha_S: Array) -> Array:
    """S_stop = S_c / gap^(1 / alpha_S), eq 5.7."""
    return S_c * positive_power(gap, -1 / alpha_S)


# --- the compute-efficient frontier ----------------------------------------------------------------------------------


def frontier_exponent(alpha_N: Array, alpha_S: Array, alpha_B: Array) -> Array:
    """alpha_C = 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N), eq B.7."""
    return 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N)


def frontier_scale(N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array) -> Array:
    """C_c = 6 N_c B_star S_c (1 + alpha_N / alpha_S)^(1 / alpha_S + 1 / alpha_N) (alpha_S / alpha_N)^(1 / alpha_S)."""
    growth = power(1 + alpha_N / alpha_S, 1 / alpha_S + 1 / alpha_N) * power(alpha_S / alpha_N, 1 / alpha_S)
    return FLOPS * N_c * B_star * S_c * growth  # eq B.8


def frontier_loss(
    flops: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array, alpha_B: Array
) -> Array:
    """L(C) = (C_c / C)^alpha_C, eq B.6."""
    scale = frontier_scale(N_c, alpha_N, S_c, alpha_S, B_star)
    return power(scale / flops, frontier_exponent(alpha_N, alpha_S, alpha_B))


def frontier_params(
    flops: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array, alpha_B: Array
) -> Array:
    """N(C) = N_c (C / C_c)^(alpha_C / alpha_N) (1 + alpha_N / alpha_S)^(1 / alpha_N), eq B.9."""
    loss = frontier_loss(flops, N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)
    return N_c * power((1 + alpha_N / alpha_S) / loss, 1 / alpha_N)


def frontier_batch(
    flops: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array, alpha_B: Array
) -> Array:
    """B(C) = B_crit(L(C))."""
    return critical_batch(frontier_loss(flops, N_c, alpha_N, S_c, alpha_S, B_star, alpha_B), B_star, alpha_B)


def frontier_steps(
    flops: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array, alpha_B: Array
) -> Array:
    """S(C) = C_c / (6 N_c B_star) (1 + alpha_N / alpha_S)^(-1 / alpha_N) (C / C_c)^(alpha_C / alpha_S), eq B.10."""
    loss = frontier_loss(flops, N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)
    return S_c * power((1 + alpha_S / alpha_N) / loss, 1 / alpha_S)


def frontier_tokens(
    flops: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array, alpha_B: Array
) -> Array:
    """E_min(C) = B(C) S(C) = C / (6 N(C))."""
    return flops / (FLOPS * frontier_params(flops, N_c, alpha_N, S_c, alpha_S, B_star, alpha_B))


def exponent_params(alpha_N: Array, alpha_S: Array, alpha_B: Array) -> Array:
    """alpha_C / alpha_N, eq 1.7."""
    return frontier_exponent(alpha_N, alpha_S, alpha_B) / alpha_N


def exponent_batch(alpha_N: Array, alpha_S: Array, alpha_B: Array) -> Array:
    """alpha_C / alpha_B, eq 1.7."""
    return frontier_exponent(alpha_N, alpha_S, alpha_B) / alpha_B


def exponent_steps(alpha_N: Array, alpha_S: Array, alpha_B: Array) -> Array:
    """alpha_C / alpha_S, eq 1.7."""
    return frontier_exponent(alpha_N, alpha_S, alpha_B) / alpha_S


def exponent_tokens(alpha_N: Array, alpha_S: Array, alpha_B: Array) -> Array:
    """alpha_C / alpha_B + alpha_C / alpha_S, of D = B S."""
    return 1 - exponent_params(alpha_N, alpha_S, alpha_B)


def loss_at_compute(
    params: Array, flops: Array, N_c: Array, alpha_N: Array, S_c: Array, alpha_S: Array, B_star: Array, alpha_B: Array
) -> Array:
    """L = (N_c / N)^alpha_N + [ 6 B_star S_c N / (L^(1 / alpha_B) C) ]^alpha_S, eq B.3, solved for log L."""

    def residual(x: Array, converged: Array, scale: Array, alpha_S: Array, alpha_B: Array) -> Array:
        return x - jnp.log(converged + power(scale * jnp.exp(-x / alpha_B), alpha_S))

    converged, scale = power(N_c / params, alpha_N), FLOPS * B_star * S_c * params / flops
    converged, scale, alpha_S, alpha_B = jnp.broadcast_arrays(converged, scale, alpha_S, alpha_B)
    return jnp.exp(root(residual, jnp.log(converged), converged, scale, alpha_S, alpha_B))


def size_compute(size_ratio: Array, alpha_N: Array, alpha_S: Array) -> Array:
    """C(r) / C(1) = r [ 1 + (alpha_S / alpha_N) (1 - r^-alpha_N) ]^(-1 / alpha_S), eq B.16."""
    return size_ratio * size_steps(size_ratio, alpha_N, alpha_S)


def size_steps(size_ratio: Array, alpha_N: Array, alpha_S: Array) -> Array:
    """S(r) / S(1) = [ 1 + (alpha_S / alpha_N) (1 - r^-alpha_N) ]^(-1 / alpha_S), eq B.17."""
    return positive_power(1 + alpha_S / alpha_N * (1 - power(size_ratio, -alpha_N)), -1 / alpha_S)


def excess_params(excess: Array, other: Array, alpha_N: Array) -> Array:
    """N_f / N_f' = [ (1 + f) / (1 + f') ]^(1 / alpha_N), eq B.12."""
    return power((1 + excess) / (1 + other), 1 / alpha_N)


def excess_steps(excess: Array, other: Array, alpha_S: Array) -> Array:
    """S_f / S_f' = [ (1 + 1 / f) / (1 + 1 / f') ]^(1 / alpha_S), eq B.13."""
    return power((1 + 1 / excess) / (1 + 1 / other), 1 / alpha_S)


def excess_compute(excess: Array, other: Array, alpha_N: Array, alpha_S: Array) -> Array:
    """C_f / C_f' = N_f / N_f' S_f / S_f', eq B.14."""
    return excess_params(excess, other, alpha_N) * excess_steps(excess, other, alpha_S)


# --- where the frontier meets the law of data ------------------------------------------------------------------------


def crossing(alpha_C: Array, C_c: Array, alpha_D: Array, D_c: Array, tokens: Array, growth: Array) -> Array:
    """Return C at which (C_c / C)^alpha_C is (D_c / D)^alpha_D, where D = tokens (C / C_c)^growth.

    Infinite where the frontier does not fall faster than the law of data, so that they never meet.
    """
    faster = alpha_C - alpha_D * growth
    return jnp.where(faster > 0, C_c * power(tokens / D_c, alpha_D / jnp.where(faster > 0, faster, 1.0)), jnp.inf)


def contradiction_flops(
    alpha_D: Array,
    D_c: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """C* at which the frontier is at (D_c / D)^alpha_D, D = 2 C / (6 N(C)): one epoch at the critical batch, eq 6.7."""
    frontier = (N_c, alpha_N, S_c, alpha_S, B_star)
    C_c = frontier_scale(*frontier)
    tokens = 2 * frontier_tokens(C_c, *frontier, alpha_B)
    growth = exponent_tokens(alpha_N, alpha_S, alpha_B)
    return crossing(frontier_exponent(alpha_N, alpha_S, alpha_B), C_c, alpha_D, D_c, tokens, growth)


def contradiction_params(
    alpha_D: Array,
    D_c: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """N* = N(C*)."""
    frontier = (N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)
    return frontier_params(contradiction_flops(alpha_D, D_c, *frontier), *frontier)


def contradiction_tokens(
    alpha_D: Array,
    D_c: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """D* = 2 C* / (6 N*)."""
    frontier = (N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)
    return 2 * frontier_tokens(contradiction_flops(alpha_D, D_c, *frontier), *frontier)


def contradiction_loss(
    alpha_D: Array,
    D_c: Array,
    N_c: Array,
    alpha_N: Array,
    S_c: Array,
    alpha_S: Array,
    B_star: Array,
    alpha_B: Array,
) -> Array:
    """L* = L(C*)."""
    frontier = (N_c, alpha_N, S_c, alpha_S, B_star, alpha_B)
    return frontier_loss(contradiction_flops(alpha_D, D_c, *frontier), *frontier)


# --- tables of quantities --------------------------------------------------------------------------------------------


def without_floor(value: Callable[..., Array]) -> Callable[..., Array]:
    """Return the function with E fixed at 0, so that E is not an argument."""
    arguments = inspect.signature(value).parameters
    if "E" not in arguments:
        return value

    def pure(**known: Any) -> Array:
        return value(E=0.0, **known)

    rest: Any = pure
    rest.__signature__ = inspect.Signature([one for name, one in arguments.items() if name != "E"])
    return pure


_CURVES: tuple[tuple[str, str, str, str, Callable[..., Array]], ...] = (
    ("critical_batch", "tokens", "critical batch size B_crit at a loss", "eq 5.3", critical_batch),
    ("converged_loss", "loss", "lowest loss of a size, after unlimited steps", "eq 5.6", converged_loss),
    ("minimum_steps", "steps", "fewest steps to a loss, at a very large batch", "eq 5.6", minimum_steps),
    ("minimum_tokens", "tokens", "fewest tokens to a loss, at a very small batch", "eq 5.2", minimum_tokens),
    ("steps_to", "steps", "steps to a loss at a batch", "eq 5.4", steps_to),
    ("tokens_to", "tokens", "tokens to a loss at a batch", "eq 5.1", tokens_to),
    ("run_minimum_steps", "steps", "steps of a run if its batch were very large", "eq 5.4", run_minimum_steps),
    ("run_compute_share", "1", "C_min / C of a run, its cost if its batch were small", "eq 5.5", run_compute_share),
    (
        "stop_steps",
        "steps",
        "steps before which early stopping does not help, gap = L(N, D) - L(N, inf)",
        "eq 5.7",
        stop_steps,
    ),
)
_FRONTIER: tuple[tuple[str, str, str, str, Callable[..., Array]], ...] = (
    ("frontier_loss", "loss", "lowest loss for C_min", "eq B.6", frontier_loss),
    ("frontier_params", "params", "best size for C_min", "eq B.9", frontier_params),
    ("frontier_batch", "tokens", "critical batch size at the frontier", "eq 1.7", frontier_batch),
    ("frontier_steps", "steps", "S_min at the frontier", "eq B.10", frontier_steps),
    ("frontier_tokens", "tokens", "E_min at the frontier", "eq 1.7", frontier_tokens),
    ("frontier_scale", "FLOPs loss^(1/alpha_C)", "C_c of L = (C_c / C_min)^alpha_C", "eq B.8", frontier_scale),
    ("frontier_exponent", "1", "alpha_C of L = (C_c / C_min)^alpha_C", "eq B.7", frontier_exponent),
    ("exponent_params", "1", "exponent of C_min in the best size (table 6 measured 0.73)", "eq 1.7", exponent_params),
    ("exponent_batch", "1", "exponent of C_min in the batch (table 6: 0.24)", "eq 1.7", exponent_batch),
    ("exponent_steps", "1", "exponent of C_min in the steps (table 6: 0.03)", "eq 1.7", exponent_steps),
    ("exponent_tokens", "1", "exponent of C_min in the tokens (table 6: 0.27)", "eq 1.7", exponent_tokens),
    ("loss_at_compute", "loss", "loss of a size trained with C_min", "eq B.3", loss_at_compute),
    (
        "size_compute",
        "1",
        "C_min to the same loss at size_ratio times the best size, relative",
        "eq B.16",
        size_compute,
    ),
    ("size_steps", "1", "S_min to the same loss at size_ratio times the best size, relative", "eq B.17", size_steps),
    ("excess_params", "1", "size of a run stopped excess above L(N, inf), relative to other", "eq B.12", excess_params),
    ("excess_steps", "1", "its steps to the same loss, relative to other", "eq B.13", excess_steps),
    ("excess_compute", "1", "its compute to the same loss, relative to other", "eq B.14", excess_compute),
    (
        "contradiction_flops",
        "FLOPs",
        "C_min at which the frontier falls below (D_c / D)^alpha_D of its own data, one epoch",
        "section 6.3",
        contradiction_flops,
    ),
    ("contradiction_params", "params", "best size there", "eq 6.8", contradiction_params),
    ("contradiction_tokens", "tokens", "tokens there, 2 C_min / (6 N)", "eq 6.7 and 6.8", contradiction_tokens),
    ("contradiction_loss", "loss", "loss there", "eq 6.8", contradiction_loss),
)


def quantities(form: str) -> tuple[Quantity, ...]:
    """Return the quantities of the law; the frontier has a closed form only without an irreducible loss."""
    rows = (*_CURVES, *_FRONTIER) if form == "pure" else _CURVES
    return tuple(
        Quantity(name, unit, meaning, f"{PAPER}, {place}", without_floor(value) if form == "pure" else value)
        for name, unit, meaning, place, value in rows
    )
