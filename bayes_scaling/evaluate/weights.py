"""Weights of several laws, from how well each would have forecast runs that it had not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_scaling.base.arguments import validated
from bayes_scaling.data.runs import Runs
from bayes_scaling.errors import DataError
from bayes_scaling.evaluate.candidates import Cut

WITNESSES = 3.0  # independent runs that all held-out runs together amount to (benchmarks/weights.py)
FURTHEST = 1.0  # nats per run behind the best at a cut; a member further behind counts as this
RULE = (
    f"a weight is proportional to exp({WITNESSES:g} s), s being the mean log score per held-out run over the cuts, "
    f"relative to the best and no less than {-FURTHEST:g} at each"
)
"""Where weights come from, in words."""
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
    if np.isnan(density).any():
        row, column = np.argwhere(np.isnan(density))[0]
        raise DataError(f"the log score of {names[column]} in row {row + 1} is no number; leave the row out for all")
    # A row that nobody thought possible tells nothing.
    best = np.maximum(density.max(axis=1, keepdims=True), np.finfo(float).min)
    density = np.exp(np.maximum(density - best, -700.0))
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


def law_weights(
    scores: pd.DataFrame, laws: Mapping[str, str], cuts: Sequence[Cut], witnesses: float = WITNESSES
) -> dict[str, float]:
    """Return the weight of each member of an ensemble, from how it would have forecast held-out runs.

    Parameters
    ----------
    scores : one row per member, cut and held-out row: ``candidate`` (the member's label), ``cut``, ``row``, ``run``,
        ``log_score``; rows of others are ignored
    laws : by the label of a member, the label of its law
    cuts : above which runs were held out; without any, all laws weigh the same
    witnesses : how many independent runs all of them amount to

    Returns
    -------
    dict
        By label of a member; they sum to one.

    Notes
    -----
    The runs above a cut are no independent witnesses: what a law gets wrong, it gets wrong for all of them together.
    So their scores are averaged, not added, and the average counts as often as ``witnesses`` says, however many runs
    and cuts there are. Laws are alike before any run is held out; a law shares its part evenly among its members.
    """
    if not laws:
        raise DataError("weights need at least one law that is fitted as a posterior")
    names, members = list(laws), list(laws.values())
    behind = pd.Series(0.0, index=names)
    if cuts:
        per_run = by_candidate(scores, names).groupby(level=["cut", "run"], sort=False).mean()
        per_cut = per_run.groupby(level="cut", sort=False).mean()
        behind = per_cut.sub(per_cut.max(axis=1), axis=0).clip(lower=-FURTHEST).mean()
    share = np.array([1 / members.count(law) for law in members])
    weight = share * np.exp(witnesses * behind[names].to_numpy(float))
    return dict(zip(names, (weight / weight.sum()).tolist(), strict=True))


def by_candidate(scores: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return log scores with a column per candidate, a row per cut and held-out row."""
    return scores.pivot(index=["cut", "row", "run"], columns="candidate", values="log_score")[list(names)]


def counts_of(index: pd.Index, cuts: Sequence[Cut], runs: Runs) -> np.ndarray:
    """Return how much each held-out row counts, ``(n_row,)``: a run counts once over all its rows and cuts.

    A cut counts by the share of the largest run that it keeps, whatever its column.
    """
    shares = {cut.label: cut.at / float(runs.column(cut.column).max()) for cut in cuts}
    kept = index.get_level_values("cut").map(shares).to_numpy(float)
    names = index.get_level_values("run").to_numpy()
    return np.asarray(kept / pd.Series(kept).groupby(names).transform("sum"))
