"""The papers' recipe for the constants of the learning curve: one pair after another, point estimates only.

First N_c and alpha_N from the final losses of large-batch runs, then S_c and alpha_S from their curves, then B_star
and alpha_B from the steps that runs of several batches take to the same losses (Kaplan et al. 2020, section 5; Su et
al. 2024). Each step takes the results of the one before as exact, and the first assumes converged runs: if they
are not, N_c and alpha_N absorb what further training would gain. The joint posterior assumes neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayes_scaling.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from bayes_scaling import Runs

TARGETS = 12  # losses at which batches are compared, for each size


def stepwise(runs: Runs) -> dict[str, float]:
    """Estimate the constants of the learning curve step by step.

    Parameters
    ----------
    runs : training curves (``run``, ``params``, ``steps``, ``batch_tokens``), warm-up left out: at least two sizes,
        trained to convergence at a batch large enough to count as infinite, and one size at three batches or more

    Returns
    -------
    dict
        N_c, alpha_N, S_c, alpha_S, B_star, alpha_B

    Raises
    ------
    DataError
        When the table lacks a column, or runs that a step needs.
    """
    missing = [name for name in ("run", "params", "steps", "batch_tokens") if name not in runs]
    if missing:
        raise DataError(f"the step-by-step recipe reads whole curves; {runs.source} has no column {missing[0]}")
    table = runs.table.sort_values(["run", "steps"])
    large = table[table["batch_tokens"] == table.groupby("params")["batch_tokens"].transform("max")]
    ends = large.groupby("run").tail(1)
    if ends["params"].nunique() < 2:
        raise DataError(f"N_c and alpha_N need final losses of two sizes or more; {runs.source} has one")
    slope, level = np.polyfit(np.log(ends["params"]), np.log(ends["loss"]), 1)
    alpha_N, N_c = -slope, np.exp(level / -slope)
    steps, excess = _learning(large, N_c, alpha_N)
    if len(steps) < 3 or steps.max() < 2 * steps.min():
        raise DataError(f"S_c and alpha_S need curves above their final losses; {runs.source} has too few such rows")
    slope, level = np.polyfit(np.log(steps), np.log(excess), 1)
    alpha_S, S_c = -slope, np.exp(level / -slope)
    losses, critical = _critical_batches(table)
    if len(losses) < 3:
        raise DataError(
            f"B_star and alpha_B need one size at three batches or more that reach the same losses; "
            f"{runs.source} gives {len(losses)} such losses"
        )
    slope, level = np.polyfit(np.log(losses), np.log(critical), 1)
    names = ("N_c", "alpha_N", "S_c", "alpha_S", "B_star", "alpha_B")
    values = (N_c, alpha_N, S_c, alpha_S, np.exp(level), -1 / slope)
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _learning(large: pd.DataFrame, N_c: float, alpha_N: float) -> tuple[np.ndarray, np.ndarray]:
    """Return steps of large-batch rows and their loss above the converged one, where the difference is clear."""
    converged = (N_c / large["params"].to_numpy(float)) ** alpha_N
    loss = large["loss"].to_numpy(float)
    clear = loss > 1.01 * converged
    return large["steps"].to_numpy(float)[clear], (loss - converged)[clear]


def _critical_batches(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return losses and the critical batch at each: S = S_min + E_min / B over batches, B_crit = E_min / S_min."""
    losses, critical = [], []
    for _, size in table.groupby("params"):
        curves = [curve for _, curve in size.groupby("run")]
        if size["batch_tokens"].nunique() < 3:
            continue
        high = min(float(curve["loss"].max()) for curve in curves)
        low = max(float(curve["loss"].min()) for curve in curves)
        for target in np.geomspace(low * 1.001, high * 0.999, TARGETS) if low < high else ():
            steps = np.array([_steps_to(curve, target) for curve in curves])
            per_batch = 1 / np.array([float(curve["batch_tokens"].iloc[0]) for curve in curves])
            # Relative errors of steps count, so each equation is divided by its steps.
            design = np.stack([1 / steps, per_batch / steps], axis=1)
            (fewest, examples), *_ = np.linalg.lstsq(design, np.ones(len(steps)))
            if fewest > 0 and examples > 0:
                losses.append(target)
                critical.append(examples / fewest)
    return np.array(losses), np.array(critical)


def _steps_to(curve: pd.DataFrame, target: float) -> float:
    """Return the steps at which a curve first reaches a loss, between rows on log-log axes."""
    loss = np.minimum.accumulate(curve["loss"].to_numpy(float))
    steps = curve["steps"].to_numpy(float)
    return float(np.exp(np.interp(-np.log(target), -np.log(loss), np.log(steps))))
