"""Scores of benchmarks: accuracies and pass rates as a table that a law of error against loss is fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.special

from bayes_scaling.base.arguments import validated
from bayes_scaling.base.messages import listed, shown
from bayes_scaling.data.runs import Runs
from bayes_scaling.data.validation import others
from bayes_scaling.errors import DataError

ERROR = "error rate"  # unit of the table's losses
MOST_SAMPLES = 1e9  # of a problem; beyond, logarithms of factorials lose the digits that matter


@validated
def score_runs(
    frame: pd.DataFrame,
    *,
    score: str = "score",
    loss: str = "loss",
    questions: int | str | None = None,
    source: str = "the table of scores",
) -> Runs:
    """Return scores of models and their losses as the table that a law like ``downstream`` is fitted to.

    Parameters
    ----------
    frame : one row per model, and per task where there are several; other columns are kept, so the inputs of a law of
        compute (``flops``, ``params``, ``tokens``) may be there too
    score : column of the scores, fractions between 0 and 1: accuracy, or a pass rate such as `pass_at_k`
    loss : column of the losses of the same models
    questions : number of questions behind each score, or the column that has it; their binomial standard error goes to
        ``loss_se``, for a noise of scale ``known``
    source : named in error messages

    Returns
    -------
    Runs
        ``source_loss`` is the model's loss, and ``loss`` its error rate, 1 - score.

    Raises
    ------
    DataError
        When a column is missing, a loss is no positive number, a score is no fraction, or it is 1, so that no error is
        left.
    """
    for name in (score, loss, *([questions] if isinstance(questions, str) else [])):
        if name not in frame:
            raise DataError(f"{source} has no column {shown(name)} (it has {listed(frame)})")
    values = pd.to_numeric(frame[score], errors="coerce").to_numpy(float)
    _refuse(~np.isfinite(values), frame[score], source, score, "expected a fraction between 0 and 1")
    percent = "; divide percentages by 100" if (values > 2).any() and (values <= 100).all() else ""
    _refuse((values < 0) | (values > 1), frame[score], source, score, f"expected a fraction between 0 and 1{percent}")
    _refuse(
        values == 1,
        frame[score],
        source,
        score,
        "an error of 0 has no logarithm: leave the row out, or count half a miss",
    )
    losses = pd.to_numeric(frame[loss], errors="coerce").to_numpy(float)
    _refuse(~(np.isfinite(losses) & (losses > 0)), frame[loss], source, loss, "expected the positive loss of a model")
    table = frame.drop(columns=[name for name in {loss, "source_loss", "loss_se"} if name in frame and name != score])
    table = table.drop(columns=score).assign(source_loss=losses, loss=1 - values)
    if questions is not None:
        count = _counts(frame[questions], source, questions) if isinstance(questions, str) else _number(questions)
        # Two successes and two failures more (Agresti and Coull 1998): a score of 0 is not known exactly.
        shrunk = (values * count + 2) / (count + 4)
        table = table.assign(loss_se=np.sqrt(shrunk * (1 - shrunk) / (count + 4)))
    return Runs.from_frame(table.reset_index(drop=True), loss_unit=ERROR, source=source)


@validated
def pass_at_k(samples: Any, correct: Any, k: int) -> float:
    """Return pass@k, the chance that one of k samples is right, averaged over problems, without bias.

    Each problem counts 1 - C(n - c, k) / C(n, k), for c right ones of n samples (Chen et al. 2021, arXiv 2107.03374,
    eq 1). Problems differ in difficulty, so pass@k does not follow from pass@1: it is a score of its own.

    Parameters
    ----------
    samples, correct : numbers of samples and of right ones, one per problem, or one number of samples for all
    k : how many samples are drawn

    Raises
    ------
    DataError
        When a problem has fewer than k samples or more than 1e9, or more right ones than samples.
    """
    try:
        n, c = np.broadcast_arrays(np.atleast_1d(np.asarray(samples, float)), np.atleast_1d(np.asarray(correct, float)))
    except (TypeError, ValueError, OverflowError):
        raise DataError("samples and correct: expected numbers, or one for each problem in both") from None
    if n.ndim != 1 or not len(n) or not (np.isfinite(n).all() and np.isfinite(c).all()):
        raise DataError("samples and correct: expected numbers, or one for each problem in both")
    if k < 1 or not (n >= k).all():
        raise DataError(f"pass@{k} needs at least {max(k, 1)} samples of each problem; the fewest are {n.min():g}")
    if (n > MOST_SAMPLES).any():
        raise DataError(f"a problem has {n.max():.4g} samples; expected {MOST_SAMPLES:g} at most")
    if not ((c >= 0) & (c <= n)).all():
        place = int(np.flatnonzero((c < 0) | (c > n))[0])
        raise DataError(
            f"problem {place + 1} has {c[place]:g} right of {n[place]:g} samples; expected 0 to {n[place]:g}"
        )
    misses = n - c
    fails = np.where(
        misses >= k,
        np.exp(
            scipy.special.gammaln(misses + 1)
            - scipy.special.gammaln(np.maximum(misses - k, 0) + 1)
            - scipy.special.gammaln(n + 1)
            + scipy.special.gammaln(n - k + 1)
        ),
        0.0,
    )
    return float((1 - fails).mean())


def _number(questions: int) -> int:
    if questions < 1:
        raise DataError(f"questions is {questions}, expected the number of questions behind each score")
    return questions


def _counts(cells: Any, source: str, name: str) -> np.ndarray:
    values = pd.to_numeric(cells, errors="coerce").to_numpy(float)
    _refuse(~(np.isfinite(values) & (values >= 1)), cells, source, name, "expected a number of questions, 1 or more")
    return np.asarray(values)


def _refuse(bad: np.ndarray, cells: Any, source: str, column: str, why: str) -> None:
    """Refuse a table with a bad cell, naming the first one."""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"{source}, row {row + 1}, column {column}: {shown(cells.iloc[row])}, {why}{others(bad)}")
