"""Measure loss over model size and training length on two CPU cores.

Trains decoder-only transformers on the bytes of the Python standard library, one run per cell of an (N, D)
grid, and appends one row per finished run to a CSV. The table is rewritten whole after every run (temporary
file, then rename), and runs that are already in it are skipped, so the script can be stopped and started.

    uv run --extra sweep python sweep/train.py --list
    uv run --extra sweep python sweep/train.py --out bayes_scaling/data/datasets/stdlib_sweep.csv

Each run has its own cosine schedule that ends at its own horizon, sees each training byte at most once, and is
evaluated once, at the end, on files that no run trains on.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import platform
import time
from pathlib import Path

import jax
from corpus import CONTEXT, Corpus, first_windows, read_corpus
from network import LARGEST, SHAPES, Transformer
from table import Row, fill_table
from training import Plan, losses, train

BATCH = 16  # sequences per step, so 1024 tokens
PEAK_RATE = 0.017
RATE_POWER = -1.1
LARGEST_RUNS = ((SHAPES[-1], 16), (SHAPES[-1], 27), (LARGEST, 12), (LARGEST, 27))  # shape, 2^20 tokens
COLUMNS = (
    *("run", "params", "params_total", "tokens", "flops", "steps", "batch_tokens", "loss", "loss_prose", "seed"),
    *("layers", "width", "heads", "learning_rate", "seconds", "device", "python", "corpus_sha256", "prose_sha256"),
)


def learning_rate(width: int) -> float:
    """Peak learning rate by width: a power law through the best of a small search (see the data card)."""
    return float(PEAK_RATE * (width / 32) ** RATE_POWER)


def cosine_plan(shape: Transformer, tokens: int, seed: int) -> Plan[Transformer]:
    """One cell of the design: a shape, a number of training tokens, a seed."""
    return Plan(shape, round(tokens / (BATCH * CONTEXT)), BATCH, seed, learning_rate(shape.width))


def design() -> dict[str, Plan[Transformer]]:
    """Name the cells in order of cost: eight sizes by six lengths, three seeds in a third, and the largest runs."""
    lengths = [BATCH * CONTEXT * 2**k for k in range(8, 14)]  # 0.26 to 8.4 million tokens
    grid = itertools.product(enumerate(SHAPES), enumerate(lengths))
    cells = [(i, j, cosine_plan(shape, tokens, 0)) for (i, shape), (j, tokens) in grid]
    again = [dataclasses.replace(run, seed=s) for i, j, run in cells if (i + j) % 3 == 1 for s in (1, 2)]
    largest = [cosine_plan(shape, millions * 2**20, 0) for shape, millions in LARGEST_RUNS]
    runs = sorted([run for _, _, run in cells] + again + largest, key=lambda run: run.flops)
    return {f"{run.network.name}-D{run.tokens / 1e6:.2f}M-s{run.seed}": run for run in runs}


def measured_rows(name: str, run: Plan[Transformer], corpus: Corpus) -> list[Row]:
    """Train one run and describe it as the one row of the table."""
    started = time.perf_counter()
    _, params = next(train(run, corpus.train))
    loss = losses(run.network, first_windows(corpus.held_out), corpus.prose)(params)
    seconds = time.perf_counter() - started
    row = {
        "run": name,
        **run.columns(run.steps),
        "heads": str(run.network.heads),
        **loss,
        "seconds": f"{seconds:.1f}",
        "device": jax.default_backend(),
        "python": platform.python_version(),
        "corpus_sha256": corpus.sha256[:16],
        "prose_sha256": corpus.prose_sha256[:8],
    }
    return [row]


def main() -> None:
    """Run the cells of the design that the table does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("stdlib_sweep.csv"), help="table to continue")
    parser.add_argument("--list", action="store_true", help="print the design and stop")
    parser.add_argument("--only", help="run only the cell of this name")
    arguments = parser.parse_args()

    cells = design()
    if arguments.list:
        for name, run in cells.items():
            print(f"{name:24s} N={run.network.params:<8d} D={run.tokens:<10d} C={run.flops:.2e} FLOP")
        print(f"{len(cells)} runs, {sum(run.flops for run in cells.values()):.2e} FLOP in all")
        return
    corpus = read_corpus()
    print(f"corpus: {corpus.train.size} + {corpus.held_out.size} bytes, sha256 {corpus.sha256[:16]}", flush=True)
    chosen = {name: run for name, run in cells.items() if arguments.only in (None, name)}
    measure = functools.partial(measured_rows, corpus=corpus)
    fill_table(arguments.out, COLUMNS, chosen, measure, corpus.sha256[:16])


if __name__ == "__main__":
    main()
