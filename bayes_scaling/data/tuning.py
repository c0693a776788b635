"""Learning rate and batch size: published rules, and what a table of runs shows of tuning before any law is fitted."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from bayes_scaling.data.units import FLOPS_PER_PARAM_TOKEN

RATE, BATCH = "peak_learning_rate", "batch_tokens"
BEST_OF = (1, 2, 4, 8, 16)  # numbers of tuned runs of which the best one counts
NEAR = 0.02  # runs within this share of the lowest loss of their cell shape its quadratic
LEAST = {1: 6, 2: 12}  # of them, at least, by how many of rate and batch are fitted

type OfRun = Callable[[float, float], float]
"""A function of parameters and training tokens."""


@dataclasses.dataclass(frozen=True)
class TuningRule:
    """A published rule for the learning rate or the batch size.

    Attributes
    ----------
    name, source : its key, and the paper
    note : what it was found with
    rate : peak learning rate of a run; None if the source says nothing of it
    batch_tokens : tokens per step of a run; None if the source says nothing of it
    verified : False for numbers that were read in a summary of the paper, or are quoted from memory
    """

    name: str
    source: str
    note: str
    rate: OfRun | None = None
    batch_tokens: OfRun | None = None
    verified: bool = True


def _of_compute(scale: float, exponent: float) -> OfRun:
    return lambda params, tokens: scale * (FLOPS_PER_PARAM_TOKEN * params * tokens) ** exponent


PUBLISHED_TUNING: Mapping[str, TuningRule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            TuningRule(
                "kaplan2020",
                "Kaplan et al. 2020 (arXiv 2001.08361), appendix D.1",
                "Adam, batches of 2^19 tokens; not for more than 1e10 parameters, where it falls to zero",
                rate=lambda params, tokens: max(0.003239 - 0.0001395 * math.log(params), 0.0),
            ),
            TuningRule(
                "deepseek2024",
                "DeepSeek-AI 2024 (arXiv 2401.02954)",
                "of compute alone, C = 6 N D here; schedule in steps; quoted from memory",
                rate=_of_compute(0.3118, -0.1250),
                batch_tokens=_of_compute(0.2920, 0.3271),
                verified=False,
            ),
            TuningRule(
                "steplaw2025",
                "Li et al. 2025 (arXiv 2503.04715)",
                "AdamW, 60M to 1.1B non-embedding parameters, 1e9 to 1e11 tokens",
                rate=lambda params, tokens: 1.79 * params**-0.713 * tokens**0.307,
                batch_tokens=lambda params, tokens: 0.58 * tokens**0.571,
            ),
            TuningRule(
                "schaipp2026",
                "Schaipp 2026 (arXiv 2607.01487)",
                "the bottom of a three-term law of 246 runs; read in a summary of the paper",
                batch_tokens=lambda params, tokens: 0.667 * tokens**0.566,
                verified=False,
            ),
        )
    }
)
"""Published rules by name; most were found on language models of one architecture."""


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How runs of the same size on the same tokens were tuned.

    Attributes
    ----------
    cells : pairs of params and tokens (to three digits) that the table has runs at
    several : cells that have runs with several learning rates or batch sizes
    settings : median number of settings in those
    varied : which of learning rate and batch size differ within cells
    best_of : by number of runs, by how much of the loss the best of so many runs of a cell, drawn at random, is
        expected to be above the best of all of them; the mean over cells with more settings than that
    """

    cells: int
    several: int
    settings: float
    varied: tuple[str, ...]
    best_of: Mapping[int, float]

    @property
    def words(self) -> str:
        """What the table holds and what that does to a law, in one sentence."""
        what = " and ".join("learning rates" if name == RATE else "batch sizes" for name in self.varied)
        drawn = ", ".join(
            f"the best of {k} by {loss:.2%}" if k > 1 else f"one run by {loss:.2%}" for k, loss in self.best_of.items()
        )
        drawn = f"; drawn at random, {drawn} on average above the best of its cell" if drawn else ""
        return (
            f"{self.several} of {self.cells} cells of params and tokens have runs with several {what} (median "
            f"{self.settings:g} a cell){drawn}. A law that does not read them takes this for scatter: fit 'tuning' to "
            "all runs, or keep the best run of each cell"
        )


def tuning_of(table: pd.DataFrame) -> Tuning | None:
    """Return how runs were tuned; None where all runs of a cell have one setting, or nothing is known of it.

    Parameters
    ----------
    table : columns of runs, in raw units
    """
    known = [name for name in (RATE, BATCH) if name in table]
    if not known or not {"params", "tokens", "loss"} <= set(table):
        return None
    table = table[["params", "tokens", "loss", *known]].assign(tokens=nominal(table["tokens"].to_numpy(float)))
    settings = table.groupby(["params", "tokens"], sort=False)[known].nunique()
    several = settings.gt(1).any(axis=1)
    if not several.any():
        return None
    by_setting = table.groupby(["params", "tokens", *known], sort=False)["loss"].mean()
    losses = [np.sort(one.to_numpy()) for _, one in by_setting.groupby(level=[0, 1], sort=False) if len(one) > 1]
    best_of = {}
    for k in BEST_OF:
        above = [expected_best(one / one[0] - 1, k) for one in losses if len(one) > k]
        if above:
            best_of[k] = float(np.mean(above))
    return Tuning(
        cells=len(settings),
        several=int(several.sum()),
        settings=float(np.median([len(one) for one in losses])),
        varied=tuple(name for name in known if settings[name].gt(1).any()),
        best_of=best_of,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Bottom:
    """The best rate and batch of one size, read off its own runs without any law.

    Attributes
    ----------
    params, tokens : the size
    best : (2,) logs of the best rate and the best batch; of the one batch there is, where runs do not vary it
    errors : (2,) their standard errors; NaN for a batch that does not vary
    bend : second derivatives of the loss in the logs of what varies
    least : loss at the bottom
    """

    params: float
    tokens: float
    best: np.ndarray
    errors: np.ndarray
    bend: np.ndarray
    least: float


def bottoms(table: pd.DataFrame) -> list[Bottom]:
    """Fit a quadratic in log rate and log batch to the best runs of every size, by least squares.

    Parameters
    ----------
    table : columns of runs, in raw units

    Returns
    -------
    list of Bottom
        Of the sizes that have enough runs near their best one, and their bottom among these.
    """
    table = table[["params", "tokens", "loss", RATE, BATCH]].assign(tokens=nominal(table["tokens"].to_numpy(float)))
    cells = [cell for _, cell in table.groupby(["params", "tokens"]) if len(cell) >= LEAST[1]]
    found = [_bottom(float(cell["params"].iloc[0]), float(cell["tokens"].iloc[0]), cell) for cell in cells]
    return [one for one in found if one is not None]


def _bottom(params: float, tokens: float, cell: pd.DataFrame) -> Bottom | None:
    varied = [name for name in (RATE, BATCH) if name == RATE or cell[name].nunique() > 1]
    near = cell[cell["loss"] < (1 + NEAR) * cell["loss"].min()]
    if len(near) < LEAST[len(varied)] or near[varied].nunique().min() < 3:
        return None
    log_varied = np.log(near[varied].to_numpy(float))
    z = log_varied - log_varied.mean(axis=0)
    pairs = list(itertools.combinations_with_replacement(range(len(varied)), 2))
    design = np.column_stack([np.ones(len(z)), z, *(z[:, i] * z[:, j] for i, j in pairs)])
    loss = near["loss"].to_numpy(float)
    found, _, rank, _ = np.linalg.lstsq(design, loss)
    slope, bend = found[1 : 1 + len(varied)], np.zeros((len(varied), len(varied)))
    for value, (i, j) in zip(found[1 + len(varied) :], pairs, strict=True):
        bend[i, j] += value
        bend[j, i] += value
    if rank < design.shape[1] or np.linalg.eigvalsh(bend).min() <= 0:
        return None
    bottom = -np.linalg.solve(bend, slope)
    if ((bottom < z.min(axis=0)) | (bottom > z.max(axis=0))).any():
        return None
    # The gradient at the bottom is 0: an error of a coefficient moves the bottom by what it adds to that gradient.
    unit = np.eye(len(varied))
    moved = [0 * bottom, *unit, *(unit[i] * bottom[j] + unit[j] * bottom[i] for i, j in pairs)]
    moves = np.linalg.solve(bend, np.array(moved).T)
    scatter = float(((loss - design @ found) ** 2).sum() / (len(loss) - design.shape[1]))
    variance = scatter * moves @ np.linalg.solve(design.T @ design, moves.T)
    best, errors = np.array([0.0, np.log(near[BATCH].iloc[0])]), np.full(2, np.nan)
    best[: len(varied)], errors[: len(varied)] = bottom + log_varied.mean(axis=0), np.sqrt(np.diag(variance))
    return Bottom(params, tokens, best, errors, bend, float(found[0] + slope @ bottom / 2))


def nominal(tokens: np.ndarray) -> np.ndarray:
    """Return tokens with three digits: whole steps of different batches make runs of one length differ a little."""
    unit = 10.0 ** (np.floor(np.log10(tokens)) - 2)
    return np.asarray(np.round(tokens / unit) * unit)


def expected_best(ordered: np.ndarray, k: int) -> float:
    """Return the mean of the smallest of k values, drawn without replacement.

    Parameters
    ----------
    ordered : (n,) in increasing order, n at least k

    Notes
    -----
    The i-th smallest of n is the smallest of k drawn ones with probability C(n - i, k - 1) / C(n, k).
    """
    n = len(ordered)
    weight = [math.comb(n - i, k - 1) / math.comb(n, k) for i in range(1, n + 1)]
    return float(np.dot(weight, ordered))
