"""Checks of the losses of a table as a whole: tables on which no law can be right look wrong in one of these ways."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

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
TWO_UNITS = (
    (float(-np.log(np.log(2.0))), "are they in bits, and the others in nats?"),
    (float(np.log(100.0)), "are they percentages, and the others fractions?"),
)
"""Logs of the ratios of two units in which losses of one table may be, and what to ask where they are."""
MIXED = 16  # rows from which two units are told
PART = 0.15  # share of the rows in the rarer unit, at least
SCATTER = 0.045  # of log loss around one curve, up to which two are told apart
NEAR = 0.03  # of log loss, up to which the distance of two curves is that of two units
REPEATS = 8  # of finding the curve, and which rows lie above it
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
    yield from _two_units(table, loss)
    if len(loss) > 2 and np.ptp(loss) <= SAME * middle:
        yield f"every loss is {middle:.6g}: what does not change teaches no law; is this the right column?"
    else:
        yield from _rising(table, loss)
        if loss_unit == "nats/token" and len(loss) > 2 and (loss == np.round(loss)).all():
            yield "every loss is a whole number: is this the right column?"


def left_of_curve(sizes: Sequence[np.ndarray], values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return residuals from a quadratic in sizes, ``(n_row,)``, and their degrees of freedom."""
    centred = [size - size.mean() for size in sizes]
    products = [a * b for a, b in itertools.combinations_with_replacement(centred, 2)]
    design = np.stack([np.ones(len(values)), *centred, *products], axis=1)
    best, _, rank, _ = np.linalg.lstsq(design, values)
    return values - design @ best, len(values) - int(rank)


def _two_units(table: pd.DataFrame, loss: np.ndarray) -> Iterator[str]:
    """Say where losses lie on two curves in size, of the same shape, that are as far apart as two units."""
    names = [name for name in ("params", "tokens") if name in table]
    names += [name for name in ("flops", "steps") if name in table and "tokens" not in table]
    sizes = [np.log(table[name].to_numpy(float)) for name in names if table[name].nunique() > 1]
    if len(loss) < MIXED or not sizes or left_of_curve(sizes, np.log(loss))[0].std() < SCATTER:
        return
    for gap, question in TWO_UNITS:
        above = _above(sizes, np.log(loss), gap)
        if not PART <= above.mean() <= 1 - PART:
            continue
        left, row = left_of_curve(sizes, np.log(loss) - gap * above)[0], int(above.argmax()) + 1
        apart = float(left[above].mean() - left[~above].mean())
        if left.std() < SCATTER and np.abs(left).max() < gap / 2 and abs(apart) < NEAR:
            yield (
                f"{above.sum()} of {len(loss)} losses, the first in row {row}, are {np.exp(gap):.3g} "
                f"times what a curve in {' and '.join(names)} through the others says: {question} Give all in one unit"
            )
            return


def _above(sizes: Sequence[np.ndarray], logs: np.ndarray, gap: float) -> np.ndarray:
    """Return which rows lie by ``gap`` above the curve of the others, ``(n_row,)``."""
    left = left_of_curve(sizes, logs)[0]
    above = left > (np.quantile(left, PART / 2) + np.quantile(left, 1 - PART / 2)) / 2
    for _ in range(REPEATS):
        curve = logs - gap * above - left_of_curve(sizes, logs - gap * above)[0]
        before, above = above, logs - curve > gap / 2
        if (above == before).all():
            break
    return np.asarray(above)


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
