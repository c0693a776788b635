"""One training run, however long, in whatever batches and on whatever schedule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from corpus import CONTEXT, spread_windows, windows
from network import Network, Params, next_byte_loss

STEPS_PER_CALL = 50  # optimiser steps inside one compiled call
CONSTANT_WARMUP = 50  # steps; does not depend on the horizon, so that a longer run only goes on
COOLDOWN = 0.2  # share of the steps
EVALUATION_BATCH = 16  # windows
PIECE = 8  # sequences whose gradient is taken at once: what they need stays in a core's cache


@dataclasses.dataclass(frozen=True)
class Plan[N: Network]:
    """What is trained, on how much, in which batches and at which rate.

    Attributes
    ----------
    batch : sequences of ``CONTEXT`` bytes per step
    rate : peak learning rate
    schedule : ``cosine`` to zero at the last step, ``constant`` after warm-up, or ``cooldown``: constant, then linearly
        to zero over the last fifth of the steps
    seed : of the initial weights and of the order of the data
    unique_tokens : bytes that are visited again and again; None visits no byte twice
    """

    network: N
    steps: int
    batch: int
    seed: int
    rate: float
    schedule: Literal["cosine", "constant", "cooldown"] = "cosine"
    unique_tokens: int | None = None

    @property
    def batch_tokens(self) -> int:
        return self.batch * CONTEXT

    @property
    def tokens(self) -> int:
        return self.steps * self.batch_tokens

    @property
    def flops(self) -> int:
        return self.network.flops_per_token * self.tokens

    def columns(self, step: int) -> dict[str, str]:
        """Describe the run after ``step`` steps, in the columns that every table has."""
        tokens = step * self.batch_tokens
        return {
            "params": str(self.network.params),
            "params_total": str(self.network.params_total),
            "steps": str(step),
            "batch_tokens": str(self.batch_tokens),
            "tokens": str(tokens),
            "flops": str(self.network.flops_per_token * tokens),
            "learning_rate": f"{self.rate:.5g}",
            "seed": str(self.seed),
            "layers": str(self.network.layers),
            "width": str(self.network.width),
        }

    def learning_rates(self) -> optax.Schedule:
        """Return the rate by the number of steps done before."""
        if self.schedule == "cosine":
            warmup = max(20, round(0.05 * self.steps))
            return optax.warmup_cosine_decay_schedule(0.0, self.rate, warmup, self.steps, end_value=0.0)
        rising = optax.linear_schedule(0.0, self.rate, CONSTANT_WARMUP)
        if self.schedule == "constant":
            return rising
        decay = round(COOLDOWN * self.steps)
        return optax.join_schedules([rising, optax.linear_schedule(self.rate, 0.0, decay)], [self.steps - decay])

    def optimiser(self) -> optax.GradientTransformation:
        """AdamW with clipped gradients on the plan's schedule."""
        adamw = optax.adamw(self.learning_rates(), b1=0.9, b2=0.98, weight_decay=0.01)
        return optax.chain(optax.clip_by_global_norm(1.0), adamw)

    def order(self, text: np.ndarray) -> np.ndarray:
        """Return where the windows of every step start, ``(steps, batch)``: each once, or each once per epoch."""
        count, available = self.steps * self.batch, (text.size - 1) // CONTEXT
        unique = count if self.unique_tokens is None else self.unique_tokens // CONTEXT
        if unique > available:
            raise SystemExit(f"a run needs {unique} windows but the corpus has {available}: train on fewer bytes")
        random = np.random.default_rng(self.seed)
        pool = random.permutation(available)[:unique]
        epochs = [pool] + [random.permutation(pool) for _ in range(-(-count // unique) - 1)]
        return np.concatenate(epochs)[:count].reshape(self.steps, self.batch) * CONTEXT


def mean_gradient(network: Network, params: Params, batch: jax.Array) -> Params:
    """Return the gradient of the mean loss of ``batch``, ``(sequences, CONTEXT + 1)``, taken piece by piece."""
    gradient = jax.grad(next_byte_loss, argnums=1)
    if len(batch) <= PIECE:
        return gradient(network, params, batch)

    def add(total: Params, piece: jax.Array) -> tuple[Params, None]:
        return jax.tree.map(jnp.add, total, gradient(network, params, piece)), None

    pieces = batch.reshape(-1, PIECE, batch.shape[1])
    total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), pieces)
    return jax.tree.map(lambda leaf: leaf / len(pieces), total)


def train[N: Network](plan: Plan[N], text: np.ndarray, stops: Sequence[int] = ()) -> Iterator[tuple[int, Params]]:
    """Yield step and weights at each of the rising ``stops``, or only at the end."""
    optimiser = plan.optimiser()
    params = plan.network.initial(jax.random.key(plan.seed))
    state = optimiser.init(params)

    @jax.jit
    def many_steps(params: Params, state: Any, batches: jax.Array, count: int) -> tuple[Params, Any]:
        def step(i: int, carry: tuple[Params, Any]) -> tuple[Params, Any]:
            params, state = carry
            gradient = mean_gradient(plan.network, params, batches[i])
            updates, state = optimiser.update(gradient, state, params)
            return optax.apply_updates(params, updates), state  # type: ignore[return-value]

        return jax.lax.fori_loop(0, count, step, (params, state))

    order = plan.order(text)
    done = 0
    for stop in stops or [plan.steps]:
        while done < stop:
            chunk = order[done : min(done + STEPS_PER_CALL, stop)]
            padded = np.zeros((STEPS_PER_CALL, plan.batch), order.dtype)  # one shape, so that one call is compiled
            padded[: len(chunk)] = chunk
            params, state = many_steps(params, state, windows(text, padded), len(chunk))
            done += len(chunk)
        yield done, params


class Score:
    """Mean loss of a network on some windows; compiled once."""

    def __init__(self, network: Network, tokens: np.ndarray) -> None:
        self.pieces = np.array_split(tokens, max(1, len(tokens) // EVALUATION_BATCH))
        self.loss = jax.jit(lambda params, batch: next_byte_loss(network, params, batch))

    def __call__(self, params: Params) -> float:
        total = sum(float(self.loss(params, piece)) * len(piece) for piece in self.pieces)
        return total / sum(len(piece) for piece in self.pieces)


def losses[N: Network](network: N, code: np.ndarray, prose: np.ndarray) -> Callable[[Params], dict[str, str]]:
    """Return what scores weights on windows of code, and on half as many bytes of prose where there is any.

    The losses come as cells of a table, ``loss`` and ``loss_prose``.
    """
    on_code = Score(network, code)
    on_prose = Score(network, spread_windows(prose, len(code) * CONTEXT // 2)) if prose.size else None

    def cells(params: Params) -> dict[str, str]:
        return {"loss": f"{on_code(params):.5f}", "loss_prose": f"{on_prose(params):.5f}" if on_prose else ""}

    return cells
