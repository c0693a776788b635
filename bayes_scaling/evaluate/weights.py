"""Weights of several laws, from how well each would have forecast runs that it had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.special

from bayes_scaling.base.arguments import validated
from bayes_scaling.errors import DataError
from bayes_scaling.evaluate.candidates import Cut

WITNESSES = 2.0  # independent witnesses that all runs above the cuts amount to: a law errs for all of them together
RULE = (
    f"a law weighs exp({WITNESSES:g} s), s being its mean log score per held-out run, shared by the law with its "
    "discrepancy and taken to be exact"
)
"""Where weights come from, in words."""
LEAST = -700.0  # log density relative to the best one; less counts as this
PRIOR_ROWS = 1.0  # rows of credit that candidates share evenly from the start, against chance winners


@validated
def stacking_weights(log_scores: Mapping[str, np.ndarray], counts: np.ndarray | None = None) -> dict[str, float]:
    """Return the weights of a mixture that would have had the best log score, ``{candidate: weight}``.

    Parameters
    ----------
    log_scores : by candidate, (n_row,) log density of each held-out row
    counts : (n_row,) how much each row counts; 1 by default

    Notes
    -----
    Stacking of predictive distributions (Yao et al. 2018), by expectation maximisation, which has one solution.
    Candidates start with one row's credit, shared evenly, so that a handful of held-out runs does not give all the
    weight to the law that was lucky on them.
    """
    names = list(log_scores)
    sizes = {np.shape(log_scores[name]) for name in names} | ({np.shape(counts)} if counts is not None else set())
    if not names or len(sizes) > 1 or len(next(iter(sizes))) != 1:
        raise DataError("weights need the log scores of at least one candidate, and one number for each held-out row")
    density = np.stack([np.asarray(log_scores[name], float) for name in names], axis=1)
    density = np.exp(np.maximum(density - density.max(axis=1, keepdims=True), -700.0))
    count = np.ones(len(density)) if counts is None else np.asarray(counts, float)
    weight = np.full(len(names), 1 / len(names))
    for _ in range(10_000):
        share = weight * density
        share /= share.sum(axis=1, keepdims=True)
        new = (count @ share + PRIOR_ROWS / len(names)) / (count.sum() + PRIOR_ROWS)
        settled = float(np.abs(new - weight).max()) < 1e-10
        weight = new
        if settled:
            break
    return dict(zip(names, (weight / weight.sum()).tolist(), strict=True))


def law_weights(scores: pd.DataFrame, laws: Mapping[str, str], cuts: Sequence[Cut]) -> dict[str, float]:
    """Return the weight of each member of an ensemble, from how each law would have forecast held-out runs.

    Parameters
    ----------
    scores : one row per member, cut and held-out row: ``candidate`` (the member's label), ``cut``, ``row``, ``run``,
        ``log_score``; rows of others are ignored
    laws : by the label of a member, the label of its law
    cuts : above which runs were held out; without any, all laws weigh the same

    Returns
    -------
    dict
        By label of a member; they sum to one. Members of one law have the same weight, and a law is scored by their
        mixture.
    """
    if not laws:
        raise DataError("weights need at least one law that is fitted as a posterior")
    members: dict[str, list[str]] = {}
    for label, law in laws.items():
        members.setdefault(law, []).append(label)
    total = dict.fromkeys(members, 0.0)
    if cuts:
        wide = by_candidate(scores, list(laws))
        counts = counts_of(wide.index, cuts)
        for law, labels in members.items():
            density = wide[labels].to_numpy(float)
            mixed = scipy.special.logsumexp(np.maximum(density, LEAST), axis=1) - np.log(len(labels))
            total[law] = float(counts @ mixed / counts.sum())
    best = max(total.values())
    weight = {law: float(np.exp(WITNESSES * (score - best))) for law, score in total.items()}
    whole = sum(weight.values())
    return {label: weight[law] / whole / len(members[law]) for label, law in laws.items()}


def by_candidate(scores: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return log scores with a column per candidate, a row per cut and held-out row."""
    return scores.pivot(index=["cut", "row", "run"], columns="candidate", values="log_score")[list(names)]


def counts_of(index: pd.Index, cuts: Sequence[Cut]) -> np.ndarray:
    """Return how much each held-out row counts, ``(n_row,)``: a run counts once over all its rows and cuts."""
    kept = index.get_level_values("cut").map({cut.label: cut.at for cut in cuts}).to_numpy(float)
    runs = index.get_level_values("run").to_numpy()
    return np.asarray(kept / pd.Series(kept).groupby(runs).transform("sum"))
