"""Columns that no law reads, and that say more of the losses than chance: the table then holds several tables."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import scipy.special

from bayes_scaling.base.messages import computed_percent, listed, plain, shown
from bayes_scaling.data.consistency import unread_sizes
from bayes_scaling.data.losses import left_of_curve
from bayes_scaling.data.naming import SPELLINGS
from bayes_scaling.data.runs import Runs
from bayes_scaling.laws.law import Law
from bayes_scaling.model.choices import default_noise

ENOUGH = 12  # rows from which a column may say something
LEAST = 3  # rows of a value, on average, from which its level is known
SHARE = 0.5  # of the scatter around a curve in size, from which a column is worth a word
SCATTER = 0.01  # of a loss, around a curve, below which there is little to explain
BY_CHANCE = 1e-3  # probability that as much is explained by chance, at most
GOES_WITH_SIZE = 0.6  # share of a size that a column may explain: more, and it stands for the size


def unread_columns(laws: Sequence[Law], runs: Runs, pooled: Collection[str] = ()) -> tuple[str, ...]:
    """Find the column that laws do not read and that explains most of how losses scatter around a curve in size.

    Losses are compared with a quadratic in the logarithms of what the laws read, and what is left with its mean at each
    value of a column, adjusted for the number of both. Training curves are left out: along them rows are no runs.

    Parameters
    ----------
    laws : that are fitted
    runs : the table
    pooled : columns that parameters vary over

    Returns
    -------
    tuple of str
        One sentence, or none.
    """
    read = list(dict.fromkeys(name for law in laws for name in law.inputs if name in runs))
    sizes = [np.log(values) for values in map(runs.column, read) if (values > 0).all() and np.ptp(values) > 0]
    if not sizes or len(runs) < ENOUGH or default_noise(runs).correlated or unread_sizes(runs.table):
        return ()  # of a size that no column was read as, the others may only be signs
    left, free = left_of_curve(sizes, np.log(runs.loss))
    if free < 1 or np.sqrt(left @ left / free) < SCATTER:
        return ()
    found = []
    for name in runs.table.columns.difference([*SPELLINGS, *read, *pooled]):
        value = pd.factorize(runs.table[name].astype(object).map(str))[0]
        count = int(value.max()) + 1
        if not 2 <= count <= len(runs) / LEAST or any(_explained(size, value) > GOES_WITH_SIZE for size in sizes):
            continue
        within = left - _means(left, value)
        freely = free - (count - 1)
        if freely < 1:
            continue
        share = 1 - (within @ within / freely) / (left @ left / free)
        ratio = (left @ left - within @ within) / (count - 1) / max(within @ within / freely, 1e-300)
        if share > SHARE and scipy.special.fdtrc(count - 1, freely, ratio) < BY_CHANCE:
            found.append((share, str(name)))
    return (_sentence(*max(found), laws, read),) if found else ()


def _sentence(share: float, name: str, laws: Sequence[Law], read: Sequence[str]) -> str:
    """Say which column explains most, and what to do."""
    law, nobody = laws[0], "none of the laws reads"
    if len(laws) == 1:
        nobody = f"{law.label} does not read"
    level = any(row.name == "L_0" for row in law.sampled)
    pool = shlex.quote(f"L_0=partial:{plain(name)}")
    return (
        f"column {shown(name)}, which {nobody}, explains {computed_percent(share)} of how losses scatter around a "
        f"curve in {listed(read)}: forecast each of its values from its own runs"
        + (f", or give each a level of its own (--law {law.label} --pool {pool})" if level else "")
    )


def _means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the mean of the group of each row, ``(n_row,)``."""
    return np.asarray((np.bincount(group, values) / np.bincount(group))[group])


def _explained(values: np.ndarray, group: np.ndarray) -> float:
    """Return the share of the variance of values that lies between groups."""
    within = values - _means(values, group)
    return float(1 - within.var() / values.var())
