"""Draw what a fit costs over rows, curves, laws and cuts, and print the seconds behind the picture.

uv run python docs/generate/costs.py docs

Each number is CPU seconds of the second time in a process, when programs are compiled. Settings are the defaults: rows
and whole curves of Chinchilla's law; the first default laws together, on the bundled sweep; and cuts of one law there.
The slope is that of log seconds between the two largest sizes: 1 is linear.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayes_scaling as bs
from bayes_scaling.evaluate.candidates import Cut
from bayes_scaling.evaluate.defaults import default_laws
from bayes_scaling.model.simulate import typical_design
from bayes_scaling.plot.style import BLUE, GREEN, ORANGE, PURPLE, STYLE

SIZES: Mapping[str, tuple[int, ...]] = {
    "rows": (60, 240, 960),
    "curves": (10, 30, 90),
    "laws": (1, 2, 4),
    "cuts": (1, 2),
}
LOOKS: Mapping[str, tuple[str, str]] = {
    "rows": (BLUE, "o"),
    "curves": (ORANGE, "s"),
    "laws": (GREEN, "^"),
    "cuts": (PURPLE, "D"),
}
ROWS = 12  # of a curve


def work(what: str, size: int) -> Callable[[], object]:
    """Return what is done at one size."""
    if what in ("rows", "curves"):
        runs = rows(size) if what == "rows" else curves(size)
        return lambda: bs.fit("chinchilla", runs, progress=False)
    sweep = bs.datasets.load("stdlib_sweep")
    if what == "laws":
        laws = default_laws(sweep)[:size]
        return lambda: bs.fit(laws, sweep, progress=False)
    largest = sweep.column("flops").max()
    cuts = [Cut("flops", largest / 3 / 1.6**number) for number in range(size)]
    return lambda: bs.compare(["chinchilla"], sweep, cuts=cuts, loo=False, progress=False)


def rows(count: int) -> bs.Runs:
    """Simulate single runs by Chinchilla's law."""
    law = bs.load_law("chinchilla")
    return bs.simulate(law, typical_design(law, count), "besiroglu2024", seed=0)


def curves(count: int) -> bs.Runs:
    """Simulate whole curves by Chinchilla's law, each with a slow deviation of its own."""
    rng = np.random.default_rng(0)
    params = np.exp(rng.uniform(np.log(1e7), np.log(1e10), count))
    ends = np.exp(rng.uniform(np.log(1e10), np.log(1e12), count))
    table = pd.DataFrame(
        {
            "run": np.repeat([f"r{i}" for i in range(count)], ROWS),
            "params": np.repeat(params, ROWS),
            "tokens": np.concatenate([np.geomspace(end / 1e3, end, ROWS) for end in ends]),
        }
    )
    published = bs.load_law("chinchilla").at("besiroglu2024").constants
    truth = dict(published.values) | {"sigma": 0.001, "sigma_curve": 0.01, "length": 1.0}
    return bs.simulate("chinchilla", table, truth, noise=bs.Noise("normal", rows="correlated"), seed=0)


def measured(sizes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int, float]]:
    """Yield what was done, at what size, and the CPU seconds that it took."""
    for what, size in itertools.chain(*([(what, size) for size in some] for what, some in sizes.items())):
        again = work(what, size)
        again()
        started = time.process_time()
        again()
        yield what, size, time.process_time() - started


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Return the slope of log seconds between the two largest sizes."""
    (before, less), (after, more) = sorted(points)[-2:]
    return float(np.log(more / less) / np.log(after / before))


def draw(points: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Draw seconds over size on log axes, one line each."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.subplots()
        for what, found in points.items():
            colour, mark = LOOKS[what]
            axes.plot(*zip(*found, strict=True), color=colour, marker=mark, label=f"{what}: slope {slope(found):.2f}")
        axes.set(xscale="log", yscale="log", xlabel="number of rows, curves, laws, cuts", ylabel="CPU seconds")
        axes.legend()
    return figure


def main(folder: Path, sizes: Mapping[str, Sequence[int]] = SIZES) -> None:
    """Measure, print and draw."""
    points: dict[str, list[tuple[int, float]]] = {what: [] for what in sizes}
    for what, size, seconds in measured(sizes):
        points[what].append((size, seconds))
        print(f"{what}, {size:,}: {seconds:.2f} s", flush=True)
    for what, found in points.items():
        print(f"{what}: slope {slope(found):.2f}")
    draw(points).savefig(folder / "costs.png", dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
