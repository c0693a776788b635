"""Scores: how good a predictive distribution was, judged by the losses that were measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import Seed, validated
from bayes_scaling.base.messages import counted
from bayes_scaling.errors import DataError
from bayes_scaling.predict.predictive import Predictive

COVERAGES = (0.5, 0.8, 0.9)
RANGES = (2.0, 10.0, 100.0)  # factors of extrapolation that split the scores


@validated
def score(predicted: Predictive, loss: np.ndarray, seed: Seed = 0) -> pd.DataFrame:
    """Score a predictive distribution of losses at each run.

    Parameters
    ----------
    predicted : distribution of log loss at each run
    loss : (n_run,) what was measured
    seed : of the draws behind median, width and CRPS

    Returns
    -------
    pandas.DataFrame
        One row per run: ``loss``, ``median``, ``low`` and ``high`` (90 % interval), ``lower`` and ``upper`` (50 %),
        ``error`` (log of measured over
        median), ``log_score`` (log density of the measured loss), ``crps`` (continuous ranked probability score of log
        loss, so 0.01 is about one percent), ``pit`` (probability that was given to a lower loss), ``width`` (of the
        90 % interval, in log loss).
    """
    points = predicted.location.shape[1]
    loss = np.atleast_1d(np.asarray(loss, float))
    if loss.shape != (points,) or not (np.isfinite(loss) & (loss > 0)).all():
        raise DataError(f"scores need {counted(points, 'measured loss', 'measured losses')}, a positive number each")
    draws = np.log(predicted.losses(seed))
    low, lower, median, upper, high = np.quantile(draws, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    return pd.DataFrame(
        {
            "loss": loss,
            "median": np.exp(median),
            "low": np.exp(low),
            "lower": np.exp(lower),
            "upper": np.exp(upper),
            "high": np.exp(high),
            "error": np.log(loss) - median,
            "log_score": predicted.log_density(loss),
            "crps": crps(draws, np.log(loss)),
            "pit": predicted.probability_below(loss),
            "width": high - low,
        }
    )


def crps(draws: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score, ``(n_point,)``: E|X - y| - E|X - X'| / 2.

    Parameters
    ----------
    draws : (n_draw, n_point)
    value : (n_point,)

    Notes
    -----
    Gneiting and Raftery 2007, eq 21; the second term from sorted draws.
    """
    n = len(draws)
    rank = 2 * np.arange(1, n + 1) - n - 1
    spread = (rank[:, None] * np.sort(draws, axis=0)).sum(axis=0) / (n * max(n - 1, 1))
    return np.asarray(np.abs(draws - value).mean(axis=0) - spread)


def coverage(pit: np.ndarray, probability: float) -> float:
    """Return the share of runs inside the central interval of a probability."""
    return float(np.mean(np.abs(np.asarray(pit) - 0.5) <= probability / 2))


def summarise(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Average scores of runs over groups.

    Parameters
    ----------
    scores : rows of `score`, with columns to group by
    by : those columns

    Returns
    -------
    pandas.DataFrame
        One row per group: ``n`` (rows), ``rmsle`` (root mean square of the log error), ``log_score``, ``crps``,
        ``width`` (means over rows: a run that several cuts hold out counts as often), and the share of runs inside 50,
        80 and 90 % intervals.
    """

    def one(group: pd.DataFrame) -> pd.Series:
        inside = {f"inside_{p:.0%}": coverage(group["pit"].to_numpy(), p) for p in COVERAGES}
        means = {name: float(group[name].mean()) for name in ("log_score", "crps", "width")}
        return pd.Series({"n": len(group), "rmsle": float(np.sqrt((group["error"] ** 2).mean())), **means, **inside})

    rows = {key: one(group) for key, group in scores.groupby(list(by), sort=False)}
    out = pd.DataFrame.from_dict(rows, orient="index")
    out.index = pd.MultiIndex.from_tuples(list(rows), names=list(by))
    return out.astype({"n": int}).reset_index()


def extrapolation_range(factor: np.ndarray) -> np.ndarray:
    """Name the range of each factor of extrapolation: ``up to 2x``, ``2x to 10x``, ..."""
    edges = (*(f"{edge:g}x" for edge in RANGES),)
    names = [f"up to {edges[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(edges)), f"over {edges[-1]}"]
    return np.array(names)[np.searchsorted(RANGES, np.asarray(factor, float))]
