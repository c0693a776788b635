"""Weights of several laws, from how well each would have forecast runs that it had not seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayes_scaling.base.arguments import validated
from bayes_scaling.errors import DataError

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
