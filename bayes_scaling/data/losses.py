"""Checks of the losses of a table as a whole: tables on which no law can be right look wrong in one of these ways."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bayes_scaling.base.messages import counted
from bayes_scaling.data.columns import GROWING
from bayes_scaling.data.validation import others

HIGH, LOW = 5.0, 1e-4  # of the median, beyond which single losses look wrong
ABSURD = 1e6  # of the median, beyond which even the loss of the smallest run does
PERPLEXITY = 13.0  # nats per token: above the entropy of a vocabulary of 400,000
TINY = 1e-3  # nats per token: below the entropy of any text
SAME = 1e-6  # spread of losses, relative to the median, up to which they are one value
ENOUGH = 8  # rows from which a rank correlation says something
SPAN = 3.0  # factor that sizes must span for that
RISING, SURE = 0.5, 1e-3  # rank correlation of loss and size, and its p-value, from which losses are said to rise


def odd_losses(table: pd.DataFrame, loss_unit: str) -> Iterator[str]:
    """Return warnings for losses that look wrong, or from which no law can be learned.

    Losses may rise with size for a while (double descent, overtraining, a fixed amount of compute), so this is no
    reason to refuse a table.
    """
    loss = table["loss"].to_numpy()
    middle = float(np.median(loss))
    if loss_unit == "nats/token" and middle > PERPLEXITY:
        yield f"the median loss is {middle:.3g} nats per token, above any vocabulary's: is it a perplexity?"
    if loss_unit == "nats/token" and middle < TINY:
        yield f"the median loss is {middle:.3g} nats per token, below that of any text: is it in another unit?"
    if (far := _diverged(table, loss, middle)).any():
        row = int(np.flatnonzero(far)[0])
        yield (
            f"{counted(int(far.sum()), 'loss is', 'losses are')} over five times the median "
            f"(row {row + 1}: {loss[row]:.3g}): diverged runs should be dropped"
        )
    if (far := loss < LOW * middle).any():
        row = int(np.flatnonzero(far)[0])
        place = f"row {row + 1}{others(far)}"
        yield f"loss {loss[row]:.3g} in {place} is less than a ten-thousandth of the median, {middle:.3g}"
    if len(loss) > 2 and np.ptp(loss) <= SAME * middle:
        yield f"every loss is {middle:.6g}: what does not change teaches no law; is this the right column?"
    else:
        yield from _rising(table, loss)
        if loss_unit == "nats/token" and len(loss) > 2 and (loss == np.round(loss)).all():
            yield "every loss is a whole number: is this the right column?"


def _diverged(table: pd.DataFrame, loss: np.ndarray, middle: float) -> np.ndarray:
    """Return which losses are far above the median, also of rows with as few or fewer tokens, steps and FLOPs.

    The first rows of a curve and the smallest runs have a high loss without having diverged.
    """
    far = loss > HIGH * middle
    sizes = [name for name in GROWING if name in table] or [*({"params"} & {*table.columns})]
    for name in sizes if far.any() else ():
        size = table[name].to_numpy()
        order = np.argsort(size, kind="stable")
        # The lower of two middle losses, so that one row that is larger than another is judged by it.
        smaller = pd.Series(loss[order]).expanding().quantile(0.5, interpolation="lower")
        smaller = smaller.groupby(size[order]).transform("last")  # of rows as small, all count
        far[order] &= loss[order] > HIGH * smaller.to_numpy()
    return np.asarray(far | (loss > ABSURD * middle))


def _rising(table: pd.DataFrame, loss: np.ndarray) -> Iterator[str]:
    name = next((name for name in ("flops", "steps", "tokens", "params") if name in table), None)
    if name is None or len(table) < ENOUGH:
        return
    size = table[name].to_numpy()
    if size.max() < SPAN * size.min():
        return
    rank = float(np.corrcoef(pd.Series(size).rank(), pd.Series(loss).rank())[0, 1])
    if rank > RISING and _by_chance(size, loss) < SURE:
        yield (
            f"loss rises with {name} (rank correlation {rank:.2f}), and laws have it fall: is higher better "
            "in this column, as for an accuracy, or are rows or columns mixed up?"
        )


def _by_chance(size: np.ndarray, loss: np.ndarray) -> float:
    """Return the p-value of their rank correlation."""
    import scipy.stats  # takes half a second, and few tables rise

    return float(scipy.stats.spearmanr(size, loss).pvalue)
