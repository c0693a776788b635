"""The networks that the sweeps train: decoder-only transformers and LSTMs on bytes, with their counting rules."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import jax
import jax.numpy as jnp
import optax
from corpus import CONTEXT

VOCABULARY = 256  # bytes

Params = dict[str, jax.Array]


class Network(Protocol):
    """What the trainer needs to know of an architecture at one size."""

    @property
    def name(self) -> str: ...
    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def params(self) -> int:
        """Non-embedding parameters: the weight matrices between embedding and output."""

    @property
    def params_total(self) -> int:
        """All parameters, with the byte embedding, which is shared with the output."""

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token with the output head, backward = 2x forward."""

    def initial(self, key: jax.Array) -> Params:
        """Draw initial weights."""

    def features(self, params: Params, x: jax.Array) -> jax.Array:
        """Map embedded bytes to features before the last norm, both ``(batch, time, width)``."""


@dataclasses.dataclass(frozen=True)
class Transformer:
    """Shape of a transformer; width grows with depth so that no size is an extreme one."""

    layers: int
    width: int
    heads: int

    @property
    def name(self) -> str:
        return f"L{self.layers}W{self.width}"

    @property
    def params(self) -> int:
        """The weight matrices of the blocks (Kaplan et al. 2020, eq 2.1)."""
        return 12 * self.layers * self.width**2

    @property
    def params_total(self) -> int:
        """Blocks, norm gains and the byte embedding."""
        return self.params + (2 * self.layers + 1) * self.width + VOCABULARY * self.width

    @property
    def flops_per_token(self) -> int:
        """With attention and output head (Kaplan et al. 2020, table 1)."""
        attention = 2 * self.layers * CONTEXT * self.width
        head = 2 * VOCABULARY * self.width
        return 3 * (2 * self.params + attention + head)

    def initial(self, key: jax.Array) -> Params:
        """Draw initial weights; block matrices are stacked over layers for one scan."""
        keys = jax.random.split(key, 5)
        n, d = self.layers, self.width
        residual = 1 / math.sqrt(2 * n)
        return {
            "embed": normal(keys[0], VOCABULARY, d, scale=d**-0.5),
            "qkv": normal(keys[1], n, d, 3 * d, scale=d**-0.5),
            "out": normal(keys[2], n, d, d, scale=residual * d**-0.5),
            "up": normal(keys[3], n, d, 4 * d, scale=d**-0.5),
            "down": normal(keys[4], n, 4 * d, d, scale=residual * (4 * d) ** -0.5),
            "norm_attention": jnp.ones((n, d)),
            "norm_mlp": jnp.ones((n, d)),
            "norm_final": jnp.ones(d),
        }

    def features(self, params: Params, x: jax.Array) -> jax.Array:
        batch, length, width = x.shape
        heads = self.heads
        causal = jnp.tril(jnp.ones((length, length), bool))

        def block(x: jax.Array, w: Params) -> tuple[jax.Array, None]:
            qkv = (rms_norm(x, w["norm_attention"]) @ w["qkv"]).reshape(batch, length, 3, heads, width // heads)
            q, k, v = rotate(qkv[:, :, 0]), rotate(qkv[:, :, 1]), qkv[:, :, 2]
            score = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (width // heads) ** -0.5
            weight = jax.nn.softmax(jnp.where(causal, score, -1e30), -1)
            x = x + jnp.einsum("bhqk,bkhd->bqhd", weight, v).reshape(batch, length, width) @ w["out"]
            x = x + jax.nn.gelu(rms_norm(x, w["norm_mlp"]) @ w["up"]) @ w["down"]
            return x, None

        blocks = {k: params[k] for k in ("qkv", "out", "up", "down", "norm_attention", "norm_mlp")}
        return jax.lax.scan(block, x, blocks)[0]


@dataclasses.dataclass(frozen=True)
class LSTM:
    """Shape of a stack of plain LSTM layers, each as wide as the embedding."""

    layers: int
    width: int

    @property
    def name(self) -> str:
        return f"LSTM{self.layers}W{self.width}"

    @property
    def params(self) -> int:
        """Input and recurrent matrices of the four gates."""
        return 8 * self.layers * self.width**2

    @property
    def params_total(self) -> int:
        """Gate matrices and biases, the last norm's gain and the byte embedding."""
        return self.params + (4 * self.layers + 1) * self.width + VOCABULARY * self.width

    @property
    def flops_per_token(self) -> int:
        return 3 * (2 * self.params + 2 * VOCABULARY * self.width)

    def initial(self, key: jax.Array) -> Params:
        """Draw initial weights; forget gates start open."""
        keys = jax.random.split(key, 3)
        n, d = self.layers, self.width
        return {
            "embed": normal(keys[0], VOCABULARY, d, scale=d**-0.5),
            "input": normal(keys[1], n, d, 4 * d, scale=d**-0.5),
            "recurrent": normal(keys[2], n, d, 4 * d, scale=d**-0.5),
            "bias": jnp.zeros((n, 4 * d)).at[:, d : 2 * d].set(1.0),
            "norm_final": jnp.ones(d),
        }

    def features(self, params: Params, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, w: Params) -> tuple[jax.Array, None]:
            def tick(carry: tuple[jax.Array, jax.Array], drive: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
                hidden, cell = carry
                i, f, o, g = jnp.split(drive + hidden @ w["recurrent"], 4, -1)
                cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
                hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
                return (hidden, cell), hidden

            zero = jnp.zeros_like(x[:, 0])
            drive = (x @ w["input"] + w["bias"]).swapaxes(0, 1)
            return jax.lax.scan(tick, (zero, zero), drive)[1].swapaxes(0, 1), None

        return jax.lax.scan(layer, x, {k: params[k] for k in ("input", "recurrent", "bias")})[0]


SHAPES = (
    Transformer(1, 10, 1),
    Transformer(2, 12, 2),
    Transformer(2, 20, 2),
    Transformer(2, 32, 2),
    Transformer(3, 40, 4),
    Transformer(3, 56, 4),
    Transformer(4, 72, 4),
    Transformer(4, 104, 4),
)
LARGEST = Transformer(5, 144, 9)  # only for the runs that the rest is to forecast


def normal(key: jax.Array, *dims: int, scale: float) -> jax.Array:
    """Draw normal weights of standard deviation ``scale``."""
    return scale * jax.random.normal(key, dims, jnp.float32)


def rms_norm(x: jax.Array, gain: jax.Array) -> jax.Array:
    """Normalise the last axis to unit root mean square."""
    return gain * x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


def rotate(x: jax.Array) -> jax.Array:
    """Rotary position embedding of queries or keys, ``(batch, time, heads, head_width)``."""
    half = x.shape[-1] // 2
    angle = jnp.arange(x.shape[1])[:, None] * 1000.0 ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angle)[None, :, None, :], jnp.sin(angle)[None, :, None, :]
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def next_byte_loss(network: Network, params: Params, tokens: jax.Array) -> jax.Array:
    """Return the mean cross-entropy in nats per byte of ``tokens``, ``(batch, CONTEXT + 1)``."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    x = network.features(params, params["embed"][inputs] * params["embed"].shape[1] ** 0.5)
    logits = rms_norm(x, params["norm_final"]) @ params["embed"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
