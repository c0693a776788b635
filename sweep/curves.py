"""Measure curves over model size and batch size, and what repetition, shape and architecture do to the loss.

Each design below fills one table; a table is rewritten whole after every run and runs that are already in it are
skipped, so the script can be stopped and started, and run design by design.

    uv run --extra sweep python sweep/curves.py curves --list
    uv run --extra sweep python sweep/curves.py curves repeated --folder bayes_scaling/data/datasets

Model family, corpus, optimiser and counting rules are those of ``train.py``. Every score is taken on fixed windows
spread over the held-out files and on fixed windows of English prose (licence and release notes of the interpreter).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from corpus import CONTEXT, Corpus, first_windows, read_corpus, spread_windows
from network import LSTM, SHAPES, Network, Transformer
from table import Row, fill_table
from train import BATCH, cosine_plan, learning_rate
from training import Plan, losses, train

SIZES = SHAPES[1:7]  # between the single layer and the largest
BATCHES = (2, 8, 32, 128, 512)  # sequences: 128 to 32,768 tokens per step
TURN = 64  # sequences; see curve_plan
CURVE_POINTS = 60
CURVE_TOKENS = 2**15  # held-out bytes scored at each point of a curve, and half as many of prose
RATES_TOKENS = 2**18  # and at the end of a run of the search
REPEATED_TOKENS = (2**16, 2**18, 2**20)
ASPECTS = (
    Transformer(1, 96, 8),
    Transformer(4, 48, 4),
    Transformer(9, 32, 2),
    Transformer(16, 24, 2),
    Transformer(36, 16, 1),
)
LSTMS = tuple(LSTM(2, width) for width in (16, 24, 40, 60, 84))  # about as many parameters as the first five shapes
COLUMNS = (
    *("run", "architecture", "params", "params_total", "steps", "batch_tokens", "tokens", "unique_tokens", "flops"),
    *("loss", "loss_prose", "schedule", "learning_rate", "seed", "layers", "width", "seconds", "device"),
    *("corpus_sha256", "prose_sha256"),
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a design: what is trained, and the steps at which it is scored; with none, only at its end."""

    plan: Plan[Any]
    label: str
    stops: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.plan.network.name}-{self.label}-s{self.plan.seed}"

    def scored_windows(self, corpus: Corpus) -> np.ndarray:
        """Windows of held-out code: some of the whole text, or those of ``train.py`` for the end of a cosine run."""
        if self.plan.schedule == "cosine" and not self.stops:
            return first_windows(corpus.held_out)
        return spread_windows(corpus.held_out, CURVE_TOKENS if self.stops else RATES_TOKENS)


# --- designs ----------------------------------------------------------------------------------------------------


def curve_plan(shape: Transformer, batch: int, shortest: int, seed: int, rate: float) -> Plan[Transformer]:
    """Constant rate for ``shortest (1 + TURN / batch)`` steps.

    That is the trade between steps and tokens of McCandlish et al. (2018) at a critical batch of ``TURN`` sequences,
    so that runs of one size end at about the same loss whatever their batch.
    """
    return Plan(shape, round(shortest * (1 + TURN / batch)), batch, seed, rate, "constant")


def curve_rate(shape: Transformer, batch: int) -> float:
    """Constant learning rate by width and batch: a rule through the best of the search in ``stdlib_rates.csv``."""
    return learning_rate(shape.width) * min(2.0, math.sqrt(batch / 32))


def curve_cell(shape: Transformer, batch: int, shortest: int, seed: int) -> Cell:
    """One curve of the design."""
    plan = curve_plan(shape, batch, shortest, seed, curve_rate(shape, batch))
    return Cell(plan, f"B{plan.batch_tokens}-S{plan.steps}", log_spaced(plan.steps, CURVE_POINTS))


def log_spaced(steps: int, points: int) -> tuple[int, ...]:
    """Return steps evenly spaced in their logarithm, from the tenth on."""
    return tuple(sorted({round(step) for step in np.geomspace(10, steps, points).tolist()}))


def rates() -> Iterator[Cell]:
    """Search for the constant learning rate: three widths, three batches, and rates a factor of two apart."""
    for shape in SIZES[::2]:
        for batch, exponents in ((2, (-4, -3, -2, -1)), (32, (-2, -1, 0, 1)), (512, (-1, 0, 1, 2))):
            for exponent in exponents:
                plan = curve_plan(shape, batch, 128, 0, learning_rate(shape.width) * 2.0**exponent)
                yield Cell(plan, f"B{plan.batch_tokens}-R{2.0**exponent:g}")


def grid(shapes: Iterable[Transformer], batches: Iterable[int], shortest: int, seeds: Iterable[int]) -> list[Cell]:
    """Cross shapes, batches and seeds, the cheapest first."""
    cells = [curve_cell(shape, batch, shortest, s) for shape, batch, s in itertools.product(shapes, batches, seeds)]
    return sorted(cells, key=lambda cell: cell.plan.flops)


def curves() -> list[Cell]:
    """Six sizes by five batches."""
    return grid(SIZES, BATCHES, 256, [0])


def again() -> list[Cell]:
    """Repeat six of the curves on two more seeds."""
    return grid(SIZES[::2], (2, 32), 256, [2, 3])


def longer() -> list[Cell]:
    """Repeat the cells of ``curves`` on another seed, three times as long."""
    return grid(SIZES, BATCHES, 768, [1])


def larger() -> list[Cell]:
    """Add a seventh size."""
    return grid(SHAPES[7:], BATCHES, 256, [0])


def schedules() -> list[Cell]:
    """Three sizes by two batches on three schedules, scored more often where rates fall."""
    cells = []
    for cell, schedule in itertools.product(grid(SIZES[::2], (2, 32), 256, [4]), ("constant", "cooldown", "cosine")):
        plan = dataclasses.replace(cell.plan, schedule=schedule)
        late = {round(step) for step in np.linspace(0.7 * plan.steps, plan.steps, CURVE_POINTS // 3).tolist()}
        stops = tuple(sorted(late | set(log_spaced(plan.steps, CURVE_POINTS * 2 // 3))))
        cells.append(Cell(plan, f"B{plan.batch_tokens}-{schedule}", stops))
    return cells


def repeated() -> list[Cell]:
    """Three sizes, three amounts of text, each seen up to 16 times; cosine schedule as in ``train.py``."""
    cells = []
    for shape, unique, epochs in itertools.product(SIZES[::2], REPEATED_TOKENS, (1, 2, 4, 8, 16)):
        plan = dataclasses.replace(cosine_plan(shape, unique * epochs, 0), unique_tokens=unique)
        cells.append(Cell(plan, f"U{unique}-E{epochs}"))
    return sorted(cells, key=lambda cell: cell.plan.flops)


def at_several_rates(network: Network, tokens: int, exponents: Iterable[int]) -> Iterator[Cell]:
    """Cosine runs of one cell around the rate of ``train.py``: the table keeps all, the best one counts."""
    for exponent in exponents:
        rate = learning_rate(network.width) * 2.0**exponent
        plan = Plan(network, tokens // (BATCH * CONTEXT), BATCH, 0, rate)
        yield Cell(plan, f"D{tokens / 1e6:.2f}M-R{2.0**exponent:g}")


def shape() -> Iterator[Cell]:
    """Five aspect ratios of one and the same number of parameters."""
    for aspect in ASPECTS:
        yield from at_several_rates(aspect, 2**20, (-2, -1, 0, 1))


def lstm() -> Iterator[Cell]:
    """Five sizes of LSTM at two lengths."""
    for tokens, network in itertools.product((2**18, 2**20), LSTMS):
        yield from at_several_rates(network, tokens, (-2, -1, 0, 1))


DESIGNS: dict[str, tuple[str, Callable[[], Iterable[Cell]]]] = {  # name: table, cells
    "rates": ("rates", rates),
    "curves": ("curves", curves),
    "again": ("curves", again),
    "longer": ("curves", longer),
    "larger": ("curves", larger),
    "schedules": ("schedules", schedules),
    "repeated": ("repeated", repeated),
    "shape": ("shape", shape),
    "lstm": ("lstm", lstm),
}


# --- rows -------------------------------------------------------------------------------------------------------


def measured_rows(name: str, cell: Cell, corpus: Corpus) -> list[Row]:
    """Train one run and describe each of its evaluations as a row of the table."""
    started = time.perf_counter()
    plan = cell.plan
    score = losses(plan.network, cell.scored_windows(corpus), corpus.prose)
    rows = []
    rates = plan.learning_rates()
    for step, params in train(plan, corpus.train, cell.stops):
        described = plan.columns(step)
        if cell.stops and plan.schedule != "constant":
            described["learning_rate"] = f"{float(rates(step - 1)):.5g}"
        seen = int(described["tokens"])
        row = {
            "run": name,
            "architecture": type(plan.network).__name__.lower(),
            **described,
            "unique_tokens": str(seen if plan.unique_tokens is None else min(seen, plan.unique_tokens)),
            **score(params),
            "schedule": plan.schedule,
            "seconds": f"{time.perf_counter() - started:.1f}",
            "device": jax.default_backend(),
            "corpus_sha256": corpus.sha256[:16],
            "prose_sha256": corpus.prose_sha256[:8],
        }
        rows.append(row)
    return rows


def main() -> None:
    """Run the cells of the designs that their tables do not have yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="+", choices=DESIGNS, metavar="design", help=", ".join(DESIGNS))
    parser.add_argument("--folder", type=Path, default=Path(), help="where the tables are continued")
    parser.add_argument("--below", type=float, default=float("inf"), help="leave out runs of this many FLOPs or more")
    parser.add_argument("--list", action="store_true", help="print the designs and stop")
    parser.add_argument("--only", help="run only the cell of this name")
    arguments = parser.parse_args()

    corpus = None if arguments.list else read_corpus()
    for design in arguments.designs:
        table, design_cells = DESIGNS[design]
        cells = {
            cell.name: cell
            for cell in design_cells()
            if cell.plan.flops < arguments.below and arguments.only in (None, cell.name)
        }
        for name, cell in cells.items() if corpus is None else ():
            print(f"{name:28s} N={cell.plan.network.params:<8d} D={cell.plan.tokens:<10d} C={cell.plan.flops:.2e} FLOP")
        print(f"{design}: {len(cells)} runs, {sum(c.plan.flops for c in cells.values()):.2e} FLOP in all", flush=True)
        if corpus is not None:
            path = arguments.folder / f"stdlib_{table}.csv"
            measure = functools.partial(measured_rows, corpus=corpus)
            fill_table(path, COLUMNS, cells, measure, corpus.sha256[:16])


if __name__ == "__main__":
    main()
