"""Measure loss over model size and training length on two CPU cores.

Trains decoder-only transformers on the bytes of the Python standard library, one run per cell of an (N, D)
grid, and appends one row per finished run to a CSV. The table is rewritten whole after every run (temporary
file, then rename), and runs that are already in it are skipped, so the script can be stopped and started.

    uv run --extra sweep python sweep/train.py --list
    uv run --extra sweep python sweep/train.py --out bayes_scaling/datasets/stdlib_sweep.csv

Each run has its own cosine schedule that ends at its own horizon, sees each training byte at most once, and is
evaluated once, at the end, on files that no run trains on.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import math
import platform
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

VOCABULARY = 256  # bytes
CONTEXT = 64  # tokens
BATCH = 16  # sequences per step, so 1024 tokens
STEPS_PER_CALL = 50  # optimiser steps inside one compiled call
EVALUATION_TOKENS = 2**19
HELD_OUT_FRACTION = 1 / 32  # of files, chosen by the hash of their path

Params = dict[str, jax.Array]


# --- corpus -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Bytes of the standard library, split by file.

    Attributes
    ----------
    train, held_out : (n_bytes,) uint8
        Concatenated source files, each ended by a zero byte.
    sha256 : digest of both parts, so that a row says exactly what it was trained on.
    """

    train: np.ndarray
    held_out: np.ndarray
    sha256: str


def read_corpus(root: Path | None = None) -> Corpus:
    """Read every ``.py`` file of the running interpreter's standard library."""
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    parts: dict[bool, list[bytes]] = {True: [], False: []}
    paths = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.py"))
    for name in paths:
        if "site-packages" in name or "dist-packages" in name:
            continue
        digest = hashlib.sha256(name.encode()).digest()
        is_held_out = int.from_bytes(digest[:8]) / 2**64 < HELD_OUT_FRACTION
        parts[is_held_out].append((root / name).read_bytes() + b"\0")
    # Training files are put in an order that does not follow the alphabet; each run shuffles windows again.
    parts[False].sort(key=lambda text: hashlib.sha256(text).digest())
    train, held_out = (b"".join(parts[key]) for key in (False, True))
    return Corpus(
        train=np.frombuffer(train, np.uint8),
        held_out=np.frombuffer(held_out, np.uint8),
        sha256=hashlib.sha256(train + held_out).hexdigest(),
    )


# --- model ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shape:
    """Shape of a transformer; width grows with depth so that no size is an extreme one."""

    layers: int
    width: int
    heads: int

    @property
    def params(self) -> int:
        """Non-embedding parameters: the weight matrices of the blocks (Kaplan et al. 2020, eq 2.1)."""
        return 12 * self.layers * self.width**2

    @property
    def params_total(self) -> int:
        """All parameters: blocks, norm gains and the byte embedding, which is shared with the output."""
        return self.params + (2 * self.layers + 1) * self.width + VOCABULARY * self.width

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token with attention and output head (Kaplan et al. 2020, table 1), backward = 2x."""
        attention = 2 * self.layers * CONTEXT * self.width
        head = 2 * VOCABULARY * self.width
        return 3 * (2 * self.params + attention + head)


SHAPES = (
    Shape(2, 12, 2),
    Shape(2, 20, 2),
    Shape(2, 32, 2),
    Shape(3, 40, 4),
    Shape(3, 56, 4),
    Shape(4, 72, 4),
    Shape(4, 104, 4),
)


def initial_params(shape: Shape, key: jax.Array) -> Params:
    """Draw initial weights; block matrices are stacked over layers for one scan."""
    keys = jax.random.split(key, 5)
    n, d = shape.layers, shape.width

    def normal(key: jax.Array, *dims: int, scale: float) -> jax.Array:
        return scale * jax.random.normal(key, dims, jnp.float32)

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


def next_byte_loss(params: Params, tokens: jax.Array, heads: int) -> jax.Array:
    """Return the mean cross-entropy in nats per byte of ``tokens``, ``(batch, CONTEXT + 1)``."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    x = params["embed"][inputs] * params["embed"].shape[1] ** 0.5
    batch, length, width = x.shape
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
    x, _ = jax.lax.scan(block, x, blocks)
    logits = rms_norm(x, params["norm_final"]) @ params["embed"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


# --- training ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """One cell of the design: a shape, a number of training tokens, a seed."""

    shape: Shape
    tokens: int
    seed: int

    @property
    def name(self) -> str:
        return f"L{self.shape.layers}W{self.shape.width}-D{self.tokens / 1e6:.2f}M-s{self.seed}"

    @property
    def flops(self) -> int:
        return self.shape.flops_per_token * self.tokens


def learning_rate(width: int) -> float:
    """Peak learning rate by width: a power law through the best of a small search (see the data card)."""
    return PEAK_RATE * (width / 32) ** RATE_POWER


PEAK_RATE = 0.017
RATE_POWER = -1.1


def windows(text: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Cut windows of ``CONTEXT + 1`` bytes, ``starts.shape + (CONTEXT + 1,)``."""
    return text[starts[..., None] + np.arange(CONTEXT + 1)].astype(np.int32)


def train(run: Run, corpus: Corpus, peak_rate: float | None = None) -> tuple[float, int]:
    """Train one run and return its held-out loss (nats per byte) and its number of steps."""
    steps = round(run.tokens / (BATCH * CONTEXT))
    warmup = max(20, round(0.05 * steps))
    rate = learning_rate(run.shape.width) if peak_rate is None else peak_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, steps, end_value=0.0)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b1=0.9, b2=0.98, weight_decay=0.01))
    params = initial_params(run.shape, jax.random.key(run.seed))
    state = optimiser.init(params)

    @jax.jit
    def many_steps(params: Params, state: Any, batches: jax.Array) -> tuple[Params, Any]:
        def step(carry: tuple[Params, Any], batch: jax.Array) -> tuple[tuple[Params, Any], None]:
            params, state = carry
            gradient = jax.grad(next_byte_loss)(params, batch, run.shape.heads)
            updates, state = optimiser.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None  # type: ignore[return-value]

        return jax.lax.scan(step, (params, state), batches)[0]

    # Windows do not overlap and are visited once, in an order that depends on the seed.
    n_windows = (corpus.train.size - 1) // CONTEXT
    if steps * BATCH > n_windows:
        raise SystemExit(f"{run.name} needs {steps * BATCH} windows but the corpus has {n_windows}: lower D")
    order = np.random.default_rng(run.seed).permutation(n_windows)[: steps * BATCH] * CONTEXT
    order = order.reshape(steps, BATCH)
    for first in range(0, steps, STEPS_PER_CALL):
        params, state = many_steps(params, state, windows(corpus.train, order[first : first + STEPS_PER_CALL]))

    starts = np.arange(0, min(EVALUATION_TOKENS, corpus.held_out.size - 1) - CONTEXT + 1, CONTEXT)
    evaluate = jax.jit(lambda params, batch: next_byte_loss(params, batch, run.shape.heads))
    pieces = np.array_split(starts, max(1, len(starts) // 256))
    loss = sum(float(evaluate(params, windows(corpus.held_out, p))) * len(p) for p in pieces) / len(starts)
    return loss, steps


# --- design and table -------------------------------------------------------------------------------------------


def design() -> list[Run]:
    """List the cells in order of cost: seven sizes by six lengths, second seeds in a third, and one longest run."""
    lengths = [BATCH * CONTEXT * 2**k for k in range(8, 14)]  # 0.26 to 8.4 million tokens
    cells = [(i, j, Run(shape, tokens, 0)) for i, shape in enumerate(SHAPES) for j, tokens in enumerate(lengths)]
    again = [dataclasses.replace(run, seed=1) for i, j, run in cells if (i + j) % 3 == 0 and run.flops < 4e12]
    longest = Run(SHAPES[-1], 2 * lengths[-1], 0)
    return sorted([run for _, _, run in cells] + [*again, longest], key=lambda run: run.flops)


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows measured so far; an absent file is an empty table."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the whole table to a temporary file beside it, then rename."""
    temporary = path.with_suffix(".partial")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def measured_row(run: Run, corpus: Corpus) -> dict[str, str]:
    """Train one run and describe it as a row of the table."""
    started = time.perf_counter()
    loss, steps = train(run, corpus)
    seconds = time.perf_counter() - started
    return {
        "run": run.name,
        "params": str(run.shape.params),
        "params_total": str(run.shape.params_total),
        "tokens": str(steps * BATCH * CONTEXT),
        "flops": str(run.shape.flops_per_token * steps * BATCH * CONTEXT),
        "steps": str(steps),
        "batch_tokens": str(BATCH * CONTEXT),
        "loss": f"{loss:.5f}",
        "seed": str(run.seed),
        "layers": str(run.shape.layers),
        "width": str(run.shape.width),
        "heads": str(run.shape.heads),
        "learning_rate": f"{learning_rate(run.shape.width):.5g}",
        "seconds": f"{seconds:.1f}",
        "device": "cpu",
        "python": platform.python_version(),
        "corpus_sha256": corpus.sha256[:16],
    }


def main() -> None:
    """Run the cells of the design that the table does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("stdlib_sweep.csv"), help="table to continue")
    parser.add_argument("--list", action="store_true", help="print the design and stop")
    parser.add_argument("--only", help="run only the cell of this name")
    arguments = parser.parse_args()

    cells = design()
    if arguments.list:
        for run in cells:
            print(f"{run.name:24s} N={run.shape.params:<8d} D={run.tokens:<10d} C={run.flops:.2e} FLOP")
        print(f"{len(cells)} runs, {sum(run.flops for run in cells):.2e} FLOP in all")
        return
    corpus = read_corpus()
    print(f"corpus: {corpus.train.size} + {corpus.held_out.size} bytes, sha256 {corpus.sha256[:16]}", flush=True)
    rows = read_table(arguments.out)
    others = {row["corpus_sha256"] for row in rows} - {corpus.sha256[:16]}
    if others:
        sys.exit(
            f"{arguments.out} was measured on another corpus ({', '.join(others)}; here {corpus.sha256[:16]}): "
            "use the interpreter named in its python column, or write to another file"
        )
    done = {row["run"] for row in rows}
    for run in cells:
        if run.name in done or (arguments.only and run.name != arguments.only):
            continue
        row = measured_row(run, corpus)
        rows.append(row)
        write_table(arguments.out, rows)
        rate = run.flops / float(row["seconds"]) / 1e9
        print(f"{run.name:24s} loss {row['loss']} nats/byte, {row['seconds']} s, {rate:.1f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main()
