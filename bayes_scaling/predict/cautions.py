"""Cautions: where a run lies far from all fitted ones, so that a law is asked for what no run shows."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import listed
from bayes_scaling.data.columns import Points, behind, derive_missing
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import PF_DAY, others
from bayes_scaling.inference.result import Fit
from bayes_scaling.model.pooling import Groups, Pooling
from bayes_scaling.predict.planned import PLANNED

OUTSIDE = 3.0  # times beyond the range of fitted runs, for what a law trades off
SMALLER = 10.0  # times below the smallest fitted run, for sizes
LARGER = 1000.0  # times above the largest, for sizes and compute
NEARLY = 1.05  # times up to which sizes are the same
TRUSTED = 100.0  # times beyond the tokens per parameter of fitted runs, up to which a best split is sought
MISTAKEN = 1000.0  # times below the smallest, from where another unit is likely
UNINFORMED = 0.3  # of the variance of a prior that a table removes, below which it says next to nothing of a parameter
MOST = 0.5  # share of the spread of log loss that is too much for such parameters
MOVED = 0.01  # standard deviation of log loss that is
DECADE, ALIKE = 10.0, 0.95  # span of a size, and correlation of two, from which a table may leave parameters open
RATIOS = {
    "tokens per parameter": ("tokens", "params"),
    "tokens in a batch": ("batch_tokens", None),
    "epochs": ("tokens", "unique_tokens"),
}
RUN_SIZES = ("params", "tokens", "unique_tokens", "steps", "flops")
BILLION, TRILLION, MILLION, THOUSAND = (1e9, "billions"), (1e12, "trillions"), (1e6, "millions"), (1e3, "thousands")
UNITS = {
    "tokens": (TRILLION, BILLION, MILLION),
    "unique_tokens": (TRILLION, BILLION, MILLION),
    "flops": ((PF_DAY, "PF-days"), (1e21, "zettaFLOPs"), (1e18, "exaFLOPs")),
    "steps": (THOUSAND,),
}
"""Units that people give a size in, the most likely first; those of params otherwise."""


def known_columns(runs: Runs) -> dict[str, np.ndarray]:
    """Return the sizes of fitted runs, those that follow from others included, ``(n_row,)`` each."""
    known = (*RUN_SIZES, "batch_tokens")
    return derive_missing({name: runs.column(name) for name in known if name in runs})[0]


def trusted_ratios(tables: Sequence[Runs]) -> tuple[float, float]:
    """Return the least and most tokens per parameter between which the best split of a budget is sought.

    A law may fall towards a corner that no run is near, such as all parameters and one token.
    """
    known = [
        table["tokens"] / table["params"] for table in map(known_columns, tables) if {"params", "tokens"} <= {*table}
    ]
    if not known:
        return 0.0, np.inf
    ratios = np.concatenate(known)
    return float(ratios.min()) / TRUSTED, float(ratios.max()) * TRUSTED


def unread(read: Collection[str], fitted: Runs, given: Points) -> Iterator[str]:
    """Say which sizes of planned runs change nothing, since nothing that is read follows from them.

    Parameters
    ----------
    read : inputs of a law, and columns that its groups go by
    fitted : the table of fitted runs
    given : columns of the runs that are asked about, without those that follow from others
    """
    used = behind(read, given)
    for name in ("params", "tokens", "flops"):
        if name not in given or name in used or (name == "flops" and {"params", "tokens"} <= used):
            continue
        planned = np.asarray(given[name], float)
        value = f"{name} {planned[0]:.6g}" if np.ptp(planned) == 0 else name
        if name not in fitted:
            yield f"the forecast does not depend on {value}: no column of the fitted table was read as {name}"
            continue
        known = fitted.column(name)
        low, high = float(known.min()), float(known.max())
        if high > NEARLY * low:
            yield f"the forecast does not depend on {value}, which the law does not read"
        elif (planned < low / NEARLY).any() or (planned > high * NEARLY).any():
            yield (
                f"the forecast does not depend on {value}: every fitted run has {low:.6g}, so it is that of a run with "
                f"{low:.6g}"
            )


def off_balance(fitted: Sequence[Points], runs: Points, batched: bool = True) -> Iterator[str]:
    """Say where runs trade inputs off as no fitted run does: tokens per parameter, batches, epochs.

    Parameters
    ----------
    fitted : columns of each table of fitted runs
    runs : columns of the runs that are asked about
    batched : whether a law reads the batch
    """
    for words, (above, below) in RATIOS.items():
        names = [name for name in (above, below) if name]
        shown = [table for table in fitted if all(name in table for name in names)]
        if not shown or any(name not in runs for name in names) or (words == "tokens in a batch" and not batched):
            continue
        known = np.concatenate([table[above] / (table[below] if below else 1.0) for table in shown])
        planned = np.asarray(runs[above] / (runs[below] if below else 1.0), float)
        bad = ~((planned >= known.min() / OUTSIDE) & (planned <= known.max() * OUTSIDE))
        if bad.any():
            worst = _worst(planned, known, bad)
            yield (
                f"{_row(worst, runs)}{planned[worst]:.3g} {words}, where fitted runs have {known.min():.3g} to "
                f"{known.max():.3g}{others(bad)}"
            )


def compute_of(fitted: Sequence[Points]) -> tuple[float, float]:
    """Return the FLOPs of the smallest and of the largest fitted run; 0 and infinity where no table has them."""
    known = [table["flops"] for table in fitted if "flops" in table]
    return min((float(one.min()) for one in known), default=0.0), max(
        (float(one.max()) for one in known), default=np.inf
    )


def far_beyond(fitted: Sequence[Points], runs: Points) -> Iterator[str]:
    """Say where runs take far more compute than any fitted one."""
    _, largest = compute_of(fitted)
    if "flops" in runs:
        ratio = np.asarray(runs["flops"], float) / largest
        if (bad := ratio > LARGER).any():
            worst = int(ratio.argmax())
            yield (f"{_row(worst, runs)}{ratio[worst]:.3g} times the compute of the largest fitted run{others(bad)}")


def out_of_range(fitted: Mapping[str, np.ndarray], runs: Points, given: bool = True) -> Iterator[str]:
    """Say which inputs lie far outside those of the fitted runs, and which unit may be meant.

    Parameters
    ----------
    fitted : inputs of a law in the table of fitted runs, positive
    runs : columns of the runs that are asked about
    given : whether somebody wrote these inputs, so that their unit may be wrong
    """
    for name, known in fitted.items():
        size = name in RUN_SIZES
        low, high = float(known.min()), float(known.max())
        planned = np.asarray(runs[name], float)
        bad = ~((planned >= low / (SMALLER if size else OUTSIDE)) & (planned <= high * (LARGER if size else OUTSIDE)))
        if not bad.any():
            continue
        worst = _worst(planned, known, bad)
        value = float(planned[worst])
        far = f"{low / value:.3g} times below the smallest" if value < low else f"{value / high:.3g} times the largest"
        yield (
            f"{_row(worst, runs)}{name} {value:.6g} is {far} of the fitted runs ({low:.3g} to {high:.3g})"
            f"{meant(name, value, low, high) if size and given else ''}{others(bad)}"
        )


def meant(name: str, value: float, low: float, high: float) -> str:
    """Return which unit may be meant, where that would explain the value."""
    if value * MISTAKEN > low:
        return ""
    for factor, words in UNITS.get(name, (BILLION, MILLION, THOUSAND)):
        if low / SMALLER <= value * factor <= high * LARGER:
            return f"; every input is read in raw units: if {words} are meant, write {value * factor:.6g}"
    return "; every input is read in raw units, so check this one"


def _worst(planned: np.ndarray, known: np.ndarray, bad: np.ndarray) -> int:
    """Return the run that lies furthest outside, in factors."""
    with np.errstate(divide="ignore"):
        factor = np.maximum(known.min() / planned, planned / known.max())
    return int(np.where(bad, factor, 0.0).argmax())


def _row(row: int, runs: Points) -> str:
    """Name a run where there are several."""
    return f"row {row + 1}: " if len(next(iter(runs.values()))) > 1 else ""


def by_priors_alone(groups: Groups, pooling: Pooling, frame: pd.DataFrame) -> Iterator[str]:
    """Say which new groups of planned runs have parameters of which no other group says anything."""
    for column, new in zip(groups.columns, groups.newcomers(frame, PLANNED), strict=True):
        own = [name for name, pool in pooling.items() if pool.by == column and pool.mode == "separate"]
        if new and own:
            many = len(own) > 1
            yield (
                f"{column} {listed(new)} is not in the fitted table, and {listed(own)} "
                f"{'are' if many else 'is'} separate for each {column}: the prior alone says what "
                f"{'they are' if many else 'it is'} there"
            )


def by_the_prior(fit: Fit, theta: Mapping[str, np.ndarray], log_loss: np.ndarray) -> Iterator[str]:
    """Say where most of the spread of a forecast is that of parameters of which the table says nothing.

    Parameters
    ----------
    theta : draws of the law's parameters, (n_draw,) of those that do not vary between groups
    log_loss : (n_draw, n_point) draws of the expected log loss
    """
    if not _leaves_open(fit):
        return
    learned = fit.contraction
    names = [row.name for row in fit.law.sampled if row.name in theta and np.ndim(theta[row.name]) == 1]
    silent = [name for name in names if learned.get(name, 1.0) < UNINFORMED]
    if not silent:
        return
    design = np.stack([np.log(v) if (v > 0).all() else v for v in (theta[name] for name in silent)], axis=1)
    basis = np.linalg.qr(design - design.mean(axis=0))[0]
    away = log_loss - log_loss.mean(axis=0)
    explained, whole = ((basis.T @ away) ** 2).sum(axis=0), (away**2).sum(axis=0)
    if ((explained > MOST * whole) & (np.sqrt(explained / len(away)) > MOVED)).any():
        yield (
            "most of the spread of this forecast is that of parameters of which the table says nothing, so the prior "
            "decides it; 'bayes-scaling check' names them"
        )


def _leaves_open(fit: Fit) -> bool:
    """Say whether sizes of a table are so few, so near or so much alike that parameters may be left to their priors."""
    known = {name: fit.runs.column(name) for name in fit.law.inputs}
    logs = [np.log(values) for name, values in known.items() if name not in fit.law.may_be_zero]
    distinct = len(pd.DataFrame(known).drop_duplicates())
    if distinct < len(fit.law.parameter_names) or any(np.ptp(size) < np.log(DECADE) for size in logs):
        return True
    return any(abs(np.corrcoef(one, other)[0, 1]) > ALIKE for one, other in itertools.combinations(logs, 2))
