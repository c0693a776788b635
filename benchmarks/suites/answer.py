"""Our answer to a table: several laws together, as `bayes_scaling.fit` weighs them.

A single law, and laws whose parameters vary between groups of runs, are mixed by equal weights: with a discrepancy
and without one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.base.names import SamplerName
from bayes_scaling.evaluate.baselines.point_fits import point_fit
from bayes_scaling.model.pooling import Pooling
from bayes_scaling.predict.predictive import Predictive

ONE_INPUT = ("power_law:input=tokens", "delayed_power_law")
TWO_INPUTS = ("chinchilla", "kaplan_joint", "nesting", "farseer")
DISCREPANCIES = ("none", "brownian")
OURS = "ours"


def members(
    laws: Sequence[str],
    below: pd.DataFrame,
    above: pd.DataFrame,
    pooled: str,
    varying: Collection[str],
    sampler: SamplerName,
) -> Iterator[tuple[Predictive, bool]]:
    """Fit every law to the runs below, with and without its discrepancy, and forecast those above.

    Yields what each fit predicts, and whether it converged.

    Parameters
    ----------
    laws : labels of laws
    below : runs with their losses
    above : runs to forecast, without
    pooled : column of groups, or nothing: parameters of a law have a value in each group, from a population
    varying : which of them; all where none is named
    sampler : how posteriors are sampled
    """
    runs = bs.Runs.from_frame(below.reset_index(drop=True))
    above = above.reset_index(drop=True)
    for name in laws:
        law = bs.load_law(name)
        pooling: Pooling | None = None
        if pooled:
            pooling = {row.name: bs.partial(pooled) for row in law.sampled if not varying or row.name in varying}
        for discrepancy in DISCREPANCIES:
            fit = bs.fit(law, runs, discrepancy=discrepancy, pooling=pooling, sampler=sampler, seed=0, progress=False)
            yield bs.forecast(fit, above, unconverged=True).predictive, fit.converged


def ours(
    laws: Sequence[str],
    below: pd.DataFrame,
    above: pd.DataFrame,
    loss: np.ndarray,
    sampler: SamplerName,
    pooled: str = "",
    varying: Collection[str] = (),
) -> pd.DataFrame:
    """Score what the laws say together; columns of `scored`."""
    started = time.perf_counter()
    if len(laws) > 1 and not pooled:
        together = bs.fit(list(laws), bs.Runs.from_frame(below.reset_index(drop=True)), sampler=sampler, seed=0)
        predictive = bs.forecast(together, above.reset_index(drop=True), unconverged=True).predictive
        return scored(predictive, loss, OURS, float((together.to_frame()["weight"] > 0).mean()), started)
    found = list(members(laws, below, above, pooled, varying, sampler))
    predictive = Predictive.mixture([one for one, _ in found])
    converged = float(np.mean([good for _, good in found]))
    return scored(predictive, loss, OURS, converged, started)


def point(law: str, loss_function: str, below: pd.DataFrame, above: pd.DataFrame, loss: np.ndarray) -> pd.DataFrame:
    """Score a point fit with its bootstrap; columns of `scored`."""
    started = time.perf_counter()
    fit = point_fit(bs.load_law(law), bs.Runs.from_frame(below.reset_index(drop=True)), loss=loss_function)
    points = {str(name): above[name].to_numpy() for name in above}
    return scored(fit.predict(points), loss, f"{fit.label}", 1.0, started)


def scored(predictive: Predictive, loss: np.ndarray, answer: str, converged: float, started: float) -> pd.DataFrame:
    """Score a predictive distribution at every held-out run.

    Returns
    -------
    pandas.DataFrame
        One row per run: ``loss``, ``median``, ``error`` (log of measured over median), ``log_score`` (log density of
        the log loss), ``pit``, ``answer``, ``converged`` (share of the fits), ``seconds`` (from the table to here).
    """
    parts = []
    for rows in np.array_split(np.arange(len(loss)), -(-len(loss) // 100)):  # blocks, for the memory of many draws
        part = bs.score(predictive.at(rows), loss[rows])
        parts.append(part[["loss", "median", "error", "log_score", "pit"]])
    scores = pd.concat(parts, ignore_index=True)
    scores["log_score"] += np.log(scores["loss"])
    return scores.assign(answer=answer, converged=converged, seconds=time.perf_counter() - started)
